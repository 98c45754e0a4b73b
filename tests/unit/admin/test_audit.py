"""Audit entries as values: what is kept of an event, what is thrown out, what a filter takes."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.audit import AuditEntry, encoded, entry_from, new_entry, without_secrets
from signal_admin.audit_reading import Wanted, limit_checked, since_from
from signal_admin.audit_tail import Throttle, entry_of_event
from signal_contract.errors import InputError
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.signing import Signer

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=8,
)


def entry(**changes):
    fields = {"who": "op@host", "action": "user revoke", "target": "alice", "before": None, "after": None}
    return new_entry(**(fields | {"outcome": "done", "at": NOW} | changes))


def test_an_entry_is_read_as_it_was_written():
    made = entry(before={"filters": ("signals.fda.*",)}, after={"at": NOW})
    assert entry_from(orjson.loads(encoded(made))) == made
    assert made.subject == "audit.user-revoke"


@pytest.mark.parametrize("action", ["", "…", "user.>", "*", "a b.c", "Über"])
def test_no_action_leads_out_of_the_subject(action):
    root, _, token = entry(action=action).subject.partition(".")
    assert root == "audit"
    assert token
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("kind", KeyKind)
def test_every_kind_of_seed_is_taken_out(kind):
    seed = KeyPair.generate(kind).seed
    for value in (seed, f"a {seed}.", [seed], {"key": {"deep": (seed,)}}, {seed: 1}.keys()):
        assert seed not in orjson.dumps(without_secrets(value)).decode()


def test_signing_seeds_and_private_keys_are_taken_out():
    for secret in (Signer.generate().secret_text, "-----BEGIN PRIVATE KEY-----\nMIIE", "AGE-SECRET-KEY-1QQQQ"):
        assert secret not in str(without_secrets({"x": f"before {secret} after"}))


@given(JSON)
def test_any_value_can_be_written_down(value):
    assert entry_from(orjson.loads(encoded(entry(before=value, after=value)))).target == "alice"


@given(JSON)
def test_any_document_is_an_entry_or_gets_our_error(document):
    with suppress(InputError):
        assert isinstance(entry_from(document), AuditEntry)


@given(st.binary(max_size=200) | JSON.map(lambda each: orjson.dumps({"client": without_secrets(each)})))
def test_any_event_of_the_server_is_an_entry_or_nothing(payload):
    found = entry_of_event("connect", payload, NOW)
    assert found is None or found.action == "connect"


def test_a_name_that_a_client_claims_is_kept_only_when_it_is_a_name():
    event = {"client": {"host": "203.0.113.7", "name": "x", "jwt": "a.b.c", "acc": "$G"}, "reason": "Authentication"}
    found = entry_of_event("auth-failure", orjson.dumps(event), NOW)
    assert (found.target, found.after["ip"], found.outcome) == ("unknown", "203.0.113.7", "Authentication")
    assert entry_of_event("disconnect", orjson.dumps(event), NOW) is None


def test_a_flood_is_cut_and_counted():
    throttle = Throttle(limit=3)
    assert throttle.turned_away(0.0) == {}
    assert [throttle.admits("auth-failure") for _ in range(5)] == [True, True, True, False, False]
    assert throttle.admits("connect")
    assert throttle.turned_away(59.9) == {}
    assert throttle.turned_away(60.0) == {"auth-failure": 2}
    assert throttle.admits("auth-failure")
    assert throttle.turned_away(121.0) == {}


@pytest.mark.parametrize(
    ("wanted", "is_taken"),
    [
        (Wanted(), True),
        (Wanted(user="alice"), True),
        (Wanted(user="ali"), False),
        (Wanted(user="op"), True),
        (Wanted(action="user"), True),
        (Wanted(action="user revoke"), True),
        (Wanted(action="use"), False),
        (Wanted(since=NOW), True),
        (Wanted(since=NOW + timedelta(seconds=1)), False),
    ],
)
def test_a_filter_takes_what_it_names(wanted, is_taken):
    assert wanted.takes(entry()) is is_taken


def test_durations_reach_back_from_now():
    assert since_from("90m", NOW) == NOW - timedelta(minutes=90)
    assert since_from("2w", NOW) == NOW - timedelta(weeks=2)


@given(st.text(max_size=12))
def test_any_duration_gets_our_error_or_an_instant(text):
    with suppress(InputError):
        assert since_from(text, NOW) < NOW


@pytest.mark.parametrize("limit", [0, -1, 100_001])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(InputError):
        limit_checked(limit)
