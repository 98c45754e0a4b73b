"""What the durable's state means for us: what is in flight that we do not hold, and how far our clock is off."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.receiving.durable import Durable, skew_s
from subscriber_agent.receiving.gaps import Tracker
from subscriber_agent.receiving.pull import AckInfo

LOCAL = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)


def a_durable(**changes):
    answer = {
        "ts": "2026-01-02T14:29:59.500000123Z",
        "num_pending": 3,
        "num_ack_pending": 2,
        "num_waiting": 1,
        "ack_floor": {"stream_seq": 40, "consumer_seq": 20},
        "delivered": {"stream_seq": 50, "consumer_seq": 24},
        "config": {"filter_subjects": ["signals.*.*", "control.all.*"]},
        **changes,
    }
    return Durable.from_answer(answer, LOCAL)


def test_an_answer_is_read():
    durable = a_durable()
    assert (durable.waiting, durable.in_flight, durable.position, durable.pulls) == (3, 2, 40, 1)
    assert durable.filters == ("control.all.*", "signals.*.*")
    assert durable.skew_s == 0.5


def test_what_is_missing_in_an_answer_counts_as_nothing():
    durable = Durable.from_answer({"num_pending": "many", "config": None}, LOCAL)
    assert (durable.waiting, durable.in_flight, durable.position, durable.filters, durable.skew_s) == (
        0,
        0,
        0,
        (),
        None,
    )


def seen_by(durable, numbers):
    """The accounts of a journal that holds these deliveries, opened with the durable."""
    seen = Tracker()
    for number in sorted(numbers):
        seen = seen.after(AckInfo(stream_seq=number, delivered=1, consumer_seq=number, pending=0), is_new=True)
    return seen.opened(deliveries=durable.deliveries, in_flight=durable.in_flight)


def test_lost_acks_of_what_the_journal_has_are_nothing_to_wait_for():
    durable = a_durable()
    assert durable.unseen_in_flight(seen_by(durable, range(1, 25))) == 0


def test_a_delivery_that_never_reached_the_journal_is_in_flight():
    durable = a_durable()
    assert durable.unseen_in_flight(seen_by(durable, [*range(1, 23), 24])) == 1
    assert durable.unseen_in_flight(seen_by(durable, range(1, 24))) == 1
    assert durable.unseen_in_flight(seen_by(durable, [1])) == 2, "never more than the server awaits"


def test_no_accounts_or_those_of_an_earlier_durable_vouch_for_nothing():
    durable = a_durable()
    assert durable.unseen_in_flight(seen_by(durable, [])) == 2
    assert durable.unseen_in_flight(seen_by(durable, [25])) == 2
    later = seen_by(durable, []).after(AckInfo(60, delivered=1, pending=0, consumer_seq=25), is_new=True)
    assert a_durable(delivered={"consumer_seq": 25}).unseen_in_flight(later) == 2, "a live message is no redelivery"


def test_nothing_awaited_is_nothing_in_flight():
    durable = a_durable(num_ack_pending=0)
    assert durable.unseen_in_flight(seen_by(durable, [])) == 0


@given(st.sets(st.integers(2, 24)), st.integers(0, 24))
def test_it_is_nought_only_when_every_delivery_is_accounted_for(journaled, in_flight):
    durable = a_durable(num_ack_pending=in_flight)
    assert durable.unseen_in_flight(seen_by(durable, {1} | journaled)) == min(in_flight, 23 - len(journaled))


def test_a_server_time_that_cannot_be_read_is_no_skew():
    assert [skew_s(each, LOCAL) for each in (None, 5, "soon", "2026-13-02T14:30:00Z")] == [None] * 4
    assert skew_s("2026-01-02T14:30:10Z", LOCAL) == -10
