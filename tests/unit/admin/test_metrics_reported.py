"""Friends' reports as numbers: only words on our lists become labels, only registered names users."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_admin.metrics.reported import Reported
from signal_admin.metrics.server import friend_samples, refused_logins, server_samples, stream_samples
from signal_admin.registry import User
from signal_admin.stored import Stored
from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, feedback_bytes

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)


def stored(user: str, kind: Kind, number: int = 1, **fields) -> Stored:
    report = Feedback(feedback_id=f"{number:032x}", kind=kind, at=NOW, **fields)
    return Stored(report.subject(user), number, feedback_bytes(report), NOW)


def a_status(link_state: str) -> AgentStatus:
    return AgentStatus(
        version="1", mode="paper", engine="paper", link_state=link_state, trading_state="ACTIVE", position=1,
        last_sequence=1, pending=0, undecided=0, privacy=Privacy.DECISIONS,
    )  # fmt: skip


def values(reported, users=("alice", "bob"), now=NOW):
    return {
        "|".join([each.name.removeprefix("catalyst_"), *each.labels]): each.value
        for each in reported.samples(users, now)
    }


@pytest.fixture
def reported():
    return Reported()


def test_verdicts_and_orders_are_counted_by_friend(reported):
    reported.take(
        [
            stored("alice", Kind.DECISION, label="ACCEPTED"),
            stored("alice", Kind.DECISION, label="REFUSED", code="STALE"),
            stored("alice", Kind.ORDER, label="FILLED"),
            stored("bob", Kind.DECISION, label="REFUSED", code="STALE"),
        ],
        ["alice", "bob"],
    )
    found = values(reported)
    assert (found["user_decisions_total|alice|ACCEPTED"], found["user_decisions_total|alice|REFUSED"]) == (1, 1)
    assert (found["user_orders_total|alice|FILLED"], found["refusals_total|STALE"]) == (1, 2)
    assert (found["user_reports_total|alice|decision"], found["user_reports_total|bob|decision"]) == (2, 1)


def test_a_friend_cannot_make_series_of_his_own(reported):
    evil = [stored("alice", Kind.DECISION, n, label=f"VERDICT_{n}", code=f"CODE_{n}") for n in range(50)]
    evil += [stored("alice", Kind.DECISION, n, label="REFUSED", code=f"CODE_{n}") for n in range(50)]
    evil += [stored(f"stranger{n}", Kind.ORDER, label=f"STATE_{n}") for n in range(50)]
    before = len(values(reported))
    reported.take(evil, ["alice"])
    found = values(reported)
    assert found["user_decisions_total|alice|other"] == 50
    assert found["refusals_total|other"] == 50
    assert found["user_orders_total|other|other"] == 50
    assert len(found) <= before + 6


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b"\xff" * 9000, orjson.dumps({"kind": "decision"})])
def test_what_is_no_report_is_counted_as_such(reported, payload):
    reported.take([Stored("feedback.alice.decision", 1, payload, NOW)], ["alice"])
    assert values(reported)["user_unreadable_reports_total|alice"] == 1


def test_the_last_status_counts_and_has_an_age(reported):
    reported.note_status("alice", NOW, "CUT")
    reported.note_status("alice", NOW - timedelta(minutes=9), "DEAF")
    reported.take([stored("bob", Kind.STATUS, status=a_status("LIVE"))], ["alice", "bob"])
    found = values(reported, now=NOW + timedelta(seconds=5))
    assert (found["user_link_state|alice|CUT"], found["user_link_state|alice|DEAF"]) == (1, 0)
    assert (found["user_link_state|bob|LIVE"], found["user_status_age_seconds|bob"]) == (1, 5)


def test_an_offboarded_friend_leaves_no_state_behind(reported):
    reported.note_status("alice", NOW, "LIVE")
    assert not any("alice" in name for name in values(reported, users=("bob",)))


def test_durables_become_lag_and_presence():
    users = [User("alice", "U", ("signals.>",), NOW, expires_at=NOW), User("bob", "U", ("signals.>",), NOW)]
    durable = {
        "num_pending": 7,
        "num_ack_pending": 2,
        "num_waiting": 1,
        "ack_floor": {"last_active": "2026-03-02T14:24:50Z"},
    }
    unused = {"num_pending": 0, "ack_floor": {"last_active": "0001-01-01T00:00:00Z"}}
    found = {
        (each.name.removeprefix("catalyst_user_"), *each.labels): each.value
        for each in friend_samples(users, {"sub_alice": durable, "sub_bob": unused}, NOW)
    }
    assert (found["pending_messages", "alice"], found["in_flight_messages", "alice"]) == (7, 2)
    assert (found["online", "alice"], found["online", "bob"]) == (1, 0)
    assert found["last_ack_age_seconds", "alice"] == 10
    assert ("last_ack_age_seconds", "bob") not in found
    assert ("creds_expiry_timestamp_seconds", "bob") not in found


def test_a_server_that_says_little_is_shown_all_the_same():
    found = list(server_samples([{"server": {"id": "N1"}}]))
    assert {each.labels for each in found} == {("N1",)}
    assert all(each.value == 0 for each in found)


def test_a_stream_shows_how_full_it_is():
    info = {"config": {"name": "SIGNALS", "max_bytes": 100}, "state": {"messages": 3, "bytes": 40, "last_seq": 9}}
    found = {each.name.removeprefix("catalyst_stream_"): each.value for each in stream_samples(info)}
    assert found == {"published_total": 9, "messages": 3, "bytes": 40, "max_bytes": 100}
    assert [each.value for each in refused_logins(info, "audit.auth-failure")] == [0]
