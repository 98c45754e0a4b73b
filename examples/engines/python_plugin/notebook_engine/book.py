"""The notebook itself: orders, positions and cash in one JSON file, on disk before an answer is given.

This is the part that a broker replaces.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder, triggered_order_id
from subscriber_agent.risk.decision import OrderPlan, OrderType

ACCEPTED, FILLED = OutcomeState.ACCEPTED.value, OutcomeState.FILLED.value
CANCELLED, REJECTED = OutcomeState.CANCELLED.value, OutcomeState.REJECTED.value


class Book:
    """Long positions only. All numbers are kept as text, since a JSON number is a float to most readers."""

    def __init__(self, path: Path, cash: Decimal) -> None:
        self._path = path
        self._state: dict[str, Any] = {"cash": str(cash), "held": {}, "orders": {}}

    def load(self) -> None:
        """Read what an earlier run wrote."""
        if self._path.exists():
            self._state = json.loads(self._path.read_text(encoding="utf-8"))

    @property
    def cash(self) -> Decimal:
        return Decimal(self._state["cash"])

    @property
    def equity(self) -> Decimal:
        worth = (Decimal(each["quantity"]) * Decimal(each["last"]) for each in self._state["held"].values())
        return self.cash + sum(worth, Decimal(0))

    def known(self, order_id: str) -> Outcome | None:
        """What became of an order, with its legs; None when it never came."""
        order = self._state["orders"].get(order_id)
        return None if order is None else _outcome(order)

    def place(self, plan: OrderPlan, order_id: str) -> Outcome:
        """Write an order down, and fill it when its price is reached."""
        order = {
            **plan.as_dict(),
            "id": order_id,
            "state": ACCEPTED,
            "filled": "0",
            "price": None,
            "detail": "",
            "legs": [],
        }
        objection = self._objection(plan)
        if objection is not None:
            order |= {"state": REJECTED, "detail": objection}
        elif _is_reached(order, plan.reference_price or Decimal(0)):
            self._fill(order, plan.reference_price or Decimal(0))
        self._state["orders"][order_id] = order
        self._save()
        return _outcome(order)

    def cancel(self, order_id: str) -> Outcome | None:
        """End an order that works, and the legs of one that has filled."""
        order = self._state["orders"].get(order_id)
        if order is None:
            return None
        for part in (order, *order["legs"]):
            if part["state"] == ACCEPTED:
                part["state"] = CANCELLED
        self._save()
        return _outcome(order)

    def seen(self, ticker: str, price: Decimal) -> tuple[str, ...]:
        """Fill whatever a price reaches; the ids of the orders that changed."""
        changed = [
            order["id"]
            for order in self._state["orders"].values()
            if order["ticker"] == ticker and (self._filled_now(order, price) or self._triggered(order, price))
        ]
        if ticker in self._state["held"]:
            self._state["held"][ticker]["last"] = str(price)
        self._save()
        return tuple(changed)

    def holdings(self) -> tuple[Holding, ...]:
        held = sorted(self._state["held"].items())
        return tuple(
            Holding(ticker, Decimal(each["quantity"]), Decimal(each["average"]), Decimal(each["last"]))
            for ticker, each in held
        )

    def working(self) -> tuple[WorkingOrder, ...]:
        """Orders and legs that may still fill."""
        found = []
        for order in self._state["orders"].values():
            if order["state"] == ACCEPTED:
                found.append(_working(order, order["id"], Side(order["side"]), order["quantity"]))
            legs = (leg for leg in order["legs"] if leg["state"] == ACCEPTED)
            found += [_working(order, leg["id"], Side.SELL, leg["protects"], leg) for leg in legs]
        return tuple(sorted(found, key=lambda each: each.order_id))

    def _objection(self, plan: OrderPlan) -> str | None:
        held = Decimal(self._state["held"].get(plan.ticker, {"quantity": "0"})["quantity"])
        price = plan.reference_price or plan.limit_price
        if plan.quantity <= 0:
            return "an order of nothing"
        if price is None:
            return "no price is known"
        if plan.side is Side.SELL and held < plan.quantity:
            return f"no position of {plan.quantity:f} {plan.ticker} to close"
        if plan.side is Side.BUY and plan.quantity * price > self.cash:
            return "more than the cash at hand"
        return None

    def _filled_now(self, order: dict[str, Any], price: Decimal) -> bool:
        if order["state"] != ACCEPTED or not _is_reached(order, price):
            return False
        self._fill(order, price)
        return True

    def _triggered(self, order: dict[str, Any], price: Decimal) -> bool:
        for leg in order["legs"]:
            trigger = Decimal(leg["trigger"])
            is_hit = price <= trigger if leg["leg"] == Leg.STOP else price >= trigger
            if leg["state"] == ACCEPTED and is_hit:
                quantity = Decimal(leg["protects"])
                for each in order["legs"]:  # one ends the other
                    each["state"] = CANCELLED
                leg.update({"state": FILLED, "filled": str(quantity), "price": str(price)})
                self._move(order["ticker"], -quantity, price)
                return True
        return False

    def _fill(self, order: dict[str, Any], price: Decimal) -> None:
        quantity = Decimal(order["quantity"])
        order |= {"state": FILLED, "filled": str(quantity), "price": str(price)}
        self._move(order["ticker"], quantity if order["side"] == Side.BUY else -quantity, price)
        if order["leg"] == Leg.ENTRY:
            triggers = ((Leg.STOP, order["stop_price"]), (Leg.TARGET, order["target_price"]))
            order["legs"] = [_leg(order, leg, trigger) for leg, trigger in triggers if trigger is not None]

    def _move(self, ticker: str, signed: Decimal, price: Decimal) -> None:
        held = self._state["held"].pop(ticker, {"quantity": "0", "average": "0", "last": str(price)})
        before = Decimal(held["quantity"])
        after = before + signed
        self._state["cash"] = str(self.cash - signed * price)
        if after:
            cost = before * Decimal(held["average"]) + signed * price
            average = cost / after if signed > 0 else Decimal(held["average"])
            self._state["held"][ticker] = {"quantity": str(after), "average": str(average), "last": str(price)}
        self._shrink_legs(ticker, after)

    def _shrink_legs(self, ticker: str, held: Decimal) -> None:
        """No leg may sell more than is held: the newest give way first."""
        left = held
        for order in self._state["orders"].values():
            legs = [leg for leg in order["legs"] if leg["state"] == ACCEPTED and order["ticker"] == ticker]
            for leg in legs:
                protects = min(Decimal(leg["protects"]), left)
                leg.update({"protects": str(protects)} if protects else {"state": CANCELLED})
            left -= max((Decimal(leg["protects"]) for leg in legs if leg["state"] == ACCEPTED), default=Decimal(0))

    def _save(self) -> None:
        """Whole or not at all: a file half written would forget orders."""
        draft = self._path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self._state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


def _is_reached(order: dict[str, Any], price: Decimal) -> bool:
    if order["order_type"] == OrderType.MARKET:
        return True
    if order["order_type"] == OrderType.STOP:
        return price <= Decimal(order["stop_price"])
    limit = Decimal(order["limit_price"])
    return price <= limit if order["side"] == Side.BUY else price >= limit


def _leg(order: dict[str, Any], leg: Leg, trigger: str) -> dict[str, Any]:
    return {
        "leg": leg.value,
        "id": triggered_order_id(order["id"], leg),
        "state": ACCEPTED,
        "protects": order["filled"],
        "trigger": trigger,
        "filled": "0",
        "price": None,
    }


def _outcome(order: dict[str, Any]) -> Outcome:
    return Outcome(
        OutcomeState(order["state"]),
        Decimal(order["filled"]),
        _decimal(order["price"]),
        order["detail"],
        tuple(
            LegOutcome(
                leg=Leg(each["leg"]),
                order_id=each["id"],
                state=OutcomeState(each["state"]),
                protects=Decimal(each["protects"]),
                trigger_price=Decimal(each["trigger"]),
                quantity=Decimal(each["filled"]),
                price=_decimal(each["price"]),
            )
            for each in order["legs"]
        ),
    )


def _working(
    order: dict[str, Any], order_id: str, side: Side, quantity: str, leg: dict[str, Any] | None = None
) -> WorkingOrder:
    is_stop = leg is not None and leg["leg"] == Leg.STOP
    if leg is None:
        kind, limit, stop = OrderType(order["order_type"]), order["limit_price"], order["stop_price"]
        stop = stop if kind is OrderType.STOP else None
    else:
        kind = OrderType.STOP if is_stop else OrderType.LIMIT
        limit, stop = (None, leg["trigger"]) if is_stop else (leg["trigger"], None)
    return WorkingOrder(
        order_id=order_id,
        ticker=order["ticker"],
        side=side,
        quantity=Decimal(quantity),
        order_type=kind,
        limit_price=_decimal(limit),
        stop_price=_decimal(stop),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
