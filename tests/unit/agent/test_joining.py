"""Enrol and join: what is written, what is refused, and that nothing is half done. The server is away in all of it."""

import asyncio
import contextlib
import os
import stat
import sys
from datetime import timedelta

import pytest
from agent_samples import KEY, NOW, an_invite, starter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signal_contract.creds import creds_text, read_creds
from signal_contract.errors import CatalystError, ConfigInvalid, Conflict, CredsExpired, CredsInvalid, InputError
from signal_contract.invite import read_invite, write_invite
from signal_contract.nkey import KeyKind, KeyPair
from subscriber_agent.identity.enrolment import enrol, enrolled_keys, enrolled_seed
from subscriber_agent.identity.joining import join
from subscriber_agent.settings.config import Mode, load_config

CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture
def home(tmp_path):
    return tmp_path / "config" / "subscriber-agent"


def joined(invite, home, **options):
    return asyncio.run(join(invite, home, **{"now": NOW, "force": False, "offline": True, **options}))


def files(home):
    return sorted(str(each.relative_to(home)) for each in home.rglob("*") if each.is_file())


def test_an_invite_becomes_a_config_and_creds_that_load(home):
    done = joined(an_invite(expires_at=NOW + timedelta(days=90)), home)
    assert files(home) == ["agent.yaml", "alice.creds"]
    config = load_config(home / "agent.yaml")
    assert (config.mode, config.creds, config.data) == (Mode.PAPER, home / "alice.creds", home / "alice-data")
    assert read_creds(config.creds, role="subscriber", now=NOW).user == "alice"
    assert (done.user, done.is_renewal, done.backup) == ("alice", False, None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
def test_nobody_else_can_read_what_is_written(home):
    joined(an_invite(ca_certificate=CA), home)
    enrol(home, anew=False)
    for each in home.rglob("*"):
        assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600), each


def test_the_ca_certificate_is_written_and_named_in_the_config(home):
    joined(an_invite(ca_certificate=CA, starter_config=starter("alice", "ca_file: alice-ca.pem")), home)
    assert load_config(home / "agent.yaml").ca_file == home / "alice-ca.pem"
    other = home.with_name("other")
    joined(an_invite(ca_certificate=CA), other)
    assert load_config(other / "agent.yaml").ca_file == other / "alice-ca.pem"
    assert (other / "alice-ca.pem").read_text() == CA


def test_a_server_that_is_away_is_no_obstacle(home):
    assert joined(an_invite(), home, offline=False).checked.is_reached is False
    assert files(home) == ["agent.yaml", "alice.creds"]


# Who is there already ---------------------------------------------------------------------------------------------


def test_an_invite_for_who_lives_there_renews_the_creds_and_keeps_the_config(home):
    joined(an_invite(), home)
    (home / "agent.yaml").write_text(starter("alice", "mode: notify"))
    before = (home / "alice.creds").read_text()
    done = joined(an_invite(expires_at=NOW + timedelta(days=9)), home)
    assert done.is_renewal
    assert (home / "alice.creds").read_text() != before
    assert load_config(home / "agent.yaml").mode is Mode.NOTIFY
    assert files(home) == ["agent.yaml", "alice.creds"]


def test_a_renewal_goes_where_the_config_says(home):
    joined(an_invite(), home)
    (home / "agent.yaml").write_text(starter("alice").replace("alice.creds", "keys/mine.creds"))
    (home / "keys").mkdir()
    (home / "alice.creds").rename(home / "keys" / "mine.creds")
    done = joined(an_invite(), home)
    assert done.creds.path == home / "keys" / "mine.creds"
    assert files(home) == ["agent.yaml", "keys/mine.creds"]


@pytest.mark.parametrize("invite", [an_invite("bob"), an_invite(account="ANOTHER")], ids=["name", "operator"])
def test_another_identity_is_never_overwritten(home, invite):
    joined(an_invite(), home)
    before = {name: (home / name).read_text() for name in files(home)}
    with pytest.raises(Conflict):
        joined(invite, home)
    assert {name: (home / name).read_text() for name in files(home)} == before


def test_a_config_that_cannot_be_read_is_not_overwritten(home):
    home.mkdir(parents=True)
    (home / "agent.yaml").write_text("servers: [")
    with pytest.raises(Conflict, match="cannot be read"):
        joined(an_invite(), home)


