"""Desks over a real journal, a clock that a test sets, and an engine in memory that keeps to the protocol.

The engine outlives the agents over it, as a broker does; what it does wrong, a test tells it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_samples import NOW, D, a_config, an_arrival

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.desk import Desk
from subscriber_agent.engines.engine import (
    Account,
    Holding,
    LegOutcome,
    Outcome,
    OutcomeState,
    WorkingOrder,
    triggered_order_id,
)
from subscriber_agent.journal import Journal, OrderIntent
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities, Quote

ACCEPTED, PARTLY, FILLED = OutcomeState.ACCEPTED, OutcomeState.PARTLY_FILLED, OutcomeState.FILLED
CANCELLED, REJECTED, UNKNOWN = OutcomeState.CANCELLED, OutcomeState.REJECTED, OutcomeState.UNKNOWN

BRACKETS = Capabilities(stop_orders=True)
STOP_ORDERS = Capabilities(brackets=False, stop_orders=True)
WATCHED = Capabilities(brackets=False, quotes=True)
ZERO = D(0)
# A kill between two reads is the same as one after the last write.
READS = ("fills", "fills_of", "held", "meta", "latch", "stored", "order", "orders_of", "protection", "protections")
READS += ("open_intents", "undecided", "snapshot", "breaker", "ledger_rows", "is_retracted", "latest_revision")
READS += ("entry_times", "has_acted", "operator_state_at", "approved", "approvals", "open_reconcile", "failed_exits")
READS += ("flatten_request", "capabilities", "sequence_of")


def hasty(path, *, is_owner=True):
    """A journal that does not wait for the disk: for deaths that a test only plays, thousands of times."""
    if not path.exists():
        path.write_bytes(_empty_journal())
    journal = Journal.open(path, is_owner=is_owner)
    journal._db.run("PRAGMA synchronous = OFF")
    return journal


@cache
def _empty_journal():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        Journal.open(path).close()
        return path.read_bytes()


class Clock:
    """The time that a test says it is."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Order:
    """One order at the engine, or one leg of an entry."""

    plan: OrderPlan
    order_id: str
    state: OutcomeState = ACCEPTED
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    detail: str = ""
    legs: dict[Leg, Order] = field(default_factory=dict)

    @property
    def price(self) -> Decimal | None:
        return self.spent / self.filled if self.filled else None

    @property
    def rest(self) -> Decimal:
        return max(self.plan.quantity - self.filled, ZERO)

    def outcome(self) -> Outcome:
        legs = tuple(
            LegOutcome(
                leg=leg,
                order_id=each.order_id,
                state=each.state,
                protects=each.rest,
                trigger_price=each.plan.stop_price or each.plan.limit_price,
                quantity=each.filled,
                price=each.price,
            )
            for leg, each in self.legs.items()
        )
        return Outcome(self.state, self.filled, self.price, self.detail, legs)


