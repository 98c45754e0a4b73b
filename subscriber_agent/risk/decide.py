"""The one decision function: used live, in `explain`, in replays and in the property tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, localcontext
from itertools import takewhile

from signal_contract.model import Action, Event, Signal
from subscriber_agent.accounting.book import Book
from subscriber_agent.risk.checks import CHECKS, FIRST_TO_ASK, Check, Scope
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import CheckOutcome, CheckResult, Decision, OrderPlan, Verdict
from subscriber_agent.risk.findings import Case, Worth, fractional_from, server_time
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market
from subscriber_agent.risk.plans import entry_plan, exit_plan
from subscriber_agent.risk.prices import Prices, prices_from

# Products of the longest wire decimals (25 digits) stay exact, and nobody's thread-wide setting changes a decision.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_EXIT_CHECKS = tuple(each for each in CHECKS if each.scope is not Scope.ENTRY)
_ENTRY_CHECKS = tuple(each for each in CHECKS if each.scope is not Scope.EXIT)
_EARLY_ENTRY_CHECKS = tuple(takewhile(lambda each: each.name != FIRST_TO_ASK, _ENTRY_CHECKS))
# Before the price is looked at, none is needed.
_NO_PRICES = Prices(0, None, None, None, None, None, None, None)
_REFUSE = CheckOutcome.REFUSE
# What waits for the friend keeps its plan: he must see what he says yes to.
_PLANNED = (None, Code.APPROVAL_REQUIRED)


def decide(
    signal: Signal, book: Book, limits: Limits, market: Market, now: datetime, *, show_all: bool = False
) -> Decision:
    """Decide about one signal. Same inputs, same answer, byte for byte; `now` is an aware instant.

    Stops at the first refusal; `show_all` evaluates every check (for `explain`) and comes to the same verdict.
    A signal that asks for no order (watch, retract) is NOTED; everything else meets the trading state first. An entry
    that only lacks the friend's approval is NOTED with its plan; once it is in `market.approvals`, decide again.
    """
    note = _note(signal)
    if note is not None:
        return Decision(signal.signal_id, signal.revision, Verdict.NOTED, note, (), None, now)
    with localcontext(EXACT):
        case = case_from(signal, book, limits, market, now)
        case, results, code = _checked(case, checks_for(case), show_all=show_all)
        plan = _plan(case) if code in _PLANNED else None
    if code is None and market.notify_only:
        code = Code.NOTIFY_ONLY
    return Decision(signal.signal_id, signal.revision, _verdict(code), code, tuple(results), plan, now)


def decide_unasked(
    signal: Signal, limits: Limits, market: Market, now: datetime, *, has_acted: bool
) -> Decision | None:
    """The same decision, byte for byte, where it takes no word of the engine; None where it does.

    For a ticker in which our own log holds nothing and no order is under way. Of `market` only the signal's own state,
    the trading states, the clock and the kind of engine count. `has_acted`: this signal led to an order before.
    """
    note = _note(signal)
    if note is not None:
        return Decision(signal.signal_id, signal.revision, Verdict.NOTED, note, (), None, now)
    book = Book(None, acted_ids=frozenset({signal.signal_id}) if has_acted else frozenset())
    with localcontext(EXACT):
        server_now = server_time(now, market.clock_skew_s)
        case = Case(signal, book, limits, market, now, _NO_PRICES, Worth(book), server_now, is_fractional=False)
        _, results, code = _checked(case, _EXIT_CHECKS if case.is_exit else _EARLY_ENTRY_CHECKS, show_all=False)
    if code is None:
        return None
    return Decision(signal.signal_id, signal.revision, Verdict.REFUSED, code, tuple(results), None, now)


def is_noted(signal: Signal) -> bool:
    """Whether it asks for no order, so that no check concerns it."""
    return _note(signal) is not None


def _note(signal: Signal) -> Code | None:
    if signal.event is Event.RETRACT:
        return Code.RETRACTION
    return Code.WATCH_ONLY if signal.action is Action.WATCH else None


def case_from(signal: Signal, book: Book, limits: Limits, market: Market, now: datetime) -> Case:
    """What the first check is shown. Its arithmetic must run in the context EXACT."""
    prices = prices_from(signal, limits, market, now)
    server_now, is_fractional = server_time(now, market.clock_skew_s), fractional_from(limits, market)
    return Case(signal, book, limits, market, now, prices, Worth(book), server_now, is_fractional)


def checks_for(case: Case) -> tuple[Check, ...]:
    """The checks that concern this signal, in their order."""
    return _EXIT_CHECKS if case.is_exit else _ENTRY_CHECKS


def _checked(case: Case, checks: Iterable[Check], *, show_all: bool) -> tuple[Case, list[CheckResult], Code | None]:
    results: list[CheckResult] = []
    keep = results.append
    first: Code | None = None
    for check in checks:
        outcome, code, observed, limit, quantity = check.run(case)
        keep(CheckResult(check.name, outcome, code, observed, limit))
        if quantity is not None:
            case = case.resized(quantity)
        if outcome is _REFUSE:
            first = first or code
            if not show_all:
                break
    return case, results, first


def _plan(case: Case) -> OrderPlan | None:
    if case.is_exit:
        return exit_plan(case)
    return None if case.quantity is None else entry_plan(case, case.quantity)


def _verdict(code: Code | None) -> Verdict:
    if code is None:
        return Verdict.ACCEPTED
    return Verdict.NOTED if code in (Code.APPROVAL_REQUIRED, Code.NOTIFY_ONLY) else Verdict.REFUSED
