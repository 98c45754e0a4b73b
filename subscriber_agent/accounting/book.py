"""What a friend holds: cash, positions and recent orders as frozen values, and the fold that makes them from fills.

Pure: knows neither journal nor engine. Quantities are signed here (a short position is negative), prices are USD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

ZERO = Decimal(0)
# 10^18 USD: beyond it a number is a fault somewhere, and its products would leave the arithmetic's range.
_DIGITS = 18


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Leg(StrEnum):
    """Which part of a trade an order is: it opens, closes on a signal, or was triggered by its own stop or target.

    ADJUST is no order: the friend accepted the engine's word on what he holds (`reconcile --accept`).
    """

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"
    ADJUST = "adjust"


_SIDES, _LEGS = {each.value: each for each in Side}, {each.value: each for each in Leg}


def side_from(text: str) -> Side:
    """`Side(text)`, faster: years of executions are read at each start. Raises ValueError."""
    return _SIDES.get(text) or Side(text)


def leg_from(text: str) -> Leg:
    """`Leg(text)`, faster. Raises ValueError."""
    return _LEGS.get(text) or Leg(text)


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution; `quantity` in shares, always positive. Stop, target and catalyst matter on entries only."""

    order_id: str
    ticker: str
    side: Side
    leg: Leg
    quantity: Decimal
    price: Decimal
    at: datetime
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    catalyst: str = ""
    sector: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """One open position. `quantity` is signed, `last_price` None means that nobody knows what it is worth.

    `ours` are the shares of it (positive) that this agent opened and may close, None: all. `max_hold_s` is the time
    limit that it was opened with. `opened_by` is the entry's order id, "" when it is none of ours.
    """

    ticker: str
    quantity: Decimal
    average_price: Decimal
    last_price: Decimal | None
    opened_at: datetime
    opened_by: str
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    catalyst: str = ""
    sector: str | None = None
    ours: Decimal | None = None
    max_hold_s: Decimal | None = None

    @property
    def value(self) -> Decimal | None:
        """Signed market value in USD, None when the price is not known."""
        quantity, price = known(self.quantity), known(self.last_price)
        return None if quantity is None or price is None else known(quantity * price)

    @property
    def unrealised_usd(self) -> Decimal | None:
        return None if self.value is None else self.value - self.quantity * self.average_price


