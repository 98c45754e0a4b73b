"""What our own log of fills says against what the engine says, as a list of differences. Pure.

    POSITION_MISSING   we hold it by our own fills, the engine holds none of it
    POSITION_UNKNOWN   the engine holds it, no fill of ours explains it
    QUANTITY_DIFFERS   both hold it, another number of shares
    SIDE_DIFFERS       one holds it long, the other short
    ORDER_UNKNOWN      an order with an id of ours works at the engine, and the journal never wrote it
    ORDER_MISSING      an order that we believe to work is not among the engine's
    STOP_MISSING       a stop that we believe the engine holds is not there, or covers fewer shares

A ticker with an order under way is left alone for a while: its fill may be known to one side already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from subscriber_agent.accounting.book import ZERO, Leg, Side, known
from subscriber_agent.engines.engine import Holding, WorkingOrder, is_ours, triggered_order_id
from subscriber_agent.risk.decision import OrderType, text_of

# An order that has been on its way for longer than this no longer excuses its ticker.
UNDER_WAY_FOR = timedelta(seconds=60)
_NAN = Decimal("NaN")


class DifferenceKind(StrEnum):
    """See the module's table."""

    POSITION_MISSING = "POSITION_MISSING"
    POSITION_UNKNOWN = "POSITION_UNKNOWN"
    QUANTITY_DIFFERS = "QUANTITY_DIFFERS"
    SIDE_DIFFERS = "SIDE_DIFFERS"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    ORDER_MISSING = "ORDER_MISSING"
    STOP_MISSING = "STOP_MISSING"

    @property
    def is_position(self) -> bool:
        """Whether it is about shares held, which `reconcile --accept` can settle."""
        return self in _POSITIONS


_POSITIONS = (
    DifferenceKind.POSITION_MISSING,
    DifferenceKind.POSITION_UNKNOWN,
    DifferenceKind.QUANTITY_DIFFERS,
    DifferenceKind.SIDE_DIFFERS,
)

