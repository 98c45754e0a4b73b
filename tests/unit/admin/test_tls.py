"""Certificates, the kept settings and the addresses that follow from them: no server, no clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.addresses import ca_pem, public_servers
from signal_admin.desk import Desk, ServerRecord, make_desk
from signal_admin.prepare import make_ready
from signal_admin.settings import UpSettings, hosts_from, keep_settings, kept_settings
from signal_admin.starter import starter_yaml
from signal_admin.tls import RENEW_BEFORE, SERVER_LIFE, Certificate, prepared
from signal_contract.errors import ConfigInvalid, CredsInvalid

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SETTINGS = UpSettings(tls_hosts=("signals.example.org", "192.0.2.7"))


@pytest.fixture
def desk(tmp_path):
    return make_desk(tmp_path / "data")


def _made(desk, now=NOW, settings=SETTINGS, **more) -> Certificate:
    made = prepared(desk, settings, now, **more)
    assert made is not None
    return made


def test_without_tls_there_is_no_certificate(desk):
    assert prepared(desk, UpSettings(), NOW) is None
    assert not desk.tls.exists()


def test_a_certificate_names_all_hosts_and_this_machine(desk):
    made = _made(desk)
    assert set(made.names) == {"signals.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1"}
    assert made.is_own
    assert timedelta(days=396) < made.not_after - NOW <= SERVER_LIFE
    leaf, ca = (x509.load_pem_x509_certificate(path.read_bytes()) for path in (made.cert, made.ca))
    leaf.verify_directly_issued_by(ca)
    assert ca.not_valid_after_utc - NOW > timedelta(days=3600)


def test_every_file_is_private(desk):
    made = _made(desk)
    for path in (made.cert, made.key, made.ca, desk.tls / "ca.key"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_certificate_is_kept_until_30_days_before_its_end(desk):
    made = _made(desk)
    assert _made(desk, made.not_after - RENEW_BEFORE - timedelta(seconds=1)) == made
    again = _made(desk, made.not_after - RENEW_BEFORE)
    assert again.fingerprint != made.fingerprint
    assert again.ca.read_bytes() == made.ca.read_bytes(), "friends keep the authority that they have"


def test_a_new_name_makes_a_new_certificate_and_fewer_names_do_not(desk):
    made = _made(desk)
    assert _made(desk, settings=replace(SETTINGS, tls_hosts=("192.0.2.7",))) == made
    assert "new.example.org" in _made(desk, settings=replace(SETTINGS, tls_hosts=("new.example.org",))).names


def test_an_address_that_is_listened_on_is_named(desk):
    assert "192.0.2.9" in _made(desk, settings=replace(SETTINGS, host="192.0.2.9")).names
    assert "0.0.0.0" not in _made(desk, settings=replace(SETTINGS, host="0.0.0.0")).names


@pytest.mark.parametrize("damaged", ["server.pem", "server.key"])
def test_a_damaged_server_certificate_is_made_anew(desk, damaged):
    made = _made(desk)
    (desk.tls / damaged).write_text("garbage")
    assert _made(desk).fingerprint != made.fingerprint


def test_a_key_that_is_not_of_the_authority_is_refused(desk, tmp_path):
    _made(desk)
    other = make_desk(tmp_path / "other")
    _made(other)
    (desk.tls / "ca.key").write_bytes((other.tls / "ca.key").read_bytes())
    with pytest.raises(ConfigInvalid, match=r"not the key of ca\.pem"):
        _made(desk, renew=True)


def test_an_expired_authority_is_named(desk):
    _made(desk)
    with pytest.raises(ConfigInvalid, match="expired"):
        _made(desk, NOW + timedelta(days=3651))


def _files(desk, tmp_path):
    made = _made(make_desk(tmp_path / "bought"))
    return UpSettings(cert=made.cert, key=made.key, ca=made.ca, tls_hosts=("signals.example.org",))


def test_the_operators_own_certificate_is_used_as_it_is(desk, tmp_path):
    made = _made(desk, settings=_files(desk, tmp_path), renew=True)
    assert not made.is_own
    assert not desk.tls.exists(), "no authority of ours beside it"


def test_an_own_certificate_that_cannot_work_is_refused(desk, tmp_path):
    files = _files(desk, tmp_path)
    with pytest.raises(ConfigInvalid, match="does not name elsewhere"):
        _made(desk, settings=replace(files, tls_hosts=("elsewhere.example.org",)))
    with pytest.raises(ConfigInvalid, match="valid from"):
        _made(desk, NOW + timedelta(days=500), settings=files)
    with pytest.raises(ConfigInvalid, match="No such file"):
        _made(desk, settings=replace(files, cert=tmp_path / "nowhere.pem"))
    with pytest.raises(ConfigInvalid, match="is not the key of"):
        _made(desk, settings=replace(files, key=_made(make_desk(tmp_path / "third")).key))
    files.key.chmod(0o644)
    with pytest.raises(CredsInvalid, match="read by others"):
        _made(desk, settings=files)


def test_a_wildcard_covers_one_label():
    names = ("*.example.org", "192.0.2.7")
    made = Certificate(Path("c"), Path("k"), None, names, NOW, NOW, "", is_own=False)
    assert made.covers("signals.example.org")
    assert made.covers("192.0.2.7")
    assert not made.covers("a.b.example.org")
    assert not made.covers("example.org")
    assert not made.covers("127.0.0.1")
    assert made.name_for("signals.example.org") is None
    assert made.name_for("127.0.0.1") == "catalyst.example.org"


# The kept settings ------------------------------------------------------------------------------------------------


@given(
    st.builds(
        UpSettings,
        host=st.none() | st.text(),
        port=st.integers(1, 65535),
        max_store_bytes=st.integers(0, 1 << 50),
        tls_hosts=st.lists(st.text(), min_size=1).map(tuple),
        wss_port=st.integers(0, 65535),
        public=st.lists(st.text()).map(tuple),
        encrypt=st.booleans(),
    )
)
def test_settings_come_back_as_they_were(tmp_path_factory, settings):
    desk = Desk(tmp_path_factory.mktemp("desk"))
    keep_settings(desk, settings)
    assert kept_settings(desk) == settings


def test_a_random_port_and_the_binary_are_not_kept(desk):
    keep_settings(desk, UpSettings(port=-1, nats_server=Path("/opt/nats-server")))
    assert kept_settings(desk) == UpSettings()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", '{"port": "4222"}', '{"port": true}', '{"hots": "x"}', '{"tls_hosts": "a"}', '{"cert": "/a"}'],
)
def test_damaged_settings_are_refused(desk, text):
    desk.settings_json.write_text(text)
    with pytest.raises(ConfigInvalid):
        kept_settings(desk)


def test_websocket_without_tls_is_refused(desk):
    with pytest.raises(ConfigInvalid, match="TLS only"):
        make_ready(desk, UpSettings(wss_port=443), NOW)


@pytest.mark.parametrize("text", ["", ",", "a b", "-x.org", "a..b", "ex_ample.org", "http://x", "1.2.3", "x" * 64])
def test_what_is_no_host_name_is_refused(text):
    with pytest.raises(ConfigInvalid):
        hosts_from(text)


def test_host_names_are_taken_once_and_in_order():
    assert hosts_from("B.example.org, 192.0.2.7,b.example.org,[::1]") == ("b.example.org", "192.0.2.7", "::1")


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        (UpSettings(), "127.0.0.1"),
        (UpSettings(tls_hosts=("localhost", "127.0.0.1")), "127.0.0.1"),
        (UpSettings(tls_hosts=("signals.example.org",)), "0.0.0.0"),
        (UpSettings(host="192.0.2.7", tls_hosts=("signals.example.org",)), "192.0.2.7"),
    ],
)
def test_only_encrypted_and_for_others_does_it_listen_everywhere(settings, host):
    assert settings.listen_host == host


# What friends are told --------------------------------------------------------------------------------------------


def test_addresses_follow_from_the_tls_names(desk):
    keep_settings(desk, replace(SETTINGS, tls_hosts=("localhost", *SETTINGS.tls_hosts), wss_port=8443))
    assert public_servers(desk) == ["tls://signals.example.org:4222", "tls://192.0.2.7:4222"]
    assert public_servers(desk, websocket=True) == ["wss://signals.example.org:8443", "wss://192.0.2.7:8443"]
    desk.write_server_record(ServerRecord("tls://127.0.0.1:5222", 1, 2, "", wss_url="wss://127.0.0.1:9443"))
    assert public_servers(desk)[0] == "tls://signals.example.org:5222"


def test_told_addresses_win_and_are_told_by_kind(desk):
    keep_settings(desk, replace(SETTINGS, public=("tls://a.example.org:1", "wss://b.example.org/nats")))
    assert public_servers(desk) == ["tls://a.example.org:1"]
    assert public_servers(desk, websocket=True) == ["wss://b.example.org/nats"]


def test_without_tls_friends_are_on_this_machine(desk):
    assert public_servers(desk) == ["nats://127.0.0.1:4222"]
    assert ca_pem(desk) is None
    with pytest.raises(ConfigInvalid, match="no WebSocket"):
        public_servers(desk, websocket=True)


def test_our_own_authority_goes_to_friends_and_a_public_one_does_not(desk, tmp_path):
    keep_settings(desk, SETTINGS)
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        ca_pem(desk)
    made = _made(desk)
    assert ca_pem(desk) == made.ca.read_text()
    keep_settings(desk, replace(_files(desk, tmp_path), ca=None))
    assert ca_pem(desk) is None


def test_a_starter_config_names_servers_and_authority():
    import yaml

    text = starter_yaml("alice", ["tls://a.org:1", "tls://b.org:1"], "ed25519:x", ca_file="alice-ca.pem")
    found = yaml.safe_load(text)
    assert (found["servers"], found["ca_file"]) == (["tls://a.org:1", "tls://b.org:1"], "alice-ca.pem")
    assert "ca_file" not in yaml.safe_load(starter_yaml("alice", ["nats://127.0.0.1:1"], "ed25519:x"))


# A directory made ready ------------------------------------------------------------------------------------------


def test_making_ready_twice_makes_nothing_new(desk):
    first = make_ready(desk, replace(SETTINGS, encrypt=True), NOW)
    before = {path: path.read_bytes() for path in desk.root.rglob("*") if path.is_file()}
    again = make_ready(desk, kept_settings(desk), NOW + timedelta(days=1))
    assert {desk.vault, desk.store_key, desk.tls / "ca.pem", desk.settings_json} <= set(first.made)
    assert again.made == ()
    assert before == {path: path.read_bytes() for path in desk.root.rglob("*") if path.is_file()}
    assert first.store_key not in repr(first)
