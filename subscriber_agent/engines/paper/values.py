"""What the pretend market works with: prices, orders, the account and the terms, as frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import MappingProxyType

from subscriber_agent.accounting.book import Book, Leg, Side, known
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.risk.decision import OrderPlan, OrderType
from subscriber_agent.risk.market import Quote

TICK = Decimal("0.0001")
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Terms:
    """How unkind the market is. `slippage` and `half_spread` are shares of the price; chances are percent."""

    slippage: Decimal = Decimal(0)
    half_spread: Decimal = Decimal(0)
    latency: timedelta = timedelta(0)
    reject_percent: Decimal = Decimal(0)
    partial_percent: Decimal = Decimal(0)
    seed: int = 1
    fractions: bool = False

    @classmethod
    def of(cls, settings: PaperSettings) -> Terms:
        """The terms of a config."""
        return cls(
            slippage=settings.slippage_bps / _BPS,
            half_spread=settings.spread_bps / _BPS / 2,
            latency=timedelta(milliseconds=settings.latency_ms),
            reject_percent=settings.reject_percent,
            partial_percent=settings.partial_percent,
            seed=settings.seed,
            fractions=settings.fractions,
        )


@dataclass(frozen=True, slots=True)
class Tick:
    """The price of one ticker at one moment, in USD: what a seller gets, what a buyer pays, and what marks."""

    ticker: str
    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal

    def touch(self, side: Side) -> Decimal:
        """What an order on this side meets."""
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True)
class Mark:
    """The latest known price of a ticker in USD, and when it was seen."""

    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """An order, or a leg that the market holds for the entry `entry_id`.

    `asked` are its shares: a leg's follow its position, any other's are the plan's. `due_at` is from when on it may
    fill for the first time, or the rest of it; None: it rests in the market until its price comes.
    """

    order_id: str
    plan: OrderPlan
    asked: Decimal
    state: OutcomeState
    at: datetime
    due_at: datetime | None = None
    filled: Decimal = Decimal(0)
    price: Decimal | None = None
    detail: str = ""
    entry_id: str = ""

    @property
    def open(self) -> Decimal:
        """Shares that may still fill."""
        return self.asked - self.filled

    @property
    def closes(self) -> bool:
        """Whether it can only make a position smaller."""
        return self.plan.leg is not Leg.ENTRY

    @property
    def trigger_price(self) -> Decimal | None:
        """A leg's price: the stop, or the target's limit."""
        return self.plan.limit_price if self.plan.leg is Leg.TARGET else self.plan.stop_price

    def leg_outcome(self) -> LegOutcome:
        """A leg as the agreement with an engine says it."""
        return LegOutcome(
            self.plan.leg, self.order_id, self.state, self.asked, self.trigger_price, self.filled, self.price
        )

    def outcome(self, legs: tuple[Order, ...] = ()) -> Outcome:
        """What became of it, with the legs that are held for it."""
        return Outcome(self.state, self.filled, self.price, self.detail, tuple(each.leg_outcome() for each in legs))

    def working(self) -> WorkingOrder:
        """It as one line of the list of orders."""
        plan = self.plan
        return WorkingOrder(
            self.order_id,
            plan.ticker,
            plan.side,
            self.asked,
            self.filled,
            plan.order_type,
            plan.limit_price,
            plan.stop_price if plan.order_type is OrderType.STOP else None,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """The account at one moment: its book, the latest prices, and the orders that work, oldest first."""

    book: Book
    marks: Mapping[str, Mark] = field(default_factory=lambda: MappingProxyType({}))
    orders: Mapping[str, Order] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def watched(self) -> frozenset[str]:
        """Tickers whose price matters: what is held or worked on."""
        return frozenset(self.book.positions) | {each.plan.ticker for each in self.orders.values()}

    def account(self) -> Account:
        """Cash and equity in USD at the latest known prices."""
        return Account(self.book.cash, self.book.equity, is_blocked=False)

    def holdings(self) -> tuple[Holding, ...]:
        """All positions, sorted by ticker."""
        held = sorted(self.book.positions.items())
        return tuple(Holding(name, each.quantity, each.average_price, each.last_price) for name, each in held)

    def working(self) -> tuple[WorkingOrder, ...]:
        """All working orders, legs included, sorted by id."""
        return tuple(self.orders[each].working() for each in sorted(self.orders))


def is_price(value: Decimal | None) -> bool:
    """Whether a number can be a price."""
    return known(value) is not None and value is not None and value > 0


def tick_of(ticker: str, price: Decimal, at: datetime, terms: Terms) -> Tick:
    """The two sides around one known price; rounded against the friend, exact without a spread."""
    if terms.half_spread == 0:
        return Tick(ticker, at, price, price, price)
    bid = (price * (1 - terms.half_spread)).quantize(TICK, ROUND_FLOOR)
    ask = (price * (1 + terms.half_spread)).quantize(TICK, ROUND_CEILING)
    return Tick(ticker, at, max(bid, TICK), ask, price)


def tick_from(ticker: str, quote: Quote | None, terms: Terms) -> Tick | None:
    """Another engine's quote as a tick; None where it says nothing that can be traded on."""
    if quote is None or quote.at.utcoffset() is None:
        return None
    bid, ask, last = quote.bid, quote.ask, quote.last
    if bid is not None and ask is not None and is_price(bid) and is_price(ask) and bid <= ask:
        inside = last if last is not None and is_price(last) and bid <= last <= ask else (bid + ask) / 2
        return Tick(ticker, quote.at, bid, ask, inside)
    return tick_of(ticker, last, quote.at, terms) if last is not None and is_price(last) else None
