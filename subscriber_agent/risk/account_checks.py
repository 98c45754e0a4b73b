"""The account and the engine: what is held, by ticker, catalyst and sector; whether the engine may get an order."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from subscriber_agent.accounting.book import ZERO, total_known
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.fields import folded
from subscriber_agent.risk.findings import Case, Finding, Holding, judged, passed, refused, unsaid
from subscriber_agent.risk.market import Health
from subscriber_agent.risk.sizing import share_capped


def open_positions(case: Case) -> Finding:
    """Refuse at `max_open_positions` positions and working entries."""
    count, limit = len(case.book.occupied), case.limits.max_open_positions
    return judged(count < limit, Code.MAX_OPEN_POSITIONS, count, limit)


def one_per_ticker(case: Case) -> Finding:
    """Refuse a second entry in a ticker, and one against an order that is under way."""
    ticker, book = case.signal.ticker, case.book
    opposite = [each for each in book.working if each.ticker == ticker and each.side not in (None, case.side)]
    if opposite or ticker in book.exiting:
        return refused(Code.OPPOSITE_ORDER_OPEN, ticker, "no order the other way round")
    return judged(ticker not in book.occupied, Code.ALREADY_IN_POSITION, ticker, "one position per ticker")


def ticker_exposure(case: Case) -> Finding:
    """Cut down so that the ticker stays within its share of equity."""
    return share_capped(
        case, Code.MAX_TICKER_EXPOSURE, case.limits.max_ticker_exposure_percent, held_in_ticker_usd(case)
    )


def catalyst_exposure(case: Case) -> Finding:
    """Cut down so that what this catalyst opened stays within its share; an unknown one counts as this one."""
    return share_capped(
        case, Code.MAX_CATALYST_EXPOSURE, case.limits.max_catalyst_exposure_percent, held_in_catalyst_usd(case)
    )


def sector_exposure(case: Case) -> Finding:
    """Cut down so that the sector stays within its share; an unknown sector may be any, so it counts as every one."""
    return share_capped(
        case, Code.MAX_SECTOR_EXPOSURE, case.limits.max_sector_exposure_percent, held_in_sector_usd(case)
    )


def account_blocked(case: Case) -> Finding:
    """Refuse when the broker blocked the account, or does not say."""
    is_blocked = case.book.is_blocked
    if is_blocked is None:
        return unsaid(case, Code.ACCOUNT_BLOCKED, "not blocked")
    return judged(not is_blocked, Code.ACCOUNT_BLOCKED, "blocked" if is_blocked else "not blocked", "not blocked")


def approval(case: Case) -> Finding:
    """Ask for the friend's word in mode `approve` and above `approve_above_usd`; his word is for one revision."""
    signal, market, above = case.signal, case.market, case.limits.approve_above_usd
    value = (case.quantity or ZERO) * (case.prices.value or ZERO)
    limit = "your word for each entry" if market.approve_all else f"your word above {above:f} USD"
    if (signal.signal_id, signal.revision) in market.approvals:
        return passed("approved", limit)
    is_needed = market.approve_all or value > above
    return judged(not is_needed, Code.APPROVAL_REQUIRED, f"{value:.2f} USD, not approved", limit)


def engine_health(case: Case) -> Finding:
    """Refuse while the engine's circuit is open; a probe goes through."""
    health, limit = case.market.health, f"{Health.OK} or {Health.PROBE}"
    if health is None:
        return unsaid(case, Code.ENGINE_UNHEALTHY, limit)
    return judged(health is not Health.OPEN, Code.ENGINE_UNHEALTHY, health, limit)


def ledger_match(case: Case) -> Finding:
    """Refuse when engine and journal do not agree about what is held, or were not compared."""
    is_mismatch, limit = case.market.is_ledger_mismatch, "engine and journal agree"
    if is_mismatch is None:
        return unsaid(case, Code.LEDGER_MISMATCH, limit)
    return judged(not is_mismatch, Code.LEDGER_MISMATCH, "they differ" if is_mismatch else "they agree", limit)


def held_in_ticker_usd(case: Case) -> Decimal | None:
    """Gross value in the signal's ticker, in USD; None when it is not known."""
    ticker = case.signal.ticker
    return _held(case, lambda each: each.ticker == ticker)


def held_in_catalyst_usd(case: Case) -> Decimal | None:
    """Gross value of what the signal's catalyst opened, or an unknown one did, in USD; None when it is not known."""
    counted = ("", case.signal.catalyst)
    return _held(case, lambda each: each.catalyst in counted)


def held_in_sector_usd(case: Case) -> Decimal | None:
    """Gross value in the signal's sector, or in any when one of the two is not known, in USD; None when unknown."""
    mine = folded(case.signal.market.sector or "")
    return _held(case, lambda each: not (mine and each.sector) or each.sector == mine)


def _held(case: Case, counts: Callable[[Holding], bool]) -> Decimal | None:
    """Gross value in USD of the positions and working entries that count; None when one of them is not known."""
    return total_known(each.gross_usd for each in case.worth.holdings if counts(each))
