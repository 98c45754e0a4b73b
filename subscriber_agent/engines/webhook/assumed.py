"""What is assumed of an account whose receiver reports nothing: a fold over what was posted to it. Pure.

    intent ──▶ UNKNOWN ──▶ FILLED    the receiver took it: all of it is assumed filled, at the limit or reference price
                      ├──▶ REJECTED  it refused it, or nothing reached it
                      └──▶ UNKNOWN   nobody can say; it stays so until a person settles it

An entry's stop and target are assumed to work from its fill on, until the wire's price reaches one, an exit goes out,
or they are cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Book, Fill, Leg, Side
from subscriber_agent.engines.engine import LegOutcome, Outcome, OutcomeState, triggered_order_id
from subscriber_agent.risk.decision import OrderPlan, instant_text, text_of

ASSUMED = "assumed: the receiver does not report fills"
NOBODY_KNOWS = (
    "it is not known whether the receiver got this order, and it cannot be asked: look at your broker, then run "
    "`subscriber-agent engine settle`"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One order as it is assumed; `price` in USD a share is what its fill is assumed at."""

    order_id: str
    plan: OrderPlan
    price: Decimal | None
    at: datetime
    state: OutcomeState = OutcomeState.UNKNOWN
    quantity: Decimal = Decimal(0)
    reason: str = NOBODY_KNOWS
    legs: Mapping[Leg, LegOutcome] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """As the agent is told; an order that may still be on its way is UNKNOWN."""
        price = self.price if self.quantity else None
        return Outcome(self.state, self.quantity, price, self.reason, tuple(self.legs.values()))

    @property
    def has_working_legs(self) -> bool:
        return any(each.state.is_working for each in self.legs.values())


