from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.plan import (
    Actual,
    CreateDurable,
    CreateStream,
    UpdateDurable,
    UpdateStream,
    newcomers,
    plan,
    without_newcomers,
)
from signal_admin.registry import User
from signal_contract.topology import durable_config, feedback_stream_config, stream_config

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ALICE = User("alice", "UALICE", ("signals.fda.*",), NOW)
BOB = User("bob", "UBOB", ("signals.*.AAPL", "signals.*.MSFT"), NOW, start_sequence=7)
STREAM = stream_config()
THERE = {"SIGNALS": STREAM}


def durable(user: User, **changes) -> dict:
    return {**durable_config(user.name, user.filters, start_sequence=user.start_sequence or 1), **changes}


def test_nothing_there_makes_stream_and_durables_in_this_order():
    actions = plan([ALICE, BOB], [STREAM], Actual()).actions
    assert [type(each) for each in actions] == [CreateStream, CreateDurable, CreateDurable]


def test_all_as_it_should_be_needs_nothing():
    actual = Actual(THERE, 100, {"sub_alice": durable(ALICE), "sub_bob": durable(BOB)})
    assert plan([ALICE, BOB], [STREAM], actual) == plan([], [STREAM], Actual(THERE))


def test_a_new_user_starts_after_the_last_message():
    (create,) = plan([ALICE], [STREAM], Actual(THERE, 41, {})).actions
    assert create.config["deliver_policy"] == "by_start_sequence"
    assert create.config["opt_start_seq"] == 42
    assert create.user.start_sequence == 42


def test_a_lost_durable_is_made_again_from_where_its_user_started():
    (create,) = plan([BOB], [STREAM], Actual(THERE, 5000, {})).actions
    assert create.config["opt_start_seq"] == 7


def test_changed_filters_update_the_durable_and_keep_its_start():
    wider = replace(ALICE, filters=("signals.fda.*", "signals.merger.*"))
    (update,) = plan([wider], [STREAM], Actual(THERE, 9, {"sub_alice": durable(ALICE, opt_start_seq=3)})).actions
    assert isinstance(update, UpdateDurable)
    assert update.changes == ("filter_subjects",)
    assert update.config["opt_start_seq"] == 3
    assert "signals.merger.*" in update.config["filter_subjects"]


def test_the_order_of_filters_does_not_count():
    there = durable(BOB)
    there["filter_subjects"] = there["filter_subjects"][::-1]
    assert plan([BOB], [STREAM], Actual(THERE, 9, {"sub_bob": there})).actions == ()


def test_a_changed_limit_updates_the_stream():
    (update,) = plan([], [STREAM], Actual({"SIGNALS": {**STREAM, "max_bytes": 5, "metadata": {"a": "b"}}})).actions
    assert isinstance(update, UpdateStream)
    assert update.changes == ("max_bytes",)
    assert update.config["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    "difference", [{"storage": "memory"}, {"deny_delete": False}, {"deny_purge": False}, {"retention": "interest"}]
)
def test_what_cannot_be_changed_on_a_stream_is_refused_by_name(difference):
    made = plan([], [STREAM], Actual({"SIGNALS": {**STREAM, **difference}}))
    assert made.actions == ()
    assert next(iter(difference)) in made.refusals[0]


def test_every_stream_of_the_plan_is_made_and_compared_for_itself():
    feedback = feedback_stream_config()
    made = plan([], [STREAM, feedback], Actual(THERE))
    assert [each.config["name"] for each in made.actions] == ["FEEDBACK"]
    (update,) = plan([], [STREAM, feedback], Actual({**THERE, "FEEDBACK": {**feedback, "max_age": 1}})).actions
    assert (update.config["name"], update.changes) == ("FEEDBACK", ("max_age",))
    refused = plan([], [STREAM, feedback], Actual({**THERE, "FEEDBACK": {**feedback, "storage": "memory"}}))
    assert refused.refusals == ("stream FEEDBACK: storage is 'memory', wanted 'file', and cannot be changed",)


def test_postponed_users_keep_everything_else_of_the_plan():
    todo = plan([ALICE, BOB], [STREAM], Actual({}, 0, {"sub_bob": durable(BOB, max_batch=1)}))
    assert newcomers(todo) == ("alice",)
    later = without_newcomers(todo)
    assert [type(each) for each in later.actions] == [CreateStream, UpdateDurable]
    assert later.postponed == ("alice",)


@pytest.mark.parametrize("difference", [{"ack_policy": "none"}, {"max_waiting": 512}, {"replay_policy": "original"}])
def test_what_cannot_be_changed_on_a_durable_is_refused_by_name(difference):
    made = plan([ALICE], [STREAM], Actual(THERE, 1, {"sub_alice": durable(ALICE, **difference)}))
    assert made.actions == ()
    assert next(iter(difference)) in made.refusals[0]


def test_a_durable_of_nobody_is_told_and_left_alone():
    made = plan([], [STREAM], Actual(THERE, 1, {"sub_mallory": durable(ALICE)}))
    assert made.strangers == ("sub_mallory",)
    assert made.actions == ()


@given(st.permutations([ALICE, BOB, User("carol", "UC", ("signals.*.*",), NOW)]), st.integers(0, 10**9))
def test_a_carried_out_plan_leaves_nothing_to_do(users, last_sequence):
    first = plan(users, [STREAM], Actual({}, last_sequence, {}))
    creates = [each for each in first.actions if isinstance(each, CreateDurable)]
    there = {each.config["name"]: each.config for each in creates}
    second = plan([each.user for each in creates], [STREAM], Actual(THERE, last_sequence, there))
    assert second.actions == second.refusals == second.strangers == ()
