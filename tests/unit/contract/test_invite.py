"""The invite file: what is written is read again, what is hostile gets our error, and no secret is shown."""

import base64
import json
import os
import stat
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from signal_contract.errors import CredsInvalid, InputError
from signal_contract.invite import MAX_INVITE_BYTES, Invite, invite_from, read_invite, write_invite
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.sealed import is_sealed, sealed, unsealed
from signal_contract.signing import Signer

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
USER = KeyPair.generate(KeyKind.USER)
PASSPHRASE = "four random words here"


def jwt_of(**changes):
    claims = {"sub": USER.public, "name": "alice", "iss": "A", "nats": {"type": "user"}} | changes
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return ".".join([*parts, "sig"])


def invite(**changes):
    fields = {
        "name": "alice",
        "servers": ["tls://signals.example.org:4222"],
        "ca_certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "user_jwt": jwt_of(),
        "seed": USER.seed,
        "public_key": USER.public,
        "durable": "sub_alice",
        "publisher_key": Signer.from_seed(bytes(32)).public_key,
        "filters": ["signals.fda.*"],
        "entitlement_in_words": "every signal on fda",
        "expires_at": NOW + timedelta(days=90),
        "issued_at": NOW,
        "starter_config": "servers: []\nmode: paper\n",
    }
    return Invite(**(fields | changes))


def never():
    raise AssertionError("no passphrase is needed")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("changes", [{}, {"seed": None}, {"ca_certificate": None, "expires_at": None}])
def test_what_is_written_is_read_again(tmp_path, changes):
    path = tmp_path / "alice.invite"
    write_invite(path, invite(**changes), None)
    assert read_invite(path, never) == invite(**changes)
    assert mode(path) == 0o600 or os.name != "posix"


def test_under_a_passphrase_nothing_can_be_read_without_it(tmp_path):
    path = tmp_path / "alice.invite"
    write_invite(path, invite(), PASSPHRASE)
    content = path.read_bytes()
    assert is_sealed(content)
    assert USER.seed.encode() not in content
    assert read_invite(path, lambda: PASSPHRASE) == invite()
    with pytest.raises(CredsInvalid, match="passphrase is wrong"):
        read_invite(path, lambda: "another passphrase")
    path.chmod(0o644)
    assert read_invite(path, lambda: PASSPHRASE).name == "alice"


@pytest.mark.skipif(os.name != "posix", reason="modes exist on POSIX only")
def test_a_plain_invite_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "alice.invite"
    write_invite(path, invite(), None)
    path.chmod(0o644)
    with pytest.raises(CredsInvalid, match="read by others"):
        read_invite(path, never)


@pytest.mark.parametrize("weak", ["", "short", "        ", "seven77", "control\x1bcharacters"])
def test_a_weak_passphrase_is_refused_before_anything_is_written(tmp_path, weak):
    with pytest.raises(InputError):
        write_invite(tmp_path / "alice.invite", invite(), weak)
    assert not (tmp_path / "alice.invite").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Alice"},
        {"name": "bob"},
        {"durable": "sub_bob"},
        {"user_jwt": jwt_of(name="bob")},
        {"user_jwt": jwt_of(sub="UABC")},
        {"user_jwt": "garbage"},
        {"seed": KeyPair.generate(KeyKind.USER).seed},
        {"seed": KeyPair.generate(KeyKind.ACCOUNT).seed},
        {"seed": "SUAB"},
        {"public_key": KeyPair.generate(KeyKind.USER).public},
        {"publisher_key": "ed25519:short"},
        {"filters": []},
        {"filters": ["signals.>"]},
        {"filters": ["$JS.>"]},
        {"servers": []},
        {"servers": ["http://example.org"]},
        {"servers": ["tls://example.org\n"]},
        {"ca_certificate": "no pem"},
        {"starter_config": "\x1b[31m"},
        {"expires_at": NOW},
        {"issued_at": NOW.replace(tzinfo=None)},
        {"schema_version": 2},
    ],
    ids=lambda each: next(iter(each)),  # keys are made at random; names must not be
)
def test_an_invite_whose_parts_do_not_fit_is_refused(changes):
    with pytest.raises(ValidationError):
        invite(**changes)


def test_a_refusal_and_the_repr_show_no_secret():
    document = orjson.loads(orjson.dumps(invite().model_dump(mode="json")))
    with pytest.raises(InputError) as raised:
        invite_from(orjson.dumps(document | {"name": "bob"}))
    assert USER.seed not in str(raised.value)
    assert raised.value.__cause__ is None
    for secret in (USER.seed, invite().user_jwt):
        assert secret not in repr(invite())


def test_an_unknown_field_is_refused_and_a_newer_version_is_named():
    document = invite().model_dump(mode="json")
    with pytest.raises(InputError, match="more"):
        invite_from(orjson.dumps(document | {"more": 1}))
    with pytest.raises(InputError, match="newer version"):
        invite_from(orjson.dumps(document | {"schema_version": 2}))


def test_a_missing_and_a_huge_file_are_refused(tmp_path):
    with pytest.raises(CredsInvalid, match="no invite"):
        read_invite(tmp_path / "none", never)
    with pytest.raises(CredsInvalid):
        read_invite(tmp_path, never)
    huge = tmp_path / "huge"
    huge.write_bytes(b" " * (MAX_INVITE_BYTES + 1))
    huge.chmod(0o600)
    with pytest.raises(CredsInvalid, match="too large"):
        read_invite(huge, never)


def hostile(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises((CredsInvalid, InputError)):
        read_invite(path, lambda: PASSPHRASE)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_get_our_error(tmp_path_factory, content):
    hostile(tmp_path_factory.getbasetemp() / "hostile.invite", content)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----\n"]))
def test_arbitrary_age_files_get_our_error(tmp_path_factory, content, head):
    hostile(tmp_path_factory.getbasetemp() / "hostile-age.invite", head + content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(Invite.model_fields)), JSON)
def test_any_value_in_any_field_gets_our_error_or_is_sound(field, value):
    try:
        found = invite_from(orjson.dumps(invite().model_dump(mode="json") | {field: value}))
    except InputError:
        return
    assert found.durable == f"sub_{found.name}"


@given(st.text(max_size=40))
def test_any_passphrase_that_is_typed_gets_our_error(typed):
    content = b"age-encryption.org/v1\n-> X25519 damaged\n"
    with pytest.raises(CredsInvalid):
        unsealed(content, typed)


def test_a_damaged_age_file_is_refused():
    content = bytearray(sealed(b"plain", PASSPHRASE).encode())
    content[len(content) // 2] ^= 1
    with pytest.raises(CredsInvalid):
        unsealed(bytes(content), PASSPHRASE)
