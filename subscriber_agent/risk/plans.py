"""The orders that decisions end in: an entry with its stop, an exit that closes, and who has been held too long."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from subscriber_agent.accounting.book import ZERO, Book, Leg, Position, Side
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.findings import Case
from subscriber_agent.risk.limits import EVERYTHING, Limits
from subscriber_agent.risk.prices import price_known
from subscriber_agent.risk.quote_checks import exit_ticks
from subscriber_agent.risk.stop_checks import max_hold_s
from subscriber_agent.risk.time_checks import is_extended


def entry_plan(case: Case, quantity: Decimal) -> OrderPlan:
    """The entry of `quantity` shares: at the market on paper, with real money or a quote a limit; for the day."""
    signal, limits, prices = case.signal, case.limits, case.prices
    stop, target = exit_ticks(prices)
    return OrderPlan(
        ticker=signal.ticker,
        side=case.side,
        leg=Leg.ENTRY,
        quantity=quantity,
        order_type=OrderType.MARKET if prices.limit is None else OrderType.LIMIT,
        limit_price=prices.limit,
        stop_price=stop,
        target_price=target,
        time_in_force=TimeInForce.DAY,
        reference_price=signal.reference_price,
        reference_price_at=signal.reference_price_at,
        catalyst=signal.catalyst,
        sector=signal.market.sector,
        trailing_stop_percent=limits.trailing_stop_percent or None,
        max_hold_s=max_hold_s(case),
        extended_hours=is_extended(case),
    )


def exit_plan(case: Case) -> OrderPlan:
    """The exit that a close signal asks for: everything that no other exit is closing."""
    signal = case.signal
    return closing_plan(
        case.book.positions[signal.ticker],
        case.book.closable(signal.ticker),
        price=signal.reference_price,
        price_at=signal.reference_price_at,
        catalyst=signal.catalyst,
    )


def closing_plan(
    position: Position,
    quantity: Decimal,
    *,
    price: Decimal | None = None,
    price_at: datetime | None = None,
    catalyst: str = "",
) -> OrderPlan:
    """A market order that closes `quantity` shares: for close signals, time exits and `flatten`.

    It is never a limit: an exit that waits for a price is not an exit. Without `price` the last known one is noted.
    """
    known = price_known(price)
    return OrderPlan(
        ticker=position.ticker,
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        leg=Leg.EXIT,
        quantity=quantity,
        order_type=OrderType.MARKET,
        limit_price=None,
        stop_price=None,
        target_price=None,
        time_in_force=TimeInForce.DAY,
        reference_price=known if known is not None else position.last_price,
        reference_price_at=price_at,
        catalyst=catalyst or position.catalyst,
        sector=position.sector,
    )


def held_too_long(book: Book, limits: Limits, now: datetime) -> tuple[OrderPlan, ...]:
    """Exits, by ticker, for positions past the time limit that they were opened with (code MAX_HOLD).

    Without one, the limit of the catalyst that opened them counts. What is none of ours is left alone.
    """
    plans = []
    for ticker, position in sorted(book.positions.items()):
        limits_s = limits.max_hold_s_by_catalyst
        seconds = position.max_hold_s or limits_s.get(position.catalyst, limits_s.get(EVERYTHING))
        quantity = book.closable(ticker)
        if seconds is not None and quantity > ZERO and now - position.opened_at >= _span(seconds):
            plans.append(closing_plan(position, quantity))
    return tuple(plans)


def _span(seconds: Decimal) -> timedelta:
    return timedelta(microseconds=int(seconds * 1_000_000))
