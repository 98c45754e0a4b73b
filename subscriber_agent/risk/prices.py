"""The prices that one entry is judged by: the signal's, the quote's, and the worst at which the order can fill."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from signal_contract.model import Action, Signal
from subscriber_agent.accounting.book import known
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market, Quote

_CENT, _SUB_CENT = Decimal("0.01"), Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Prices:
    """USD a share; None is not known. `side` is 1 for a buy and -1 for a short sale.

    `reference` is the signal's, `current` what a market order would pay now, `limit` the order's limit price (None: a
    market order), `worst` the least favourable fill, `value` the dearest that a share can come to: what caps count.
    """

    side: int
    reference: Decimal | None
    current: Decimal | None
    limit: Decimal | None
    worst: Decimal | None
    value: Decimal | None
    stop: Decimal | None
    target: Decimal | None

    @property
    def all_known(self) -> tuple[Decimal, ...]:
        """Every price at which the entry may come about."""
        return tuple(each for each in (self.reference, self.current, self.worst) if each is not None)


def prices_from(signal: Signal, limits: Limits, market: Market, now: datetime) -> Prices:
    """The prices of an entry at `now`. On an engine with real money the order always has a limit."""
    side = -1 if signal.action is Action.SELL else 1
    reference = price_known(signal.reference_price)
    current = current_price(market.quote, side, limits.max_quote_age_s, now)
    limit = None
    if reference is not None and (current is not None or not market.is_paper):
        limit = on_tick(reference * (100 + side * limits.max_price_move_percent) / 100, side)
    worst = reference if limit is None else price_known(limit)
    return Prices(
        side=side,
        reference=reference,
        current=current,
        limit=limit,
        worst=worst,
        value=_bought(reference, worst) if side > 0 else _dearest(reference, current, limit),
        stop=_own(worst, -side * limits.own_stop_percent) or price_known(signal.stop_price),
        target=_own(worst, side * limits.own_target_percent) or price_known(signal.target_price),
    )


def current_price(quote: Quote | None, side: int, max_age_s: Decimal, now: datetime) -> Decimal | None:
    """What a market order pays: the ask for a buy, the bid for a sale; None if missing, crossed or not of now."""
    if quote is None or quote.at.utcoffset() is None or now.utcoffset() is None:
        return None
    bid, ask = price_known(quote.bid), price_known(quote.ask)
    is_crossed = bid is not None and ask is not None and bid > ask
    if is_crossed or abs((now - quote.at).total_seconds()) > max_age_s:
        return None
    return ask if side > 0 else bid


def price_known(price: Decimal | None) -> Decimal | None:
    """A price that can be reckoned with: a number above zero."""
    return price if known(price) is not None and price is not None and price > 0 else None


def on_tick(price: Decimal, side: int) -> Decimal:
    """The price on the exchange's tick (Rule 612: 0.01 from 1 USD on, 0.0001 below): floored to buy, raised to sell.

    May come to zero, which is no price.
    """
    tick = _CENT if price >= 1 else _SUB_CENT
    return price.quantize(tick, ROUND_FLOOR if side > 0 else ROUND_CEILING)


def _bought(reference: Decimal | None, worst: Decimal | None) -> Decimal | None:
    """What a share counts as: its limit may lie a part of a tick below the reference, and the order is worth that."""
    return None if worst is None else _dearest(reference, worst)


def _dearest(*prices: Decimal | None) -> Decimal | None:
    """A short sale fills at its limit or better, and better is dearer."""
    return max((each for each in prices if each is not None), default=None)


def _own(price: Decimal | None, percent: Decimal) -> Decimal | None:
    return None if price is None or percent == 0 else price * (100 + percent) / 100
