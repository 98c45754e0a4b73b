"""Nothing is decided before the backlog is drained."""

from signal_contract.delivery import Delivery
from subscriber_agent.receiving.backlog import IN_FLIGHT_S, Backlog

NOW = 1000.0
DAY_S = 86_400.0


def _batch(*pending, delivered=1):
    return [
        Delivery("signals.fda.A", b"", f"$JS.ACK.SIGNALS.sub_al.{delivered}.{n}.{n}.1.{left}")
        for n, left in enumerate(pending)
    ]


def test_nothing_waiting_is_drained_at_once():
    assert Backlog.measured(waiting=0, in_flight=0, now=NOW).is_drained(NOW)


def test_waiting_messages_hold_decisions_back_until_the_last_has_come():
    backlog = Backlog.measured(waiting=3, in_flight=0, now=NOW)
    assert not backlog.is_drained(NOW + DAY_S)
    backlog = backlog.after(_batch(2, 1))
    assert not backlog.is_drained(NOW)
    assert backlog.after(_batch(0)).is_drained(NOW)


def test_messages_in_flight_at_a_kill_are_awaited_for_the_ack_wait_and_no_longer():
    backlog = Backlog.measured(waiting=1, in_flight=2, now=NOW).after(_batch(0))
    assert not backlog.is_drained(NOW + IN_FLIGHT_S / 2)
    assert backlog.is_drained(NOW + IN_FLIGHT_S)
    assert backlog.after(_batch(0, 0, delivered=2)).is_drained(NOW)


def test_live_messages_do_not_stand_in_for_those_in_flight():
    backlog = Backlog.measured(waiting=0, in_flight=2, now=NOW).after(_batch(0, 0, 0, 0))
    assert not backlog.is_drained(NOW)


def test_steady_traffic_does_not_postpone_the_end_for_ever():
    backlog = Backlog.measured(waiting=0, in_flight=2, now=NOW)
    for _ in range(100):
        backlog = backlog.after(_batch(0))
    assert backlog.is_drained(NOW + IN_FLIGHT_S)


def test_when_live_each_batch_with_nothing_behind_it_is_decided():
    backlog = Backlog.measured(waiting=0, in_flight=0, now=NOW).after(_batch(5))
    assert not backlog.is_drained(NOW + DAY_S)
    assert backlog.after(_batch(0)).is_drained(NOW)
    assert backlog.after([]) == backlog
