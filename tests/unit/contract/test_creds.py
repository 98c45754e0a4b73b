"""NKeys and creds files: read with suspicion, written for nobody else."""

import base64
import json
import os
import stat
from datetime import UTC, datetime

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.creds import claims_of, creds_text, read_creds, read_secret, write_secret
from signal_contract.errors import CatalystError, CredsExpired, CredsInvalid
from signal_contract.nkey import KeyKind, KeyPair, public_key_checked

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USER = KeyPair.generate(KeyKind.USER)


def _jwt(**changes):
    claims = {
        "sub": USER.public,
        "name": "alice",
        "iss": "A",
        "nats": {"type": "user", "version": 2, "issuer_account": "AFRIENDS", "tags": ["role:subscriber"]},
    } | changes
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return ".".join([*parts, "sig"])


@pytest.fixture
def creds_file(tmp_path):
    def write(**changes):
        path = tmp_path / "alice.creds"
        write_secret(path, creds_text(_jwt(**changes), USER.seed))
        return path

    return write


@pytest.mark.parametrize("kind", KeyKind)
def test_our_keys_are_what_the_reference_library_reads(kind):
    ours = KeyPair.generate(kind)
    theirs = nkeys.from_seed(bytearray(ours.seed.encode()))
    assert theirs.public_key.decode() == ours.public == KeyPair.from_seed(ours.seed).public
    assert theirs.sign(b"x") == ours.sign(b"x")
    assert ours.public[0] == kind.letter


def test_one_changed_character_of_a_seed_is_noticed():
    for index in range(2, len(USER.seed)):
        changed = USER.seed[:index] + ("A" if USER.seed[index] != "A" else "B") + USER.seed[index + 1 :]
        with pytest.raises(CredsInvalid):
            KeyPair.from_seed(changed)


@given(st.text(max_size=70))
def test_arbitrary_keys_get_our_error(text):
    with pytest.raises(CredsInvalid):
        KeyPair.from_seed(text)
    with pytest.raises(CredsInvalid):
        public_key_checked(text, KeyKind.USER)


def test_a_good_file_is_read(creds_file):
    creds = read_creds(creds_file(exp=1_800_000_000), role="subscriber", now=NOW)
    assert (creds.user, creds.role, creds.public_key) == ("alice", "subscriber", USER.public)
    assert creds.account == "AFRIENDS"
    assert creds.expires_at == datetime.fromtimestamp(1_800_000_000, UTC)
    assert USER.seed not in repr(creds)
    assert creds.jwt not in repr(creds)


def test_a_file_that_others_can_read_is_refused(creds_file):
    path = creds_file()
    path.chmod(0o644)
    with pytest.raises(CredsInvalid, match="0644") as caught:
        read_creds(path)
    assert "chmod 600" in caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CredsInvalid, match="does not exist"):
        read_creds(tmp_path / "no.creds")


def test_credentials_of_another_role_are_refused(creds_file):
    path = creds_file(nats={"type": "user", "tags": ["role:publisher"]})
    with pytest.raises(CredsInvalid, match="publisher credentials"):
        read_creds(path, role="subscriber")


def test_expired_credentials_are_refused_before_anything_is_sent(creds_file):
    with pytest.raises(CredsExpired):
        read_creds(creds_file(exp=int(NOW.timestamp())), now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": KeyPair.generate(KeyKind.USER).public},
        {"name": "a>b"},
        {"name": None},
        {"nats": {"type": "account"}},
        {"nats": None},
        {"exp": "soon"},
        {"exp": 1e300},
    ],
)
def test_damaged_claims_are_refused(creds_file, changes):
    with pytest.raises(CredsInvalid):
        read_creds(creds_file(**changes))


@given(st.binary(max_size=400))
def test_arbitrary_files_get_our_errors(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("creds") / "x.creds"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(CatalystError):
        read_creds(path)


@given(st.text(max_size=100))
def test_arbitrary_jwts_get_our_error(text):
    with pytest.raises(CredsInvalid):
        claims_of(text)


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_secrets_are_written_for_the_owner_alone_even_over_a_wider_file(tmp_path):
    path = tmp_path / "deep" / "x.seed"
    write_secret(path, "one")
    path.chmod(0o666)
    write_secret(path, "two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_secret(path, what="seed") == "two"
    assert list(path.parent.iterdir()) == [path]
