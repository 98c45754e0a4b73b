"""Reports to the operator: no more than the friend allows, and never a reason for a trade to fail."""

from dataclasses import replace
from decimal import Decimal
from itertools import count

import pytest
from agent_samples import NOW, PAPER, D, a_book, a_close, a_position, a_signal, some_limits
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.feedback import AgentStatus, Kind, Privacy, feedback_bytes, read_feedback
from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.engines.engine import Outcome, OutcomeState
from subscriber_agent.journal import OrderIntent
from subscriber_agent.reporting.reports import (
    decision_report,
    fill_report,
    outcome_reports,
    parked_report,
    status_report,
)
from subscriber_agent.risk.decide import decide

ID = "a" * 32
FILLED = Outcome(OutcomeState.FILLED, D(92), D("5.01"), "paper")


def new_ids():
    numbers = count(1)
    return lambda: f"{next(numbers):032x}"


def accepted(signal=None, book=None):
    return decide(signal or a_signal(), book or a_book(), some_limits(), PAPER, NOW)


def an_intent(decision):
    return OrderIntent("cs-1-entry", decision.signal_id, decision.revision, decision.plan, NOW)


def a_status():
    return AgentStatus(
        version="1",
        mode="paper",
        engine="paper",
        link_state="LIVE",
        trading_state="ACTIVE",
        position=5,
        last_sequence=9,
        pending=None,
        undecided=0,
        privacy=Privacy.DECISIONS,
    )


def reported(decision, outcome, *, privacy=Privacy.FULL, is_own=False, more=()):
    """The reports of an order; what has filled of it was booked in one part, with `more` beside it."""
    intent = an_intent(decision)
    fills = [Fill(intent.order_id, "ABCD", intent.plan.side, intent.plan.leg, outcome.quantity, outcome.price, NOW)]
    booked = [*(fills if outcome.state is OutcomeState.FILLED else []), *more]
    return outcome_reports(intent, outcome, booked, NOW, privacy, new_ids(), is_own=is_own)


def everything(privacy):
    decision = accepted()
    fill = Fill("cs-1-stop", "ABCD", Side.SELL, Leg.STOP, D(92), D("4.75"), NOW)
    reports = [
        decision_report(decision, 5, NOW, privacy, ID),
        *reported(decision, FILLED, privacy=privacy),
        fill_report(fill, NOW, privacy, new_ids()),
        parked_report(5, "SIGNATURE_INVALID", NOW, privacy, ID),
        status_report(a_status(), NOW, privacy, ID),
    ]
    return [each for each in reports if each is not None]


@pytest.mark.parametrize(
    ("privacy", "kinds"),
    [
        (Privacy.NONE, []),
        (Privacy.DECISIONS, ["decision", "received", "status"]),
        (Privacy.OUTCOMES, ["decision", "order", "fill", "exit", "received", "status"]),
        (Privacy.FULL, ["decision", "order", "fill", "exit", "received", "status"]),
    ],
)
def test_only_what_the_friend_allows_leaves(privacy, kinds):
    assert [each.kind.value for each in everything(privacy)] == kinds


@pytest.mark.parametrize("privacy", [Privacy.DECISIONS, Privacy.OUTCOMES])
def test_numbers_and_details_leave_at_full_only(privacy):
    for each in everything(privacy):
        assert (each.side, each.quantity, each.price, each.detail) == (None, None, None, "")
    assert {each.price for each in everything(Privacy.FULL)} == {D(5), D("5.01"), D("4.75"), None}


def test_a_decision_says_verdict_reason_and_place():
    found = decision_report(accepted(a_signal(confidence=D("0.1"))), 7, NOW, Privacy.DECISIONS, ID)
    assert (found.label, found.code, found.stream_seq, found.revision) == ("REFUSED", "LOW_CONFIDENCE", 7, 1)
    assert (found.feedback_id, found.at) == (ID, NOW)


def test_a_filled_exit_is_an_exit_and_what_was_not_filled_is_an_order_only():
    closing = accepted(a_close(), a_book("1", a_position()))
    kinds = [each.kind for each in reported(closing, FILLED)]
    assert kinds == [Kind.ORDER, Kind.EXIT]
    rejected = Outcome(OutcomeState.REJECTED, detail="no")
    (only,) = reported(accepted(), rejected)
    assert (only.kind, only.label, only.detail, only.price) == (Kind.ORDER, "REJECTED", "no", None)


def test_each_part_and_each_leg_that_was_booked_is_told_once_with_its_own_numbers():
    stop = Fill("cs-1-stop", "ABCD", Side.SELL, Leg.STOP, D(40), D("4.7"), NOW)
    order, fill, leg = reported(accepted(), FILLED, more=[stop])
    assert (order.kind, fill.kind, fill.quantity) == (Kind.ORDER, Kind.FILL, 92)
    assert (leg.kind, leg.label, leg.quantity, leg.signal_id) == (Kind.EXIT, "stop", 40, order.signal_id)


def test_of_an_own_exit_only_the_execution_is_told_and_no_signal():
    (only,) = reported(accepted(a_close(), a_book("1", a_position())), FILLED, is_own=True)
    assert (only.kind, only.label, only.signal_id) == (Kind.EXIT, "exit", None)


def test_each_report_has_an_id_of_its_own():
    reports = reported(accepted(), FILLED)
    assert len({each.feedback_id for each in reports}) == 2


def test_a_stop_that_was_hit_says_which_and_may_name_its_entrys_signal():
    fill = Fill("cs-1-target", "ABCD", Side.SELL, Leg.TARGET, D(92), D(6), NOW)
    found = fill_report(fill, NOW, Privacy.OUTCOMES, new_ids(), signal_id="b" * 32)
    assert (found.kind, found.label, found.signal_id) == (Kind.EXIT, "target", "b" * 32)


@given(
    st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(min_value=0, max_value=10**16, places=15),
    st.text(max_size=400),
)
def test_no_outcome_whatever_its_numbers_and_words_fails_to_be_reported(number: Decimal, detail: str):
    outcome = replace(FILLED, quantity=number, price=number, detail=detail)
    for each in reported(accepted(), outcome):
        assert read_feedback(each.subject("alice"), feedback_bytes(each)) == ("alice", each)
