"""One step of the account while it is made: what it changes, gathered, so that it is written in one commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from subscriber_agent.accounting.book import Fill
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.engines.paper.values import Mark, Order, Standing


class Turn:
    """Begins with a standing and ends with another. `changed` are orders, `fills` executions, `marked` prices to write.

    `orders` are those that work, oldest first.
    """

    def __init__(self, standing: Standing) -> None:
        self.book = standing.book
        self.marks = dict(standing.marks)
        self.orders = dict(standing.orders)
        self.changed: dict[str, Order] = {}
        self.fills: list[Fill] = []
        self.marked: dict[str, Mark] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.changed or self.fills or self.marked)

    @property
    def touched(self) -> tuple[str, ...]:
        """The orders that are worth a look now; for a leg, its entry."""
        return tuple(dict.fromkeys(each.entry_id or each.order_id for each in self.changed.values()))

    def standing(self) -> Standing:
        """The account after it."""
        return Standing(self.book, MappingProxyType(self.marks), MappingProxyType(self.orders))

    def put(self, order: Order) -> None:
        """Take an order as it is now."""
        self.changed[order.order_id] = order
        if order.state.is_working:
            self.orders[order.order_id] = order
        else:
            self.orders.pop(order.order_id, None)

    def end(self, order: Order, detail: str, state: OutcomeState = OutcomeState.CANCELLED) -> None:
        """Nothing more of it fills; what had filled stays."""
        self.put(replace(order, state=state, detail=detail, due_at=None))

    def fill(self, order: Order, fill: Fill, seen_at: datetime) -> None:
        """Book an execution of `order`, which is given as it is afterwards; its price is the ticker's latest."""
        self.fills.append(fill)
        self.book = self.book.after(fill)
        self.mark(fill.ticker, fill.price, seen_at)
        self.put(order)

    def mark(self, ticker: str, price: Decimal, at: datetime) -> None:
        """Take a price in USD as the latest known one."""
        self.marks[ticker] = self.marked[ticker] = Mark(price, at)
        self.book = self.book.marked(ticker, price)