class Assumed:
    """The account as it is assumed. `cash` is the USD before the first order; records come in their order."""

    def __init__(self, cash: Decimal) -> None:
        self.book = Book(cash=cash)
        self.sent: dict[str, Sent] = {}
        self._seen: dict[str, datetime] = {}

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record of the file; raises StorageFailed for one that makes no sense."""
        try:
            self._apply(record)
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise StorageFailed(
                f"a record of sent orders makes no sense: {type(error).__name__}",
                hint="Restore the file from a backup: it says what was ordered.",
            ) from error

    def outcome(self, order_id: str) -> Outcome | None:
        """What is assumed of an order or of an entry's leg; None: it was never posted."""
        if order_id in self.sent:
            return self.sent[order_id].outcome
        leg = next((leg for each in self.sent.values() for leg in each.legs.values() if leg.order_id == order_id), None)
        return None if leg is None else Outcome(leg.state, leg.quantity, leg.price, ASSUMED)

    def objection(self, plan: OrderPlan) -> str | None:
        """Why an order is not posted: the receiver would do something else with it than what is asked."""
        held = self.held(plan.ticker)
        # An exit may follow an entry of which nobody knows, but not an exit: the two could close twice.
        unknown = [each.plan.leg for each in self.unknown if each.plan.ticker == plan.ticker]
        if unknown and (plan.leg is Leg.ENTRY or Leg.EXIT in unknown):
            return f"what became of an earlier order in {plan.ticker} is not known"
        if plan.leg is Leg.ENTRY:
            return f"there is a position in {plan.ticker} already, and the receiver would mix the two" if held else None
        if held * plan.side.sign >= 0 or abs(held) < plan.quantity:
            return f"no position of {text_of(plan.quantity)} {plan.ticker} to close"
        return None

    @property
    def unknown(self) -> tuple[Sent, ...]:
        """Orders of which nobody can say what became."""
        return tuple(each for each in self.sent.values() if each.state is OutcomeState.UNKNOWN)

    def held(self, ticker: str) -> Decimal:
        """Signed shares that are assumed."""
        position = self.book.positions.get(ticker)
        return Decimal(0) if position is None else position.quantity

    def price_for(self, plan: OrderPlan) -> Decimal | None:
        """The price that a fill is assumed at: limit, reference, the last one seen, what was paid; None without any."""
        position = self.book.positions.get(plan.ticker)
        others = () if position is None else (position.last_price, position.average_price)
        return next((each for each in (plan.limit_price, plan.reference_price, *others) if each is not None), None)

    def seen(self, ticker: str, price: Decimal, at: datetime) -> tuple[dict[str, Any], ...]:
        """The records of the legs that a price on the wire triggers; one older than the last changes nothing."""
        if price <= 0 or at < self._seen.get(ticker, at):
            return ()
        self._seen[ticker] = at
        self.book = self.book.marked(ticker, price)
        found = (_triggered(each, price) for each in self.working(ticker) if at > each.at)
        return tuple(triggered_record(order_id, leg, at_price, at) for order_id, leg, at_price in found if leg)

    def working(self, ticker: str | None = None) -> tuple[Sent, ...]:
        """Entries whose stop or target is assumed to work."""
        return tuple(
            each for each in self.sent.values() if each.has_working_legs and ticker in (None, each.plan.ticker)
        )

    def _apply(self, record: Mapping[str, Any]) -> None:
        kind, order_id = record["kind"], str(record["order_id"])
        if kind in ("intent", "refused"):
            self.sent[order_id] = _sent(order_id, record)
        elif kind == "answer":
            self._end(self.sent[order_id], OutcomeState(record["state"]), str(record["reason"]))
        elif kind == "settled":
            self._settle(self.sent[order_id], Decimal(record["quantity"]), record["price"])
        elif kind == "cancelled":
            self._end_legs(self.sent[order_id], OutcomeState.CANCELLED)
        elif kind == "triggered":
            self._trigger(self.sent[order_id], Leg(record["leg"]), Decimal(record["price"]), record["at"])

    def _end(self, sent: Sent, state: OutcomeState, reason: str) -> None:
        if sent.state is not OutcomeState.UNKNOWN:
            return
        if state is OutcomeState.FILLED:
            self._fill(sent, sent.plan.quantity, reason)
        else:
            self.sent[sent.order_id] = replace(sent, state=state, reason=reason)

    def _settle(self, sent: Sent, quantity: Decimal, price: str | None) -> None:
        if sent.state is not OutcomeState.UNKNOWN:
            return
        if quantity <= 0:
            self.sent[sent.order_id] = replace(sent, state=OutcomeState.REJECTED, reason="settled by hand: nothing")
        else:
            sent = replace(sent, price=Decimal(price) if price is not None else sent.price)
            self._fill(sent, quantity, "settled by hand")

    def _fill(self, sent: Sent, quantity: Decimal, reason: str) -> None:
        if sent.price is None:
            raise ValueError("a fill without a price")
        plan = sent.plan
        self.book = self.book.after(
            Fill(sent.order_id, plan.ticker, plan.side, plan.leg, quantity, sent.price, sent.at)
        )
        legs = _legs(sent, quantity) if plan.leg is Leg.ENTRY else {}
        if plan.leg is not Leg.ENTRY:
            for entry in self.working(plan.ticker):  # receivers drop a ticker's open orders when they exit
                self._end_legs(entry, OutcomeState.CANCELLED)
        state = OutcomeState.FILLED if quantity >= plan.quantity else OutcomeState.CANCELLED
        self.sent[sent.order_id] = replace(sent, state=state, quantity=quantity, reason=reason, legs=legs)

    def _end_legs(self, sent: Sent, state: OutcomeState) -> None:
        legs = {leg: replace(each, state=state) if each.state.is_working else each for leg, each in sent.legs.items()}
        self.sent[sent.order_id] = replace(sent, legs=legs)

    def _trigger(self, sent: Sent, leg: Leg, price: Decimal, at: str) -> None:
        closing = sent.legs[leg]
        if not closing.state.is_working:
            return
        side = Side.SELL if sent.plan.side is Side.BUY else Side.BUY
        when = datetime.fromisoformat(at)
        self.book = self.book.after(Fill(closing.order_id, sent.plan.ticker, side, leg, closing.protects, price, when))
        done = replace(closing, state=OutcomeState.FILLED, quantity=closing.protects, price=price)
        self.sent[sent.order_id] = replace(sent, legs={**sent.legs, leg: done})
        self._end_legs(self.sent[sent.order_id], OutcomeState.CANCELLED)


