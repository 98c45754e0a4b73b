"""Gaps in the sequences: every missing delivery is explained, and what is explained is not called lost."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.receiving.gaps import GapKind, Tracker, explained


@dataclass(frozen=True)
class Info:
    consumer_seq: int
    delivered: int = 1


def after(tracker, *deliveries):
    for consumer_seq, delivered, is_new in deliveries:
        tracker = tracker.after(Info(consumer_seq, delivered), is_new=is_new)
    return tracker


def kinds(tracker, position, first=1, last=None, *, ack_pending=0, pending=0):
    gaps = explained(
        tracker, position, first_sequence=first, last_sequence=last, ack_pending=ack_pending, pending=pending
    )
    return [(each.kind, each.count) for each in gaps]


def test_deliveries_in_a_row_miss_nothing():
    assert after(Tracker(), (7, 1, True), (8, 1, True), (9, 1, True)) == Tracker(9, 0)


def test_a_jump_is_missing_until_it_comes_late():
    jumped = after(Tracker(), (7, 1, True), (10, 1, True))
    assert jumped == Tracker(10, 2)
    assert after(jumped, (8, 1, True), (9, 1, True)) == Tracker(10, 0)


def test_a_delivery_that_went_elsewhere_and_comes_again_is_found():
    assert after(Tracker(), (7, 1, True), (9, 2, True)) == Tracker(9, 0)
    assert after(Tracker(), (7, 1, True), (11, 2, True), (12, 3, True)) == Tracker(12, 0)


def test_a_redelivery_of_what_the_journal_has_explains_nothing():
    assert after(Tracker(), (7, 1, True), (9, 1, True), (10, 2, False)) == Tracker(10, 1)


@pytest.mark.parametrize("last", [5, 5000])
def test_a_durable_made_anew_starts_new_accounts(last):
    assert after(Tracker(last, 3), (1, 1, True)) == Tracker(1, 0)
    assert after(Tracker(5000, 3), (20, 1, True)) == Tracker(20, 0)


def test_the_accounts_survive_a_restart_and_damage_starts_new_ones():
    assert Tracker.from_text(Tracker(9, 2, 40).text) == Tracker(9, 2, 40)
    for text in (None, "", "9 2", "9 2 x", "-9 2 1", "٣ 1 1"):
        assert Tracker.from_text(text) == Tracker()


def test_missing_deliveries_are_lost_only_when_the_durable_waits_for_none():
    tracker = Tracker(9, 2)
    assert kinds(tracker, 50, ack_pending=1) == []
    assert kinds(tracker, 50) == [(GapKind.LOST, 2)]


def test_what_left_the_stream_before_we_came_is_expired():
    assert kinds(Tracker(), 50, first=51) == []
    assert kinds(Tracker(), 50, first=61) == [(GapKind.EXPIRED, 10)]
    assert kinds(Tracker(), 0, first=61) == []
    assert kinds(Tracker(), 50, first=None) == []


def test_what_is_behind_our_place_with_nothing_waiting_is_not_for_us():
    assert kinds(Tracker(), 50, last=60) == [(GapKind.FILTERED, 10)]
    assert kinds(Tracker(), 50, last=60, pending=3) == []
    assert kinds(Tracker(), 50, last=60, pending=None) == []
    assert kinds(Tracker(), 50, first=56, last=60) == [(GapKind.EXPIRED, 5), (GapKind.FILTERED, 5)]


def test_what_was_drained_once_did_not_expire_later():
    tracker = Tracker().drained(200)
    assert kinds(tracker, 50, first=150, last=210) == [(GapKind.FILTERED, 10)]
    assert kinds(tracker, 50, first=205, last=204) == [(GapKind.EXPIRED, 4)]


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_in_whatever_order_a_run_arrives_nothing_is_missing_in_the_end(count, seed):
    numbers = list(range(2, count + 2))
    random.Random(seed).shuffle(numbers)
    tracker = after(Tracker(1), *((number, 1, True) for number in numbers))
    assert tracker.missing == 0
    assert kinds(tracker, 5) == []
