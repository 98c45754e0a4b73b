"""Nothing is decided before the backlog is drained."""

from datetime import UTC, datetime, timedelta

from signal_contract.link import Delivery
from subscriber_agent.backlog import IN_FLIGHT, Backlog

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _batch(*pending):
    return [
        Delivery("signals.fda.A", b"", f"$JS.ACK.SIGNALS.sub_al.1.{n}.{n}.1.{left}") for n, left in enumerate(pending)
    ]


def test_nothing_waiting_is_drained_at_once():
    assert Backlog.at_start(waiting=0, in_flight=0, now=NOW).is_drained(NOW)


def test_waiting_messages_hold_decisions_back_until_the_last_has_come():
    backlog = Backlog.at_start(waiting=3, in_flight=0, now=NOW)
    assert not backlog.is_drained(NOW + timedelta(days=1))
    backlog = backlog.after(_batch(2, 1), NOW)
    assert not backlog.is_drained(NOW)
    assert backlog.after(_batch(0), NOW).is_drained(NOW)


def test_messages_in_flight_at_a_kill_are_awaited_for_the_ack_wait_and_no_longer():
    backlog = Backlog.at_start(waiting=1, in_flight=2, now=NOW).after(_batch(0), NOW)
    assert not backlog.is_drained(NOW + IN_FLIGHT / 2)
    assert backlog.is_drained(NOW + IN_FLIGHT)
    assert backlog.after(_batch(0, 0), NOW).is_drained(NOW)


def test_when_live_each_batch_with_nothing_behind_it_is_decided():
    backlog = Backlog.at_start(waiting=0, in_flight=0, now=NOW).after(_batch(5), NOW)
    assert not backlog.is_drained(NOW + timedelta(days=1))
    assert backlog.after(_batch(0), NOW).is_drained(NOW)
    assert backlog.after([], NOW) == backlog