class Broker:
    """An engine of real money, as far as the desk can tell: fills at once at the plan's price, unless told otherwise.

    It sells nothing that a working stop or target holds on to, as brokers do. What a test may set: `fills_now` (shares
    of the next orders that fill at once, None: all), `rejects` (why no entry or exit is taken), `refuses_stops`,
    `legs_missing`, `keeps_legs` (cancels nothing), `trouble` (raised by every call), `answer` (all that submit says;
    the order is not taken), `loses_answers` (raises after it took the order), `foreign` (shares that are none of
    ours), `prices` by ticker.
    """

    name = "broker"
    is_paper = False

    def __init__(self, *foreign, can=None, quote=None, symbol=None, is_blocked=False, clock=None):
        self.foreign = {each.ticker: each.quantity for each in foreign}
        self.can = can or Capabilities()
        self.price, self.word, self.is_blocked = quote, symbol, is_blocked
        self.clock = clock or Clock()
        self.trouble = self.answer = self.fills_now = self.rejects = None
        self.loses_answers = self.legs_missing = self.refuses_stops = self.keeps_legs = False
        self.there, self.handed_over, self.asked = {}, [], []
        self.prices, self.cash = {}, D(10000)

    # The protocol -------------------------------------------------------------------------------------------------

    def capabilities(self):
        return self.can

    async def start(self):
        """Nothing to make ready."""

    async def close(self):
        """Nothing to let go of."""

    async def submit(self, plan, client_order_id):
        self._called("submit")
        if client_order_id not in self.there:
            self.handed_over.append(client_order_id)
            if self.answer is None:
                self.take(plan, client_order_id)
        if self.loses_answers:
            raise ConnectionError("the line broke")
        return self.answer or self.there[client_order_id].outcome()

    async def lookup(self, client_order_id):
        self._called("lookup")
        order = self.there.get(client_order_id)
        return None if order is None else order.outcome()

    async def cancel(self, client_order_id):
        self._called("cancel")
        order = self.there.get(client_order_id)
        if order is None:
            return None
        if not self.keeps_legs:
            for each in (order, *order.legs.values()):
                if each.state.is_working:
                    each.state = CANCELLED
        return order.outcome()

    async def account(self):
        self._called("account")
        return Account(self.cash, None, is_blocked=self.is_blocked)

    async def positions(self):
        self._called("positions")
        return tuple(
            Holding(ticker, quantity, None, self.prices.get(ticker, D(5)))
            for ticker, quantity in sorted(self.held().items())
            if quantity
        )

    async def orders(self):
        self._called("orders")
        found = [each for order in self.there.values() for each in (order, *order.legs.values())]
        return tuple(
            WorkingOrder(each.order_id, each.plan.ticker, each.plan.side, each.plan.quantity, each.filled)
            for each in sorted(found, key=lambda each: each.order_id)
            if each.state.is_working
        )

    async def quote(self, ticker):
        self._called("quote")
        return self.price

    async def symbol(self, ticker):
        self._called("symbol")
        return self.word

    async def observe(self, ticker, price, at):
        self._called("observe")
        return self.moves(ticker, price)

    async def events(self):
        return
        yield

    # What happens at it -------------------------------------------------------------------------------------------

    def take(self, plan, order_id):
        """An order arrives: it is refused, works, or fills."""
        reason = (self.rejects if plan.leg is not Leg.STOP else "") or self._objection(plan)
        order = self.there[order_id] = Order(plan, order_id)
        if reason:
            order.state, order.detail = REJECTED, reason
        elif plan.order_type is not OrderType.STOP:
            self.fills(order, plan.quantity if self.fills_now is None else D(self.fills_now))
        return order

    def fills(self, order, quantity, price=None):
        """Shares of an order fill, at its own price unless another one is named."""
        if isinstance(order, str):
            order = self.there[order]
        quantity, at = D(quantity), price or order.plan.reference_price or self.prices.get(order.plan.ticker, D(5))
        if quantity:
            order.filled, order.spent = order.filled + quantity, order.spent + quantity * at
            order.state = FILLED if order.filled >= order.plan.quantity else PARTLY
            self.cash -= order.plan.side.sign * quantity * at
            self.prices[order.plan.ticker] = at
        if order.plan.leg is Leg.ENTRY and quantity and not self.legs_missing:
            self._grow_legs(order)

    def moves(self, ticker, price):
        """The market trades at a price; returns the ids of what it triggered."""
        found = []
        if self.held().get(ticker):
            self.prices[ticker] = price
        for order in list(self.there.values()):
            if order.plan.ticker != ticker:
                continue
            own_stop = order.plan.order_type is OrderType.STOP and order.state.is_working
            if own_stop and _is_reached(order, price):
                self.fills(order, order.rest, price)
                found.append(order.order_id)
            reached = [each for each in order.legs.values() if each.state.is_working and _is_reached(each, price)]
            for leg in reached[:1]:
                self.fills(leg, leg.rest, price if leg.plan.leg is Leg.STOP else leg.plan.limit_price)
                for other in order.legs.values():
                    other.state = CANCELLED if other.state.is_working else other.state
                found.append(order.order_id)
        return tuple(found)

    def held(self):
        """Signed shares by ticker: what is none of ours, and what every order and leg has filled."""
        shares = dict(self.foreign)
        for order in self.there.values():
            for each in (order, *order.legs.values()):
                ticker = each.plan.ticker
                shares[ticker] = shares.get(ticker, ZERO) + each.plan.side.sign * each.filled
        return {ticker: quantity for ticker, quantity in shares.items() if quantity}

    def _grow_legs(self, order):
        plan = order.plan
        if not self.can.brackets or plan.extended_hours or plan.stop_price is None:
            return
        for leg, trigger in ((Leg.STOP, plan.stop_price), (Leg.TARGET, plan.target_price)):
            if trigger is None:
                continue
            there = order.legs.get(leg) or Order(plan, triggered_order_id(order.order_id, leg))
            order.legs[leg] = there
            there.plan = replace(
                plan,
                side=Side.SELL if plan.side is Side.BUY else Side.BUY,
                leg=leg,
                quantity=order.filled,
                order_type=OrderType.STOP if leg is Leg.STOP else OrderType.LIMIT,
                stop_price=trigger if leg is Leg.STOP else None,
                limit_price=trigger if leg is Leg.TARGET else None,
                reference_price=None,
            )

    def _objection(self, plan):
        if plan.leg is Leg.ENTRY:
            return None
        if plan.leg is Leg.STOP and self.refuses_stops:
            return "no stops today"
        held = self.held().get(plan.ticker, ZERO)
        closing = [
            each.rest
            for order in self.there.values()
            for each in (order, *order.legs.values())
            if each.plan.ticker == plan.ticker and each.plan.side is plan.side and each.state.is_working
        ]
        # A target and a stop of one entry hold on to the same shares.
        free = abs(held) - (max(closing) if closing else ZERO)
        return None if held * plan.side.sign < 0 and plan.quantity <= free else "the shares are held by another order"

    def _called(self, name):
        self.asked.append(name)
        if self.trouble is not None:
            raise self.trouble

    def order_of(self, leg, ticker="ABCD"):
        """The latest order of a kind that was handed over."""
        return [each for each in self.there.values() if each.plan.leg is leg and each.plan.ticker == ticker][-1]


