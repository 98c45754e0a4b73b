"""Taking the engine's word: the execution that makes our own log hold what the engine holds. Pure.

It is no trade: nothing is ordered. Its id follows from the difference and the moment: one acceptance books once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from subscriber_agent.accounting.book import Fill, Leg, Position, Side, known
from subscriber_agent.accounting.differences import Difference
from subscriber_agent.risk.decision import text_of


def adjustment(difference: Difference, own: Position | None, at: datetime, *, last: Decimal | None = None) -> Fill:
    """The fill that settles a difference of positions, at the engine's average price, else the last one known.

    `own` is our position in the ticker, `last` its last price in USD, when somebody knows one. Raises ValueError for a
    difference that is none of positions, and for a number or a price that is not known.
    """
    if not difference.kind.is_position:
        raise ValueError(f"{difference.kind.value} is not about shares held")
    there, price = known(difference.engines), _price(difference, own, last)
    if there is None:
        raise ValueError("the engine gives no number of shares")
    if price is None:
        raise ValueError("no price is known for it")
    missing = there - difference.ours
    return Fill(
        order_id=_order_id(difference, at),
        ticker=difference.ticker,
        side=Side.BUY if missing > 0 else Side.SELL,
        leg=Leg.ADJUST,
        quantity=abs(missing),
        price=price,
        at=at,
        catalyst="" if own is None else own.catalyst,
        sector=None if own is None else own.sector,
    )


def _price(difference: Difference, own: Position | None, last: Decimal | None) -> Decimal | None:
    candidates: Iterable[Decimal | None] = (
        difference.price,
        last,
        None if own is None else own.last_price,
        None if own is None else own.average_price,
    )
    return next((each for each in candidates if (amount := known(each)) is not None and amount > 0), None)


def _order_id(difference: Difference, at: datetime) -> str:
    parts = (difference.ticker, text_of(difference.ours), text_of(difference.engines), at.isoformat())
    return f"cs-adjust-{hashlib.sha256(chr(0x1F).join(parts).encode()).hexdigest()[:32]}"
