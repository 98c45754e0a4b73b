"""What the friend's measurements amount to."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from signal_contract.doctor.finding import Grade
from signal_contract.model import Session
from signal_contract.topology import durable_config
from subscriber_agent.accounting.calendar import Calendar
from subscriber_agent.doctor.engines import EngineFacts, judged_engine
from subscriber_agent.doctor.judging import (
    Backlog,
    Beat,
    judged_alone,
    judged_backlog,
    judged_beat,
    judged_calendar,
    judged_durable,
    judged_latches,
    judged_waiting,
)
from subscriber_agent.receiving.durable import Durable

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


def answer(**changes):
    return {"config": durable_config("alice", ("signals.fda.*",)) | changes, "ts": "2026-03-02T15:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, Grade.OK),
        ({"filter_subjects": []}, Grade.FAIL),
        ({"filter_subjects": ["signals.fda.*"]}, Grade.FAIL),
        ({"filter_subjects": ["control.all.*", "control.user.alice.*"]}, Grade.FAIL),
        ({"ack_policy": "none"}, Grade.WARN),
        ({"max_deliver": 3}, Grade.WARN),
    ],
    ids=["sound", "everything", "no-control", "no-signals", "unconfirmed", "gives-up"],
)
def test_a_durable(changes, grade):
    given = answer(**changes)
    assert judged_durable("alice", given, Durable.from_answer(given, NOW)).grade is grade


@pytest.mark.parametrize(
    ("pulls", "is_running", "grade"),
    [
        ([1, 2, 1], True, Grade.OK),
        ([0, 0, 0], True, Grade.OK),
        ([2, 2, 3], True, Grade.FAIL),
        ([1, 1, 1], False, Grade.WARN),
        ([1, 0, 0], False, Grade.OK),
    ],
    ids=["own-overlaps", "asks-nothing", "two", "elsewhere", "left-over"],
)
def test_only_a_pull_that_stays_is_another_agent(pulls, is_running, grade):
    assert judged_alone(pulls, is_running=is_running).grade is grade


@pytest.mark.parametrize(
    ("beat", "listened_s", "grade"),
    [
        (Beat(10, "up"), 0, Grade.OK),
        (Beat(10, "up", is_stalled=True), 0, Grade.WARN),
        (Beat(10, "down"), 0, Grade.WARN),
        (Beat(300, "up"), 0, Grade.FAIL),
        (None, 20, Grade.FAIL),
    ],
    ids=["sound", "stalled", "down", "stale", "silent"],
)
def test_a_sign_of_life(beat, listened_s, grade):
    verdict = judged_beat(beat, listened_s)
    assert verdict is not None
    assert verdict.grade is grade


def test_hearing_nothing_for_a_short_time_says_nothing():
    assert judged_beat(None, 4) is None


@pytest.mark.parametrize(
    ("waiting", "in_flight", "is_running", "grade"),
    [(0, 0, True, Grade.OK), (5, 0, False, Grade.WARN), (0, 256, True, Grade.FAIL), (0, 256, False, Grade.WARN)],
)
def test_what_waits(waiting, in_flight, is_running, grade):
    given = answer() | {"num_pending": waiting, "num_ack_pending": in_flight}
    assert judged_waiting(Durable.from_answer(given, NOW), is_running=is_running).grade is grade


@pytest.mark.parametrize(
    ("backlog", "is_running", "grade"),
    [
        (Backlog(0, None, 0), True, Grade.OK),
        (Backlog(1, 5.0, 0), True, Grade.OK),
        (Backlog(1, 300.0, 0), True, Grade.FAIL),
        (Backlog(1, 300.0, 0), False, Grade.WARN),
        (Backlog(0, None, 2), True, Grade.WARN),
    ],
    ids=["nothing", "new", "stuck", "not-running", "parked"],
)
def test_what_is_undecided(backlog, is_running, grade):
    assert judged_backlog(backlog, is_running=is_running).grade is grade


def test_a_halt_is_a_warning_with_its_reason():
    verdict = judged_latches({"local": ("HALTED", "earnings day"), "operator": ("ACTIVE", "")}, [])
    assert verdict.grade is Grade.WARN
    assert verdict.message == "local HALTED earnings day"
    assert judged_latches({}, []).grade is Grade.OK
    assert judged_latches({}, ["daily loss since today"]).grade is Grade.WARN


@pytest.mark.parametrize(
    ("last", "grade"),
    [(date(2028, 12, 31), Grade.OK), (date(2026, 4, 1), Grade.WARN), (date(2026, 3, 1), Grade.FAIL)],
)
def test_a_calendar_that_ends(last, grade):
    calendar = Calendar(date(2024, 1, 1), last, frozenset(), frozenset())
    assert judged_calendar(calendar, NOW, (Session.REGULAR,)).grade is grade


@pytest.mark.parametrize(
    ("facts", "grade"),
    [
        (EngineFacts("paper", is_paper=True), Grade.OK),
        (EngineFacts("broker", is_paper=False, trouble="refused"), Grade.FAIL),
        (EngineFacts("broker", is_paper=False, is_blocked=True), Grade.WARN),
        (EngineFacts("broker", is_paper=False, took_s=3.0), Grade.WARN),
    ],
    ids=["paper", "trouble", "blocked", "slow"],
)
def test_an_engine(facts, grade):
    assert judged_engine(facts).grade is grade
