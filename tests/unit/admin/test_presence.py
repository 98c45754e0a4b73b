"""Presence: one row a friend out of what registry, server and agent say, and nothing that was not seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.presence.rows import (
    Link,
    Presence,
    Seen,
    Snapshot,
    Wire,
    go_duration_s,
    instant_or_none,
    is_flood,
    rate_per_s,
    seen_from,
    sorted_rows,
)
from signal_admin.registry import User
from signal_admin.reports import Status
from signal_admin.users import UserState, with_durable
from signal_contract.feedback import AgentStatus, Privacy

AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
SEEN = Seen("catalyst", "10.0.0.7", AT - timedelta(hours=1), 0.0123, "python3 2.16.0", "subscriber-agent alice")


def a_state(name="alice", *, end=None, report=None, **changes):
    user = User(name, "UA", ("signals.fda.*",), created_at=AT - timedelta(days=9), expires_at=end)
    return UserState(user, report=report, **changes)


def a_report(link="live", at=AT, **changes):
    fields = {
        "version": "0.3.0",
        "mode": "paper",
        "engine": "paper",
        "link_state": link,
        "trading_state": "active",
        "position": 7,
        "last_sequence": 9,
        "pending": 2,
        "undecided": 0,
        "privacy": Privacy.DECISIONS,
    }
    return Status(at, AgentStatus(**{**fields, **changes}))


def a_row(connections=(), **changes):
    extra = {key: changes.pop(key) for key in ("feedback_stored", "is_flooding") if key in changes}
    return Presence(a_state(**changes), AT, connections, **extra)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (a_row(is_online=True, connections=(SEEN,)), Link.ONLINE),
        (a_row(is_online=False, connections=(SEEN,)), Link.CONNECTED),
        (a_row(is_online=False), Link.OFFLINE),
        (a_row(connections=()), Link.OFFLINE),
        (a_row(connections=None), None),
        (a_row(is_online=True, connections=None), Link.ONLINE),
    ],
)
def test_who_is_there_is_the_servers_word(row, expected):
    assert row.link is expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (a_row(), ()),
        (a_row(is_online=False, connections=(SEEN,)), ("connected, but reads nothing",)),
        (a_row(is_online=True, connections=(SEEN, SEEN)), ("several connections",)),
        (a_row(end=AT + timedelta(days=6)), ("credentials end soon",)),
        (a_row(end=AT + timedelta(days=8)), ()),
        (a_row(end=AT - timedelta(days=1)), ()),
        (a_row(is_flooding=True), ("reports faster than an agent may",)),
        (a_row(report=a_report(engine_state="OPEN")), ("his agent says that its engine does not answer",)),
        (a_row(report=a_report(engine_state="OK")), ()),
        (a_row(feedback_stored=10_000), ("his reports have used up their quota",)),
        (a_row(is_online=True, report=a_report("DEAF")), ("his agent says that signals do not flow",)),
        (a_row(is_online=True, report=a_report("LIVE")), ()),
        (a_row(is_online=True, report=a_report("QUIET")), ()),
        (a_row(is_online=True, report=a_report("DEAF", AT - timedelta(hours=1))), ()),
        (a_row(report=a_report("DEAF")), ()),
    ],
)
def test_what_an_operator_may_want_to_look_after(row, expected):
    assert row.concerns == expected


def test_the_lag_counts_what_waits_and_what_is_on_its_way():
    assert a_row(pending=3, ack_pending=2).lag == 5
    assert a_row().lag is None


def test_of_several_connections_the_quickest_and_the_newest_count():
    slow = replace(SEEN, rtt_s=0.2, connected_at=AT)
    row = a_row(connections=(SEEN, slow))
    assert (row.rtt_s, row.connected_at) == (0.0123, AT)
    assert (a_row().rtt_s, a_row().connected_at) == (None, None)


def test_the_row_has_the_fields_of_before_and_new_ones():
    row = a_row(connections=(SEEN,), pending=1, ack_pending=0, is_online=True, report=a_report(), end=AT)
    document = row.as_dict()
    assert {"name", "filters", "expires_at", "pending", "ack_pending", "online", "report", "status"} <= set(document)
    assert (document["status"], document["link"], document["rtt_ms"]) == ("expired", "online", 12.3)
    assert document["connections"][0]["ip"] == "10.0.0.7"


def test_a_friend_who_tells_nothing_has_a_row_all_the_same():
    document = a_row(is_online=True, connections=(SEEN,)).as_dict()
    assert (document["report"], document["link"], document["concerns"]) == (None, "online", [])


def test_the_last_ack_comes_from_the_durable():
    info = {"num_pending": 1, "ack_floor": {"last_active": "2026-01-02T14:29:59.123456789Z"}}
    assert with_durable(a_state(), info).last_ack_at == AT.replace(minute=29, second=59, microsecond=123456)
    assert with_durable(a_state(), {"ack_floor": {"stream_seq": 0}}).last_ack_at is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("154µs", 0.000154),
        ("1.5ms", 0.0015),
        ("1m2.5s", 62.5),
        ("2h0m0s", 7200.0),
        ("310ns", 3.1e-7),
        ("", None),
        ("fast", None),
        ("-1s", None),
        ("1.5", None),
    ],
)
def test_a_go_duration_in_seconds(text, expected):
    found = go_duration_s(text)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_connection_of_hostile_words_is_read_all_the_same():
    seen = seen_from("n1", {"start": "x", "rtt": [], "lang": "a" * 99, "name": "b" * 99, "version": None})
    assert (seen.connected_at, seen.rtt_s, len(seen.client), len(seen.label)) == (None, None, 32, 64)


@pytest.mark.parametrize("value", [None, "", "0001-01-01T00:00:00Z", "2026-01-02T14:30:00", 7])
def test_no_instant_is_no_instant(value):
    assert instant_or_none(value) is None


def test_a_rate_needs_two_looks_and_never_runs_backwards():
    assert rate_per_s(10, 30, 2.0) == 10.0
    assert rate_per_s(30, 10, 2.0) == 0.0
    assert rate_per_s(None, 10, 2.0) is None
    assert rate_per_s(1, 10, 0.0) is None


def test_a_burst_that_an_agent_may_send_is_no_flood():
    assert not is_flood(0, 56, 2.0)
    assert is_flood(0, 120, 2.0)
    assert not is_flood(None, 120, 2.0)


def test_what_needs_the_operator_stands_on_top():
    rows = [
        a_row(name="cy", is_online=False),
        a_row(name="bo", is_online=True, connections=(SEEN,)),
        a_row(name="al", is_online=False, feedback_stored=10_000),
    ]
    assert [row.state.user.name for row in sorted_rows(rows)] == ["al", "bo", "cy"]


def test_latency_is_the_middle_one_and_missing_without_signals():
    wire = Wire(3, 900, 1, 3, AT, latencies_s=(0.001, 0.1, 0.003))
    assert (wire.latency_s, wire.as_dict()["publish_latency_max_ms"]) == (0.003, 100.0)
    assert Wire(0, 0, 0, 0, None).as_dict()["publish_latency_ms"] is None
    assert Snapshot(AT, (a_row(is_online=True),), wire).as_dict()["online"] == 1