@dataclass(frozen=True, slots=True)
class WorkingEntry:
    """An entry that was handed over and whose outcome is not known yet: it may fill at any moment.

    What is not known of it (side, catalyst "", sector) counts as whatever the next entry must not meet.
    """

    ticker: str
    notional_usd: Decimal
    side: Side | None = None
    catalyst: str = ""
    sector: str | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that the checks need to know about an account at one moment; None means not known.

    `entry_times` are the instants of entry orders in the last 24 hours, `acted_ids` the signal ids acted on before,
    `exiting` the shares (positive) by ticker that exits under way will close. `is_blocked`: the broker's word that the
    account may not trade. `stated_usd` is the engine's own word on equity, for when a position has no price.
    """

    cash: Decimal | None
    positions: Mapping[str, Position] = field(default_factory=lambda: MappingProxyType({}))
    realised_usd: Decimal = ZERO
    working: tuple[WorkingEntry, ...] = ()
    entry_times: tuple[datetime, ...] = ()
    acted_ids: frozenset[str] = frozenset()
    exiting: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    is_blocked: bool | None = None
    stated_usd: Decimal | None = None

    @property
    def equity(self) -> Decimal | None:
        """Cash plus the market value of every position, in USD; where a part is not known, the engine's own word."""
        worth = known(total_known([self.cash, *(each.value for each in self.positions.values())]))
        return known(self.stated_usd) if worth is None else worth

    @property
    def exposure(self) -> Decimal | None:
        """Gross market value of positions and working entries, in USD; None when one part is not known."""
        held = [None if (value := each.value) is None else abs(value) for each in self.positions.values()]
        return known(total_known([*held, *(each.notional_usd for each in self.working)]))

    @property
    def buying_power(self) -> Decimal | None:
        """Cash an entry may use, in USD. Leverage is 1.0: a short blocks its proceeds and as much again."""
        cash, working = known(self.cash), total_known([each.notional_usd for each in self.working])
        # A position of unknown worth makes this None as well: it may be a short.
        shorts = total_known([_short_value(each) for each in self.positions.values()])
        return None if cash is None or shorts is None or working is None else known(cash + 2 * shorts - working)

    def closable(self, ticker: str) -> Decimal:
        """Our shares of a position that no exit under way will close yet, never negative; 0 without a position."""
        held = self.positions.get(ticker)
        quantity = None if held is None else known(held.quantity)
        if held is None or quantity is None:
            return ZERO
        ours = abs(quantity) if held.ours is None else min(abs(quantity), held.ours)
        return max(ours - (known(self.exiting.get(ticker)) or ZERO), ZERO)

    @property
    def occupied(self) -> frozenset[str]:
        """Tickers with a position or a working entry."""
        return frozenset(self.positions) | {each.ticker for each in self.working}

    def after(self, fill: Fill) -> Book:
        """The book once `fill` is booked; a fill that returns a position to zero removes it."""
        return self.after_all((fill,))

    def after_all(self, fills: Iterable[Fill]) -> Book:
        """The book once `fills` are booked, the oldest first: years of them are read at each start."""
        if self.cash is None:
            raise ValueError("a fill cannot be booked on an unknown amount of cash")
        cash, realised, positions = self.cash, self.realised_usd, dict(self.positions)
        for fill in fills:
            signed = fill.side.sign * fill.quantity
            held = positions.pop(fill.ticker, None)
            if held is None:
                positions[fill.ticker] = _opened(fill, signed)
            else:
                realised += _realised(held, signed, fill.price)
                changed = _changed(held, signed, fill)
                if changed is not None:
                    positions[fill.ticker] = changed
            cash -= signed * fill.price
        return replace(self, cash=cash, positions=MappingProxyType(positions), realised_usd=realised)

    def marked(self, ticker: str, price: Decimal) -> Book:
        """The book with a newer price for a ticker; unchanged when there is no position in it."""
        held = self.positions.get(ticker)
        if held is None:
            return self
        positions = {**self.positions, ticker: replace(held, last_price=price)}
        return replace(self, positions=MappingProxyType(positions))


def book_from(fills: Iterable[Fill], *, start_cash: Decimal, marks: Mapping[str, Decimal] | None = None) -> Book:
    """Fold fills, oldest first, over `start_cash` USD; `marks` are the latest known prices by ticker."""
    book = Book(cash=start_cash).after_all(fills)
    for ticker, price in (marks or {}).items():
        book = book.marked(ticker, price)
    return book


def known(value: Decimal | None) -> Decimal | None:
    """The value, or None for a NaN, an infinity or what no account holds: what is not an amount is not known."""
    return value if value is not None and value.is_finite() and value.adjusted() < _DIGITS else None


def total_known(parts: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None when one part is not known, or is no amount."""
    total = ZERO
    for part in parts:
        if known(part) is None or part is None:
            return None
        total += part
    return total


def _short_value(position: Position) -> Decimal | None:
    value = position.value
    return None if value is None else min(value, ZERO)


def _opened(fill: Fill, signed: Decimal) -> Position:
    return Position(
        ticker=fill.ticker,
        quantity=signed,
        average_price=fill.price,
        last_price=fill.price,
        opened_at=fill.at,
        opened_by=fill.order_id,
        stop_price=fill.stop_price,
        target_price=fill.target_price,
        catalyst=fill.catalyst,
        sector=fill.sector,
    )


def _changed(held: Position, signed: Decimal, fill: Fill) -> Position | None:
    quantity = held.quantity + signed
    if quantity == 0:
        return None
    if (quantity > 0) != (held.quantity > 0):
        return _opened(fill, quantity)
    average = held.average_price
    if abs(quantity) > abs(held.quantity):
        average = (held.average_price * held.quantity + fill.price * signed) / quantity
    return replace(held, quantity=quantity, average_price=average, last_price=fill.price)


def _realised(held: Position, signed: Decimal, price: Decimal) -> Decimal:
    if (held.quantity > 0) == (signed > 0):
        return ZERO
    closed = min(abs(held.quantity), abs(signed)).copy_sign(held.quantity)
    return closed * (price - held.average_price)