def test_force_replaces_the_config_and_keeps_the_old_one_beside_it(home):
    joined(an_invite(), home)
    done = joined(an_invite("bob"), home, force=True)
    assert files(home) == ["agent.yaml", "agent.yaml.old", "alice.creds", "bob.creds"]
    assert done.backup == home / "agent.yaml.old"
    assert load_config(home / "agent.yaml").creds == home / "bob.creds"


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"starter_config": starter("alice").replace("alice.creds", "/etc/passwd")}, InputError),
        ({"starter_config": starter("alice").replace("alice-data", "../../elsewhere")}, InputError),
        ({"starter_config": starter("alice").replace(KEY, "ed25519:" + "B" * 42 + "A")}, InputError),
        ({"starter_config": starter("alice").replace("127.0.0.1:1", "127.0.0.1:2")}, InputError),
        ({"starter_config": starter("alice", "ca_file: /etc/ssl/x.pem")}, InputError),
        ({"starter_config": starter("alice", "mode: live")}, InputError),
        ({"starter_config": starter("alice", "engine: {kind: command, command: {argv: [/bin/sh]}}")}, InputError),
        (
            {"starter_config": starter("alice", "engine: {paper: {quotes_file: /etc/x, price_source: quotes_file}}")},
            InputError,
        ),
        ({"starter_config": "x"}, ConfigInvalid),
        ({"expires_at": NOW + timedelta(seconds=1)}, CredsExpired),
    ],
)
def test_an_invite_that_contradicts_itself_or_is_over_leaves_nothing_behind(home, changes, error):
    with pytest.raises(error):
        joined(an_invite(**changes), home, now=NOW + timedelta(hours=1))
    assert files(home) == []


# The friend's own key ---------------------------------------------------------------------------------------------


def test_an_enrolled_key_is_kept_until_another_one_is_wanted(home):
    first, is_new = enrol(home, anew=False)
    assert is_new
    assert enrol(home, anew=False) == (first, False)
    os.utime(home / "enrolled" / f"{first.public}.seed", (1, 1))
    second, is_new = enrol(home, anew=True)
    assert is_new
    assert [each.public for each in enrolled_keys(home)] == [second.public, first.public]
    assert first.seed not in repr((first, enrolled_keys(home)))


def test_an_invite_without_a_seed_uses_the_key_that_was_enrolled(home):
    own, _ = enrol(home, anew=False)
    enrol(home, anew=True)
    joined(an_invite(pair=own), home)
    assert read_creds(home / "alice.creds").public_key == own.public
    assert enrolled_seed(home, own.public) == own.seed


def test_an_invite_for_a_key_that_was_made_elsewhere_is_refused(home):
    enrol(home, anew=False)
    with pytest.raises(CredsInvalid, match="was not made in"):
        joined(an_invite(pair=KeyPair.generate(KeyKind.USER)), home)


def test_an_enrolled_key_under_the_wrong_name_is_refused(home):
    own, _ = enrol(home, anew=False)
    path = home / "enrolled" / f"{own.public}.seed"
    path.rename(path.with_name(f"{KeyPair.generate(KeyKind.USER).public}.seed"))
    with pytest.raises(CredsInvalid, match="named after"):
        enrol(home, anew=False)


# Anything at all --------------------------------------------------------------------------------------------------

_SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SLOW
@given(st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable() and text.strip()))
def test_any_starter_config_is_taken_or_refused_by_name(tmp_path, text):
    with contextlib.suppress(CatalystError):
        joined(an_invite(starter_config=text), tmp_path / "any", force=True)
    assert not (tmp_path / "any" / "agent.yaml").exists()


@_SLOW
@given(st.binary(max_size=300))
def test_any_creds_file_is_read_or_refused_by_name(tmp_path, content):
    path = tmp_path / "x.creds"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(CredsInvalid):
        read_creds(path)


@_SLOW
@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567=.-_ ", max_size=120), st.text(max_size=80))
def test_any_creds_of_the_right_form_are_read_or_refused_by_name(tmp_path, jwt, seed):
    path = tmp_path / "x.creds"
    path.write_text(creds_text(jwt, seed), encoding="utf-8", errors="replace")
    path.chmod(0o600)
    with pytest.raises(CredsInvalid):
        read_creds(path)


@_SLOW
@given(st.data())
def test_an_invite_with_any_bytes_changed_is_read_or_refused_by_name(tmp_path, data):
    path = tmp_path / "x.invite"
    write_invite(path, an_invite(), None)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with contextlib.suppress(CatalystError):
        joined(read_invite(path, lambda: "no passphrase"), tmp_path / "home", force=True)
