"""The one decision function: used live, in `explain`, in replays and in the property tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from signal_contract.model import Action, Event, Signal
from subscriber_agent.book import Book, Leg, Side
from subscriber_agent.risk.checks import CHECKS
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import (
    CheckOutcome,
    CheckResult,
    Decision,
    OrderPlan,
    OrderType,
    TimeInForce,
    Verdict,
)
from subscriber_agent.risk.findings import Case
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market

# Products of the longest wire decimals (25 digits) stay exact, and nobody's thread-wide setting changes a decision.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def decide(
    signal: Signal, book: Book, limits: Limits, market: Market, now: datetime, *, show_all: bool = False
) -> Decision:
    """Decide about one signal. Same inputs, same answer, byte for byte; `now` is an aware instant.

    Stops at the first refusal; `show_all` evaluates every check (for `explain`) and comes to the same verdict.
    A signal that asks for no order (watch, retract) is NOTED; everything else meets the trading state first.
    """
    note = _note(signal)
    if note is not None:
        return Decision(signal.signal_id, signal.revision, Verdict.NOTED, note, (), None, now)
    with localcontext(_EXACT):
        case, results, code = _checked(Case(signal, book, limits, market, now), show_all=show_all)
        plan = None if code is not None else _plan(case)
    verdict = Verdict.ACCEPTED if code is None else Verdict.REFUSED
    if code is None and market.notify_only:
        verdict, code = Verdict.NOTED, Code.NOTIFY_ONLY
    return Decision(signal.signal_id, signal.revision, verdict, code, tuple(results), plan, now)


def _note(signal: Signal) -> Code | None:
    if signal.event is Event.RETRACT:
        return Code.RETRACTION
    return Code.WATCH_ONLY if signal.action is Action.WATCH else None


def _checked(case: Case, *, show_all: bool) -> tuple[Case, list[CheckResult], Code | None]:
    results: list[CheckResult] = []
    first: Code | None = None
    for check in CHECKS:
        if not check.applies_to(case):
            continue
        finding = check.run(case)
        results.append(CheckResult(check.name, finding.outcome, finding.code, finding.observed, finding.limit))
        if finding.quantity is not None:
            case = replace(case, quantity=finding.quantity)
        if finding.outcome is CheckOutcome.REFUSE:
            first = first or finding.code
            if not show_all:
                break
    return case, results, first


def _plan(case: Case) -> OrderPlan:
    return _exit_plan(case) if case.is_exit else _entry_plan(case)


def _entry_plan(case: Case) -> OrderPlan:
    signal = case.signal
    return OrderPlan(
        ticker=signal.ticker,
        side=Side.BUY if signal.action is Action.BUY else Side.SELL,
        leg=Leg.ENTRY,
        quantity=case.quantity or Decimal(0),
        order_type=OrderType.MARKET,
        limit_price=None,
        stop_price=signal.stop_price,
        target_price=signal.target_price,
        time_in_force=TimeInForce.DAY,
        reference_price=signal.reference_price,
        reference_price_at=signal.reference_price_at,
        catalyst=signal.catalyst,
    )


def _exit_plan(case: Case) -> OrderPlan:
    signal = case.signal
    held = case.book.positions[signal.ticker]
    return OrderPlan(
        ticker=signal.ticker,
        side=Side.SELL if held.quantity > 0 else Side.BUY,
        leg=Leg.EXIT,
        quantity=abs(held.quantity),
        order_type=OrderType.MARKET,
        limit_price=None,
        stop_price=None,
        target_price=None,
        time_in_force=TimeInForce.DAY,
        reference_price=signal.reference_price if signal.reference_price is not None else held.last_price,
        reference_price_at=signal.reference_price_at,
        catalyst=signal.catalyst,
    )
