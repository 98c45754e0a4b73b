"""When the worker looks after what is no signal."""

from __future__ import annotations

import pytest

from subscriber_agent.rhythm import Rhythm


def a_rhythm(**changes):
    return Rhythm(**{"listened_at": 100.0, "watched_at": 100.0, "tended_at": 100.0, "told_at": 0.0, **changes})


def test_everything_is_due_at_the_start():
    rhythm = Rhythm()
    assert rhythm.is_listening_due(0.0)
    assert rhythm.is_watching_due(0.0)
    assert rhythm.is_tending_due(0.0)
    assert rhythm.is_overdue(0.0)


@pytest.mark.parametrize(
    ("now", "told_at", "is_due"),
    [(104.9, 0.0, False), (105.0, 0.0, True), (105.0, 104.8, False), (109.9, 109.8, False), (110.0, 110.0, True)],
)
def test_tending_keeps_out_of_the_way_of_decisions_but_not_for_long(now, told_at, is_due):
    assert a_rhythm(told_at=told_at).is_tending_due(now) is is_due


def test_a_hint_makes_tending_due_within_half_a_second_and_counts_once():
    rhythm = a_rhythm(is_hinted=True)
    assert not rhythm.is_tending_due(100.4)
    assert rhythm.is_listening_due(100.4)
    assert rhythm.is_tending_due(100.5)
    rhythm.tended(100.5)
    assert not rhythm.is_tending_due(101.5)


def test_watched_stops_follow_their_own_setting_and_are_looked_at_with_everything_else():
    rhythm = a_rhythm(watch_s=3.0)
    assert not rhythm.is_watching_due(102.9)
    assert rhythm.is_watching_due(103.0)
    rhythm.tended(104.0)
    assert not rhythm.is_watching_due(106.9)


def test_a_hint_does_not_end_a_run_of_decisions_but_ten_seconds_do():
    rhythm = a_rhythm(is_hinted=True)
    assert not rhythm.is_overdue(109.9)
    assert rhythm.is_overdue(110.0)