class Paper(Broker):
    """The same without money behind it."""

    name = "paper"
    is_paper = True


def _is_reached(order, price):
    plan, sign = order.plan, order.plan.side.sign
    if plan.order_type is OrderType.STOP:
        return (price - plan.stop_price) * sign >= 0
    return (price - plan.limit_price) * sign <= 0


def a_quote(price, clock, spread="0.02"):
    return Quote(D(price), D(price) + D(spread), D(price), clock())


class Watched:
    """A desk, its clock, and what it told between the signals."""

    def __init__(self, journal, engine=None, *, clock=None, release_s=0.3, **config):
        self.journal = journal
        self.clock = clock or Clock()
        self.engine = engine or Paper(clock=self.clock)
        if not self.engine.is_paper:
            config = {"mode": "live", **config}
        self.config = a_config(journal.path.parent, **config)
        self._release_s = release_s
        self._begin()

    def _begin(self):
        self.told = []
        self.desk = Desk(self.config, self.journal, self.engine, self.clock, user="alice", release_s=self._release_s)
        self.desk.tell = lambda event, facts: self.told.append((event, facts))
        self._seq = self.journal.last_sequence()

    def receive(self, *signals):
        for each in signals:
            self._seq += 1
            self.journal.record([an_arrival(self._seq, each, self.clock())])

    async def settled(self, *signals):
        """Receive these and decide all that is undecided; the labels."""
        self.receive(*signals)
        return [each.label async for each in self.desk.settle()]

    async def settled_approved(self):
        return [each async for each in self.desk.settle_approved()]

    def of(self, event):
        return [facts for each, facts in self.told if each == event]

    def protection(self, ticker="ABCD"):
        """The latest stop of a ticker."""
        return [each for each in self.journal.protections(is_open=False) if each.ticker == ticker][-1]

    def restarted(self, engine=None, journal=None):
        """The same moment, another process; the journal too, unless another one is given."""
        again = Watched.__new__(Watched)
        again.__dict__.update(self.__dict__)
        again.engine, again.journal = engine or self.engine, journal or self.journal
        again._begin()
        return again


def booked(journal, engine, ticker="ABCD", quantity=100, price="5", **changes):
    """A position that an entry of ours opened earlier: in the journal, and at the engine with its legs."""
    plan = OrderPlan(
        ticker=ticker,
        side=Side.BUY,
        leg=Leg.ENTRY,
        quantity=D(quantity),
        order_type=OrderType.MARKET,
        limit_price=None,
        stop_price=D("4.75"),
        target_price=D(6),
        time_in_force=TimeInForce.DAY,
        reference_price=D(price),
        reference_price_at=NOW,
        catalyst="fda",
    )
    intent = OrderIntent(f"cs-{ticker}-entry", "0" * 31 + "1", 1, replace(plan, **changes), NOW)
    engine.take(intent.plan, intent.order_id)
    outcome = engine.there[intent.order_id].outcome()
    journal.write_order(intent)
    journal.book(intent, outcome, NOW)
    journal.write_outcome(intent.order_id, outcome, NOW)
    return intent
