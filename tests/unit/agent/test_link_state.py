"""The link's states: the worst that applies counts, every change is told once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from agent_samples import NOW
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.receiving.link_state import LinkState, Observed, StateTracker, state_from

WELL = Observed(connected=True, pull_heard_s=1.0, heartbeat_s=5.0, pending=0, lagging_s=0.0, classifier_stalled=False)
CUT = replace(WELL, connected=False)
NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, LinkState.LIVE),
        ({"connected": False}, LinkState.CUT),
        ({"pull_heard_s": 12.5}, LinkState.LIVE),
        ({"pull_heard_s": 12.6}, LinkState.DEAF),
        ({"pull_heard_s": None}, LinkState.DEAF),
        ({"pull_heard_s": NAN}, LinkState.DEAF),
        ({"pending": 5, "lagging_s": 10.0}, LinkState.LIVE),
        ({"pending": 5, "lagging_s": 10.1}, LinkState.LAGGING),
        ({"pending": 5, "lagging_s": NAN}, LinkState.LAGGING),
        ({"pending": 0, "lagging_s": 99.0}, LinkState.LIVE),
        ({"pending": None, "lagging_s": 99.0}, LinkState.LIVE),
        ({"heartbeat_s": 45.0}, LinkState.LIVE),
        ({"heartbeat_s": 45.1}, LinkState.QUIET),
        ({"heartbeat_s": None}, LinkState.QUIET),
        ({"classifier_stalled": True}, LinkState.QUIET),
    ],
)
def test_each_state_has_its_sign_and_its_limit(changes, state):
    assert state_from(replace(WELL, **changes))[0] is state


def test_the_worst_state_counts():
    worst = Observed(False, 99.0, 99.0, 9, 99.0, True)
    order = []
    for better in ({}, {"connected": True}, {"pull_heard_s": 0.0}, {"pending": 0}, {"heartbeat_s": 0.0}):
        worst = replace(worst, **better)
        order.append(state_from(worst)[0].value)
    assert order == ["CUT", "DEAF", "LAGGING", "QUIET", "QUIET"]


def test_only_a_live_and_a_quiet_link_flow():
    assert [each.value for each in LinkState if each.is_flowing] == ["LIVE", "QUIET"]


def test_a_change_is_told_once_with_how_long_the_state_before_lasted():
    tracker = StateTracker.started(NOW)
    tracker, change = tracker.after(WELL, NOW + timedelta(seconds=5))
    assert (change.before, change.after, change.lasted_s) == (LinkState.CUT, LinkState.LIVE, 5.0)
    again, none = tracker.after(WELL, NOW + timedelta(seconds=9))
    assert (again, none) == (tracker, None)
    assert again.lasting_s(NOW + timedelta(seconds=9)) == 4.0


def test_another_reason_for_the_same_state_is_told_and_keeps_its_start():
    quiet, _ = StateTracker.started(NOW).after(replace(WELL, heartbeat_s=None), NOW)
    stalled, change = quiet.after(replace(WELL, classifier_stalled=True), NOW + timedelta(seconds=3))
    assert (change.before, change.after) == (LinkState.QUIET, LinkState.QUIET)
    assert (stalled.since, stalled.reason) == (NOW, change.reason)
    assert "classifier" in stalled.reason


def test_a_clock_set_back_makes_no_negative_time():
    assert StateTracker.started(NOW).lasting_s(NOW - timedelta(hours=1)) == 0.0


@given(st.lists(st.sampled_from([WELL, CUT, replace(WELL, pull_heard_s=None), replace(WELL, heartbeat_s=None)])))
def test_changes_lead_from_each_state_to_the_next_without_a_break(measured):
    tracker, at = StateTracker.started(NOW), NOW
    for observed in measured:
        at += timedelta(seconds=1)
        before = tracker
        tracker, change = tracker.after(observed, at)
        assert (tracker.state, tracker.reason) == state_from(observed)
        assert (change is None) == ((before.state, before.reason) == (tracker.state, tracker.reason))
