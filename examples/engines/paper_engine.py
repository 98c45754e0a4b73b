"""A trading engine of your own, in Python: a small paper broker. Copy it, and put your broker where the paper is.

    engine:
      kind: command
      command:
        argv: [python3, paper_engine.py, paper_orders.json]
        is_paper: true

The agent starts it, writes one JSON document a line to its stdin and reads one from its stdout; stderr goes to the
agent's log. Three rules matter more than all others:

1. An order id is one order, for ever. The same id again answers what became of it, and orders nothing. So ids are on
   disk before the answer is given, and are still there after a restart.
2. `lookup` says null only when the order surely never came. When you do not know, answer an error: you are asked again.
3. When stdin ends, end: the agent is gone. Another copy may run in a moment.

Numbers are text ("12.50") both ways, never JSON's 12.5, which is another number by the time anybody reads it.
Nothing but Python 3.9 or newer is needed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

START_CASH = "10000"
WORKING = ("ACCEPTED", "PARTLY_FILLED")
HELLO = {
    "name": "paper_engine.py",
    "version": "1",
    "is_paper": True,
    # What you do not declare, you are not asked for. `brackets`: we hold an entry's stop and target ourselves.
    "capabilities": {
        "brackets": True,
        "stop_orders": True,
        "limits": True,
        "cancels": True,
        "shorts": True,
        "events": True,
        "idempotent": True,
        "marks_positions": True,
        "times_in_force": ["day", "gtc"],
    },
}
Order = dict[str, Any]


class Failed(Exception):
    """What the agent is told as an error: a code, and a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Broker:
    """Cash, positions and orders, all in one file. A real engine asks its broker instead, or keeps a database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        empty = {"cash": START_CASH, "orders": {}, "positions": {}, "prices": {}}
        self.saved = path.read_text() if path.exists() else json.dumps(empty)
        self.state: dict[str, Any] = json.loads(self.saved)
        self.news: list[str] = []

    def answer(self, request: dict[str, Any]) -> Any:
        """The result of one request. All that it changes is on disk before it is told, or nothing has changed."""
        try:
            operation = OPERATIONS.get(request["op"])
            if operation is None:
                raise Failed("unknown_op", f"{request['op']} is nothing that this engine does")
            result = operation(self, request)
            self.save()
        except Exception:
            self.state = json.loads(self.saved)
            self.news.clear()
            raise
        return result

    def save(self) -> None:
        text = json.dumps(self.state)
        if text == self.saved:
            return
        new = self.path.with_name(self.path.name + ".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        self.saved = text

    # What the agent asks.

    def hello(self, request: dict[str, Any]) -> dict[str, Any]:
        return HELLO

    def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        order = request["order"]
        known = self.state["orders"].get(order["order_id"])
        if known is not None:
            return outcome(known)
        order = {**order, "state": "ACCEPTED", "filled_quantity": "0", "average_price": None, "reason": "", "legs": []}
        self.state["orders"][order["order_id"]] = order
        if order["reference_price"] and order["reference_price_at"]:
            self.see(order["ticker"], order["reference_price"], order["reference_price_at"])
        price = self.state["prices"].get(order["ticker"], [None])[0]
        reason = self.objection(order, price)
        if reason:
            order.update(state="REJECTED", reason=reason)
        elif reaches(order, Decimal(price)):
            self.fill(order, Decimal(price))
        return outcome(order)

    def lookup(self, request: dict[str, Any]) -> dict[str, Any] | None:
        order = self.state["orders"].get(request["order_id"])
        return None if order is None else outcome(order)

    def cancel(self, request: dict[str, Any]) -> dict[str, Any] | None:
        order = self.state["orders"].get(request["order_id"])
        if order is None:
            return None
        for each in (order, *order["legs"]):
            if each["state"] in WORKING:
                each["state"] = "CANCELLED"
        return outcome(order)

    def account(self, request: dict[str, Any]) -> dict[str, Any]:
        worth = sum((Decimal(each["quantity"]) * self.last(ticker) for ticker, each in self.held()), Decimal(0))
        cash = Decimal(self.state["cash"])
        return {"cash": text(cash), "equity": text(cash + worth), "is_blocked": False}

    def positions(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"ticker": ticker, **each, "last_price": text(self.last(ticker))} for ticker, each in self.held()]

    def orders(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        every = self.state["orders"].values()
        own = [row(each, each) for each in every if each["state"] in WORKING]
        return own + [row(leg, each) for each in every for leg in each["legs"] if leg["state"] in WORKING]

    def observe(self, request: dict[str, Any]) -> list[str]:
        """A price that the agent saw: it may fill what waits. Returns the orders that are worth a look now."""
        ticker, price, at = request["ticker"], request["price"], request["at"]
        if not self.see(ticker, price, at):
            return []
        changed = [each["order_id"] for each in self.state["orders"].values() if self.moved(each, ticker, price)]
        self.news.extend(changed)
        return changed

    def health(self, request: dict[str, Any]) -> dict[str, Any]:
        return {}

    # How the paper trades.

    def held(self) -> list[tuple[str, dict[str, str]]]:
        return sorted(self.state["positions"].items())

    def holds(self, ticker: str) -> Decimal:
        return Decimal(self.state["positions"].get(ticker, {"quantity": "0"})["quantity"])

    def last(self, ticker: str) -> Decimal:
        return Decimal(self.state["prices"][ticker][0])

    def objection(self, order: Order, price: str | None) -> str:
        quantity, ticker = Decimal(order["quantity"]), order["ticker"]
        if quantity <= 0 or quantity != quantity.to_integral_value():
            return "whole shares only"
        if price is None:
            return "no price is known"
        if order["leg"] != "entry":
            is_covered = self.holds(ticker) * sign(order) < 0 and abs(self.holds(ticker)) >= quantity
            return "" if is_covered else f"no position of {quantity} {ticker} to close"
        cost = quantity * max(Decimal(price), Decimal(order["limit_price"] or 0))
        return f"{cost:.2f} USD is more than the cash at hand" if cost > self.power() else ""

    def power(self) -> Decimal:
        """Cash for entries: a short position blocks its proceeds, and as much again."""
        shorts = sum((min(self.holds(ticker), Decimal(0)) * self.last(ticker) for ticker, _ in self.held()), Decimal(0))
        return Decimal(self.state["cash"]) + 2 * shorts

    def see(self, ticker: str, price: str, at: str) -> bool:
        """Keep a price; False for one that is older than what is known."""
        before = self.state["prices"].get(ticker)
        if before is not None and instant(at) < instant(before[1]):
            return False
        self.state["prices"][ticker] = [price, at]
        return True

    def moved(self, order: Order, ticker: str, price: str) -> bool:
        """Whether the new price filled the order, or one of its legs."""
        if order["ticker"] != ticker:
            return False
        if order["state"] in WORKING and reaches(order, Decimal(price)):
            # A limit order that waited fills at its limit, a stop at what is there: a gap is a gap.
            self.fill(order, Decimal(order["limit_price"] if order["order_type"] == "limit" else price))
            return True
        for leg in order["legs"]:
            # A leg closes, so it is an order of the other side: a stop, or a limit for the target.
            if leg["state"] in WORKING and reaches(closing(leg, order), Decimal(price)):
                self.fill_leg(leg, order, Decimal(price if leg["leg"] == "stop" else leg["trigger_price"]))
                return True
        return False

    def fill(self, order: Order, price: Decimal) -> None:
        quantity = Decimal(order["quantity"])
        order.update(state="FILLED", filled_quantity=text(quantity), average_price=text(price))
        if order["leg"] == "entry":
            order["legs"] = [leg for leg in (a_leg(order, "stop"), a_leg(order, "target")) if leg is not None]
        self.book(order["ticker"], sign(order) * quantity, price)

    def fill_leg(self, leg: Order, order: Order, price: Decimal) -> None:
        leg.update(state="FILLED", filled_quantity=leg["protects"], average_price=text(price))
        for other in order["legs"]:
            if other["state"] in WORKING:
                other["state"] = "CANCELLED"
        self.book(order["ticker"], -sign(order) * Decimal(leg["protects"]), price)

    def book(self, ticker: str, signed: Decimal, price: Decimal) -> None:
        """Move shares and cash; what would close more than is left then closes less, or ends."""
        self.state["cash"] = text(Decimal(self.state["cash"]) - signed * price)
        before, now = self.holds(ticker), self.holds(ticker) + signed
        average = Decimal(self.state["positions"].get(ticker, {}).get("average_price", "0"))
        if abs(now) > abs(before):
            average = (abs(before) * average + abs(signed) * price) / abs(now)
        self.state["positions"].pop(ticker, None)
        if now:
            self.state["positions"][ticker] = {"quantity": text(now), "average_price": text(average)}
        for order in self.state["orders"].values():
            if order["ticker"] == ticker:
                self.shrink(order, abs(now))

    def shrink(self, order: Order, left: Decimal) -> None:
        if order["state"] in WORKING and order["leg"] != "entry" and Decimal(order["quantity"]) > left:
            order.update(state="CANCELLED", reason="there is no longer so much to close")
        for leg in order["legs"]:
            if leg["state"] in WORKING:
                leg["protects"] = text(min(Decimal(leg["protects"]), left))
                leg["state"] = leg["state"] if left else "CANCELLED"


OPERATIONS: dict[str, Callable[[Broker, dict[str, Any]], Any]] = {
    "hello": Broker.hello,
    "submit": Broker.submit,
    "lookup": Broker.lookup,
    "cancel": Broker.cancel,
    "account": Broker.account,
    "positions": Broker.positions,
    "orders": Broker.orders,
    "observe": Broker.observe,
    "health": Broker.health,
}


def outcome(order: Order) -> dict[str, Any]:
    return {key: order[key] for key in ("state", "filled_quantity", "average_price", "reason", "legs")}


def a_leg(order: Order, name: str) -> Order | None:
    price = order[f"{name}_price"]
    if price is None:
        return None
    return {
        "leg": name,
        "order_id": f"{order['order_id'].rsplit('-', 1)[0]}-{name}",
        "state": "ACCEPTED",
        "protects": order["filled_quantity"],
        "trigger_price": price,
        "filled_quantity": "0",
        "average_price": None,
    }


def closing(leg: Order, order: Order) -> Order:
    """The order that a leg is."""
    return {
        "side": "sell" if order["side"] == "buy" else "buy",
        "order_type": "stop" if leg["leg"] == "stop" else "limit",
        "limit_price": leg["trigger_price"],
        "stop_price": leg["trigger_price"],
        "quantity": leg["protects"],
    }


def row(each: Order, order: Order) -> dict[str, Any]:
    """A line of `orders`: an order, or a leg of `order`."""
    shown = each if each is order else closing(each, order)
    return {
        "order_id": each["order_id"],
        "ticker": order["ticker"],
        "side": shown["side"],
        "quantity": shown["quantity"],
        "filled_quantity": each["filled_quantity"],
        "order_type": shown["order_type"],
        "limit_price": shown["limit_price"] if shown["order_type"] == "limit" else None,
        "stop_price": shown["stop_price"] if shown["order_type"] == "stop" else None,
    }


def reaches(order: Order, price: Decimal) -> bool:
    """Whether an order fills at this price: a limit at it or better, a stop at it or worse."""
    if order["order_type"] == "market":
        return True
    if order["order_type"] == "limit":
        return (Decimal(order["limit_price"]) - price) * sign(order) >= 0
    return (price - Decimal(order["stop_price"])) * sign(order) >= 0


def sign(order: Order) -> int:
    return 1 if order["side"] == "buy" else -1


def text(value: Decimal) -> str:
    """A plain number, exact to 8 places: never 1E+3."""
    return format(round(value, 8).normalize(), "f")


def instant(at: str) -> datetime:
    return datetime.fromisoformat(at.replace("Z", "+00:00"))


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"v": 1, **document}) + "\n")
    sys.stdout.flush()  # without it the line waits in a buffer, and the agent for the line


def serve(broker: Broker) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "bye":
            say({"id": request["id"], "ok": True, "result": None})
            return
        try:
            say({"id": request["id"], "ok": True, "result": broker.answer(request)})
        except Failed as error:
            say({"id": request["id"], "ok": False, "error": {"code": error.code, "message": str(error)}})
        except Exception as error:  # noqa: BLE001  # told, and the agent asks again
            say({"id": request["id"], "ok": False, "error": {"code": "failed", "message": repr(error)}})
        for order_id in broker.news:
            say({"event": "order", "order_id": order_id})
        broker.news.clear()


if __name__ == "__main__":
    serve(Broker(Path(sys.argv[1] if len(sys.argv) > 1 else "paper_orders.json")))