# What each means, and what the friend can do; for the command, the docs and the report line.
MEANINGS: Mapping[DifferenceKind, tuple[str, str]] = {
    DifferenceKind.POSITION_MISSING: (
        "your agent counts on shares that the engine does not hold: they were sold elsewhere, or a fill is not known",
        "look at the account; `reconcile --accept` books them as gone",
    ),
    DifferenceKind.POSITION_UNKNOWN: (
        "the account holds shares that your agent never bought",
        "yours? `reconcile --leave TICKER`: the agent never trades it. Else close them by hand, or `reconcile"
        " --accept`: then they are the agent's, and `flatten` closes them too",
    ),
    DifferenceKind.QUANTITY_DIFFERS: (
        "both hold it, but not the same number of shares",
        "look at the account's orders; `reconcile --accept` takes the engine's number",
    ),
    DifferenceKind.SIDE_DIFFERS: (
        "one is long where the other is short",
        "close it by hand at once if you did not mean it; `reconcile --accept` takes the engine's word",
    ),
    DifferenceKind.ORDER_UNKNOWN: (
        "an order with an id of this agent works at the engine, and its journal does not know it: another copy of the"
        " agent, or a lost journal",
        "find out who placed it; `reconcile --cancel-unknown` ends it",
    ),
    DifferenceKind.ORDER_MISSING: (
        "an order that the agent waits for is not among the engine's working orders",
        "it resolves once the engine says what became of it; look at the account if it does not",
    ),
    DifferenceKind.STOP_MISSING: (
        "a stop that should be at the engine is not there, or covers fewer shares than are held",
        "the agent places it anew or closes the position; if it does neither, close the position by hand",
    ),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which the two do not agree. `ours` and `engines` are signed shares; for orders what is left of them.

    `price` is the engine's average price in USD a share, else its last one, None where it says neither.
    """

    kind: DifferenceKind
    ticker: str
    ours: Decimal = ZERO
    engines: Decimal = ZERO
    order_id: str = ""
    price: Decimal | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same difference at another look: the numbers may move."""
        return self.kind.value, self.ticker, self.order_id

    @property
    def text(self) -> str:
        """One line for people."""
        about = f"{self.ticker} {self.order_id}".rstrip()
        return f"{self.kind.value} {about}: ours {text_of(self.ours)}, the engine's {text_of(self.engines)}"

    def as_dict(self) -> dict[str, Any]:
        """A document; numbers as text."""
        return {
            "kind": self.kind.value,
            "ticker": self.ticker,
            "ours": text_of(self.ours),
            "engines": text_of(self.engines),
            "order_id": self.order_id,
            "price": None if self.price is None else text_of(self.price),
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Difference:
        """Read back what `as_dict` made; raises KeyError, ValueError or ArithmeticError for anything else."""
        price = body["price"]
        return cls(
            kind=DifferenceKind(body["kind"]),
            ticker=str(body["ticker"]),
            ours=Decimal(body["ours"]),
            engines=Decimal(body["engines"]),
            order_id=str(body["order_id"]),
            price=None if price is None else Decimal(price),
        )


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order of the journal without an end. `works`: the engine took it, and something of it is left.

    `touched_at` is when it was handed over or last heard of.
    """

    order_id: str
    ticker: str
    quantity: Decimal
    touched_at: datetime
    works: bool = False


@dataclass(frozen=True, slots=True)
class OwnStop:
    """A stop that the engine is believed to hold: for `quantity` shares (positive), sold or bought back as `side`."""

    ticker: str
    side: Side
    quantity: Decimal
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Ours:
    """What the journal says: signed shares by ticker, orders without an end, every order id, stops at the engine.

    `left_alone` are tickers that the friend holds by himself: no difference as long as we hold none of them.
    """

    held: Mapping[str, Decimal] = field(default_factory=dict)
    orders: Sequence[OwnOrder] = ()
    known_ids: frozenset[str] = frozenset()
    stops: Sequence[OwnStop] = ()
    left_alone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Theirs:
    """What the engine says: all that the account holds, and all orders that work in it."""

    holdings: Sequence[Holding] = ()
    orders: Sequence[WorkingOrder] = ()


def differences(ours: Ours, theirs: Theirs, now: datetime) -> tuple[Difference, ...]:
    """All differences, sorted by ticker; empty when both agree. Tickers with an order under way are left out."""
    excused = frozenset(each.ticker for each in ours.orders if _is_under_way(each, now))
    found = [
        *(each for each in _of_positions(ours.held, theirs.holdings) if not _is_his_own(each, ours.left_alone)),
        *_unknown_orders(ours.known_ids, theirs.orders),
        *_missing_orders(ours.orders, theirs.orders),
        *_missing_stops(ours, theirs),
    ]
    return tuple(sorted((each for each in found if each.ticker not in excused), key=lambda each: each.key[1:]))


def lasting(first: Iterable[Difference], second: Iterable[Difference]) -> tuple[Difference, ...]:
    """What both looks found, with the numbers of the second: a fill on its way shows in one of them only."""
    seen = {each.key for each in first}
    return tuple(each for each in second if each.key in seen)


def _is_under_way(order: OwnOrder, now: datetime) -> bool:
    # A clock that was set back must not excuse a ticker for hours.
    return abs(now - order.touched_at) < UNDER_WAY_FOR


def _of_positions(held: Mapping[str, Decimal], holdings: Sequence[Holding]) -> Iterable[Difference]:
    engines = {each.ticker: each for each in holdings}
    for ticker in held.keys() | engines.keys():
        there = engines.get(ticker)
        ours, theirs = held.get(ticker, ZERO), ZERO if there is None else _shares(there.quantity)
        # What is no number differs from everything.
        if ours == theirs:
            continue
        price = None if there is None else there.average_price or there.last_price
        yield Difference(_position_kind(ours, theirs), ticker, ours, theirs, price=price)


def _is_his_own(found: Difference, left_alone: frozenset[str]) -> bool:
    return found.kind is DifferenceKind.POSITION_UNKNOWN and found.ticker in left_alone


def _position_kind(ours: Decimal, theirs: Decimal) -> DifferenceKind:
    if ours == 0:
        return DifferenceKind.POSITION_UNKNOWN
    if theirs == 0:
        return DifferenceKind.POSITION_MISSING
    if not theirs.is_nan() and (ours > 0) != (theirs > 0):
        return DifferenceKind.SIDE_DIFFERS
    return DifferenceKind.QUANTITY_DIFFERS


def _unknown_orders(known_ids: frozenset[str], orders: Sequence[WorkingOrder]) -> Iterable[Difference]:
    for each in orders:
        if is_ours(each.order_id) and not _is_known(each.order_id, known_ids):
            yield Difference(DifferenceKind.ORDER_UNKNOWN, each.ticker, ZERO, _left(each), each.order_id)


def _is_known(order_id: str, known_ids: frozenset[str]) -> bool:
    """Whether the journal wrote the order, or the entry that it is a leg of."""
    return order_id in known_ids or triggered_order_id(order_id, Leg.ENTRY) in known_ids


def _missing_orders(own: Sequence[OwnOrder], orders: Sequence[WorkingOrder]) -> Iterable[Difference]:
    working = {each.order_id for each in orders}
    for each in own:
        if each.works and each.order_id not in working:
            yield Difference(DifferenceKind.ORDER_MISSING, each.ticker, each.quantity, ZERO, each.order_id)


def _missing_stops(ours: Ours, theirs: Theirs) -> Iterable[Difference]:
    held = {each.ticker: abs(_shares(each.quantity)) for each in theirs.holdings}
    for each in ours.stops:
        # What is no longer held needs no stop, whoever closed it: the position's own difference says the rest.
        there = held.get(each.ticker, ZERO)
        wanted = each.quantity if there.is_nan() else min(each.quantity, there)
        covered = sum((_left(order) for order in theirs.orders if _is_stop(order, each)), ZERO)
        if covered < wanted:
            yield Difference(DifferenceKind.STOP_MISSING, each.ticker, wanted, covered, each.order_id)


def _is_stop(order: WorkingOrder, stop: OwnStop) -> bool:
    if order.ticker != stop.ticker or order.side is not stop.side:
        return False
    is_named = bool(stop.order_id) and order.order_id == stop.order_id
    return is_named or order.order_type is OrderType.STOP or order.stop_price is not None


def _shares(quantity: Decimal) -> Decimal:
    """A number of shares, or one quiet NaN for whatever is none."""
    return _NAN if known(quantity) is None else quantity


def _left(order: WorkingOrder) -> Decimal:
    """What of an order can still fill; 0 when the engine gives no numbers."""
    quantity, filled = known(order.quantity), known(order.filled)
    return ZERO if quantity is None or filled is None else quantity - filled
