"""Is this message to be acted on at all: trading state, withdrawn, superseded, acted on, a drill, nothing to close."""

from __future__ import annotations

from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, judged, passed, refused
from subscriber_agent.risk.market import TradingState


def trading_state(case: Case) -> Finding:
    """Refuse everything while HALTED, entries while REDUCING; nothing comes before this, and nothing skips it."""
    state = case.market.trading_state
    if state is TradingState.HALTED:
        return refused(Code.HALTED, state, "ACTIVE, or REDUCING for exits")
    if state is TradingState.REDUCING and not case.is_exit:
        return refused(Code.REDUCING, state, TradingState.ACTIVE)
    return passed(state, "ACTIVE, or REDUCING for exits")


def retracted(case: Case) -> Finding:
    """Refuse what was withdrawn. A retraction is final: a later revision of a withdrawn signal is refused as well."""
    return refused(Code.RETRACTED, "withdrawn", "valid") if case.market.is_retracted else passed("valid", "valid")


def superseded(case: Case) -> Finding:
    """Refuse a revision when a later one is known."""
    mine, latest = case.signal.revision, case.market.latest_revision
    if latest > mine:
        return refused(Code.SUPERSEDED, f"revision {mine}", f"revision {latest}")
    return passed(f"revision {mine}", "the latest revision")


def duplicate(case: Case) -> Finding:
    """Refuse a signal that was acted on, whatever its revision."""
    if case.signal.signal_id in case.book.acted_ids:
        return refused(Code.DUPLICATE, "acted on before", "once per signal")
    return passed("not acted on", "once per signal")


def drill(case: Case) -> Finding:
    """Refuse fire drills on real engines. Any mark but "false" is one: a misspelt mark must not reach real money."""
    mark = case.signal.meta.get("drill", "false")
    is_allowed = mark == "false" or case.market.is_paper
    return judged(is_allowed, Code.DRILL_REFUSED, f"drill: {mark}", "paper engines only")


def position_to_close(case: Case) -> Finding:
    """Refuse an exit without a position, or whose position other exits under way will close: that would open one."""
    ticker = case.signal.ticker
    quantity = case.book.closable(ticker)
    if quantity == 0:
        words = "is being closed already" if ticker in case.book.exiting else "no position"
        return refused(Code.NO_POSITION, f"{ticker}: {words}", "a position")
    return passed(quantity, "a position")