def intent_record(order_id: str, plan: OrderPlan, price: Decimal | None, at: datetime) -> dict[str, Any]:
    """Before an order is posted."""
    text = None if price is None else text_of(price)
    return {"kind": "intent", "order_id": order_id, "price": text, "at": instant_text(at), "order": plan.as_dict()}


def refused_record(order_id: str, plan: OrderPlan, reason: str, at: datetime) -> dict[str, Any]:
    """An order that is not posted at all: one line, so that no kill can leave it looking posted."""
    return {**intent_record(order_id, plan, None, at), "kind": "refused", "reason": reason[:200]}


def answer_record(order_id: str, state: OutcomeState, reason: str, at: datetime) -> dict[str, Any]:
    """After it: FILLED is assumed, REJECTED is certain, UNKNOWN is neither."""
    return {
        "kind": "answer",
        "order_id": order_id,
        "state": state.value,
        "reason": reason[:200],
        "at": instant_text(at),
    }


def cancelled_record(order_id: str, at: datetime) -> dict[str, Any]:
    """The legs of an entry are assumed to have ended."""
    return {"kind": "cancelled", "order_id": order_id, "at": instant_text(at)}


def triggered_record(order_id: str, leg: Leg, price: Decimal, at: datetime) -> dict[str, Any]:
    """The price on the wire reached a leg of an entry."""
    return {
        "kind": "triggered",
        "order_id": order_id,
        "leg": leg.value,
        "price": text_of(price),
        "at": instant_text(at),
    }


def settled_record(order_id: str, quantity: Decimal, price: Decimal | None, at: datetime) -> dict[str, Any]:
    """What a person found at the broker: shares filled, 0 is none, and USD a share."""
    text = None if price is None else text_of(price)
    return {
        "kind": "settled",
        "order_id": order_id,
        "quantity": text_of(quantity),
        "price": text,
        "at": instant_text(at),
    }


def _sent(order_id: str, record: Mapping[str, Any]) -> Sent:
    price = None if record["price"] is None else Decimal(record["price"])
    sent = Sent(order_id, OrderPlan.from_dict(record["order"]), price, datetime.fromisoformat(record["at"]))
    if record["kind"] == "intent":
        return sent
    return replace(sent, state=OutcomeState.REJECTED, reason=str(record["reason"]))


def _legs(sent: Sent, quantity: Decimal) -> dict[Leg, LegOutcome]:
    prices = {Leg.STOP: sent.plan.stop_price, Leg.TARGET: sent.plan.target_price}
    return {
        leg: LegOutcome(leg, triggered_order_id(sent.order_id, leg), OutcomeState.ACCEPTED, quantity, price)
        for leg, price in prices.items()
        if price is not None
    }


def _triggered(sent: Sent, price: Decimal) -> tuple[str, Leg | None, Decimal]:
    """A stop fills at the price seen, since a gap is a gap; a target at its own price."""
    sign = sent.plan.side.sign
    for leg in (Leg.STOP, Leg.TARGET):
        order = sent.legs.get(leg)
        if order is None or not order.state.is_working or order.trigger_price is None:
            continue
        distance = (price - order.trigger_price) * sign
        if leg is Leg.STOP and distance <= 0:
            return sent.order_id, leg, price
        if leg is Leg.TARGET and distance >= 0:
            return sent.order_id, leg, order.trigger_price
    return sent.order_id, None, price
