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


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Leg(StrEnum):
    """Which part of a trade an order is: it opens, closes on a signal, or was triggered by its own stop or target."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"


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


@dataclass(frozen=True, slots=True)
class Position:
    """One open position. `quantity` is signed, `last_price` None means that nobody knows what it is worth."""

    ticker: str
    quantity: Decimal
    average_price: Decimal
    last_price: Decimal | None
    opened_at: datetime
    opened_by: str
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    catalyst: str = ""

    @property
    def value(self) -> Decimal | None:
        """Signed market value in USD, None when the price is not known."""
        return known(self.quantity * self.last_price if self.last_price is not None else None)

    @property
    def unrealised_usd(self) -> Decimal | None:
        return None if self.value is None else self.value - self.quantity * self.average_price


@dataclass(frozen=True, slots=True)
class WorkingEntry:
    """An entry that was handed over and whose outcome is not known yet: it may fill at any moment."""

    ticker: str
    notional_usd: Decimal


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that the checks need to know about an account at one moment; None means not known.

    `entry_times` are the instants of entry orders in the last 24 hours, `acted_ids` the signal ids acted on before.
    """

    cash: Decimal | None
    positions: Mapping[str, Position] = field(default_factory=lambda: MappingProxyType({}))
    realised_usd: Decimal = ZERO
    working: tuple[WorkingEntry, ...] = ()
    entry_times: tuple[datetime, ...] = ()
    acted_ids: frozenset[str] = frozenset()

    @property
    def equity(self) -> Decimal | None:
        """Cash plus the market value of every position, in USD; None when one part is not known."""
        return known(_total([self.cash, *(each.value for each in self.positions.values())]))

    @property
    def exposure(self) -> Decimal | None:
        """Gross market value of positions and working entries, in USD; None when one part is not known."""
        held = _total([None if each.value is None else abs(each.value) for each in self.positions.values()])
        return None if held is None else known(held + self.working_usd)

    @property
    def working_usd(self) -> Decimal:
        return sum((each.notional_usd for each in self.working), ZERO)

    @property
    def buying_power(self) -> Decimal | None:
        """Cash an entry may use, in USD. Leverage is 1.0: a short blocks its proceeds and as much again."""
        shorts = _total([each.value for each in self.positions.values() if each.quantity < 0])
        if self.cash is None or shorts is None:
            return None
        return known(self.cash + 2 * shorts - self.working_usd)

    @property
    def occupied(self) -> frozenset[str]:
        """Tickers with a position or a working entry."""
        return frozenset(self.positions) | {each.ticker for each in self.working}

    def after(self, fill: Fill) -> Book:
        """The book once `fill` is booked; a fill that returns a position to zero removes it."""
        if self.cash is None:
            raise ValueError("a fill cannot be booked on an unknown amount of cash")
        signed = fill.side.sign * fill.quantity
        held = self.positions.get(fill.ticker)
        realised = _realised(held, signed, fill.price)
        position = _opened(fill, signed) if held is None else _changed(held, signed, fill)
        positions = {ticker: each for ticker, each in self.positions.items() if ticker != fill.ticker}
        if position is not None:
            positions[fill.ticker] = position
        return replace(
            self,
            cash=self.cash - signed * fill.price,
            positions=MappingProxyType(positions),
            realised_usd=self.realised_usd + realised,
        )

    def marked(self, ticker: str, price: Decimal) -> Book:
        """The book with a newer price for a ticker; unchanged when there is no position in it."""
        held = self.positions.get(ticker)
        if held is None:
            return self
        positions = {**self.positions, ticker: replace(held, last_price=price)}
        return replace(self, positions=MappingProxyType(positions))


def book_from(fills: Iterable[Fill], *, start_cash: Decimal, marks: Mapping[str, Decimal] | None = None) -> Book:
    """Fold fills, oldest first, over `start_cash` USD; `marks` are the latest known prices by ticker."""
    book = Book(cash=start_cash)
    for fill in fills:
        book = book.after(fill)
    for ticker, price in (marks or {}).items():
        book = book.marked(ticker, price)
    return book


def known(value: Decimal | None) -> Decimal | None:
    """The value, or None for a NaN or an infinity: what is not a number is not known."""
    return value if value is not None and value.is_finite() else None


def _total(parts: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for part in parts:
        if part is None:
            return None
        total += part
    return total


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


def _realised(held: Position | None, signed: Decimal, price: Decimal) -> Decimal:
    if held is None or (held.quantity > 0) == (signed > 0):
        return ZERO
    closed = min(abs(held.quantity), abs(signed)).copy_sign(held.quantity)
    return closed * (price - held.average_price)
