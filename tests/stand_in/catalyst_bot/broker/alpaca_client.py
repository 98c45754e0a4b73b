"""A broker client with a small exchange behind it, one for each API key; `WORLDS[key].faults` makes it misbehave.

"lose:POST"        accepts the order, then the connection breaks
"fail:POST"        the connection breaks before anything arrives
"refuse:POST"      the broker says no
"lose-refuse:POST" accepts the order, and the client's own second try is refused
"hang:POST"        never answers;  "block:POST" stands still for `block_s` without giving way
"more:POST"        fills ten times as much;  "wrong:POST" answers with another ticker's order
"garbage:account" …  an answer of another type
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .broker_interface import (
    Account,
    BracketOrder,
    BracketOrderParams,
    BrokerAuthenticationError,
    BrokerConnectionError,
    BrokerError,
    InsufficientFundsError,
    Order,
    OrderNotFoundError,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    TimeInForce,
)

_OPEN = (OrderStatus.PENDING, OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)


class World:
    """The exchange: cash, positions, orders, one price a ticker."""

    def __init__(self) -> None:
        self.cash = Decimal(10_000)
        self.held: dict[str, tuple[int, Decimal]] = {}
        self.orders: dict[str, Order] = {}
        self.brackets: dict[str, list[str]] = {}
        self.prices: dict[str, Decimal] = defaultdict(lambda: Decimal(5))
        self.faults: list[str] = []
        self.posts = 0
        self.is_blocked = False
        self.fills_at_once = True
        self.block_s = 0.5
        self.now = lambda: datetime.now(UTC)

    def fault(self, path: str) -> str | None:
        """Take the next fault planned for a path."""
        found = next((each for each in self.faults if each.endswith(f":{path}")), None)
        if found is not None:
            self.faults.remove(found)
            return found.split(":")[0]
        return None

    def place(self, order: Order, *, is_leg: bool = False) -> Order:
        order.order_id = str(uuid.uuid4())
        order.client_order_id = order.client_order_id or str(uuid.uuid4())
        if any(each.client_order_id == order.client_order_id for each in self.orders.values()):
            raise BrokerError("API request failed: client_order_id must be unique")
        price = self.prices[order.ticker]
        if order.side is OrderSide.BUY and order.quantity * price > self.cash:
            raise InsufficientFundsError("API request failed: insufficient buying power")
        if order.side is OrderSide.SELL and not is_leg and order.quantity > self.free(order.ticker):
            raise InsufficientFundsError("API request failed: insufficient qty available for order")
        order.status, order.submitted_at = OrderStatus.SUBMITTED, self.now()
        self.orders[order.order_id] = order
        if not is_leg:
            self.match(order)
        return order

    def free(self, ticker: str) -> int:
        """Shares that no working sell holds back; the two legs of a bracket hold the same ones."""
        stops = [
            each.quantity
            for each in self.orders.values()
            if each.ticker == ticker and each.side is OrderSide.SELL and each.status in _OPEN
            and each.order_type is not OrderType.LIMIT
        ]  # fmt: skip
        return self.held.get(ticker, (0, Decimal(0)))[0] - sum(stops)

    def match(self, order: Order) -> None:
        price = self.prices[order.ticker]
        if order.status not in _OPEN or not self.fills_at_once:
            return
        is_buy = order.side is OrderSide.BUY
        if order.order_type is OrderType.LIMIT:
            is_reached = price <= order.limit_price if is_buy else price >= order.limit_price
        elif order.order_type is OrderType.STOP:
            is_reached = price >= order.stop_price if is_buy else price <= order.stop_price
        else:
            is_reached = True
        if is_reached:
            self.fill(order, order.quantity, price)

    def fill(self, order: Order, quantity: int, price: Decimal) -> None:
        order.filled_quantity += quantity
        order.filled_avg_price = price
        order.status = OrderStatus.FILLED if order.filled_quantity >= order.quantity else OrderStatus.PARTIALLY_FILLED
        order.filled_at = self.now()
        signed = quantity if order.side is OrderSide.BUY else -quantity
        before, average = self.held.pop(order.ticker, (0, price))
        self.cash -= signed * price
        if before + signed:
            self.held[order.ticker] = (before + signed, price if signed > 0 else average)
        for siblings in self.brackets.values():
            if order.order_id in siblings:
                for each in siblings:
                    self.end(each)

    def end(self, order_id: str) -> None:
        if self.orders[order_id].status in _OPEN:
            self.orders[order_id].status = OrderStatus.CANCELLED

    def is_asleep(self, order_id: str) -> bool:
        """Whether a leg's entry has not filled yet."""
        entry = next((key for key, legs in self.brackets.items() if order_id in legs), None)
        return entry is not None and self.orders[entry].filled_quantity == 0

    def move(self, ticker: str, price: Decimal) -> None:
        self.prices[ticker] = price
        for order in list(self.orders.values()):
            if order.ticker == ticker and not self.is_asleep(order.order_id):
                self.match(order)


WORLDS: dict[str, World] = defaultdict(World)


class AlpacaBrokerClient:
    LIVE_BASE_URL = "https://api.example"
    PAPER_BASE_URL = "https://paper-api.example"

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        paper_trading: bool = True,
        base_url: str | None = None,
    ) -> None:
        if not api_key or not api_secret:
            raise BrokerAuthenticationError(f"credentials {api_key!r} {api_secret!r}")
        self.base_url = base_url or (self.PAPER_BASE_URL if paper_trading else self.LIVE_BASE_URL)
        self.paper_trading = paper_trading
        self.world = WORLDS[api_key]
        self.is_open = False

    async def connect(self) -> bool:
        await self._asked("connect")
        self.is_open = True
        return True

    async def disconnect(self) -> None:
        self.is_open = False

    async def get_account(self) -> Any:
        if await self._asked("account") == "garbage":
            return {"cash": "10000"}
        worth = sum((count * self.world.prices[ticker] for ticker, (count, _) in self.world.held.items()), Decimal(0))
        cash = self.world.cash
        return Account(cash, cash + worth, cash, self.world.is_blocked)

    async def get_positions(self) -> Any:
        if await self._asked("positions") == "garbage":
            return "no positions"
        return [
            Position(
                ticker,
                PositionSide.LONG if count > 0 else PositionSide.SHORT,
                abs(count),
                average,
                self.world.prices[ticker],
            )
            for ticker, (count, average) in self.world.held.items()
        ]

    async def place_order(
        self,
        ticker: str,
        side: OrderSide,
        quantity: int,
        order_type: OrderType = OrderType.MARKET,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: TimeInForce = TimeInForce.DAY,
        extended_hours: bool = False,
        client_order_id: str | None = None,
    ) -> Order:
        order = Order("", client_order_id, ticker, side, order_type, quantity, 0, limit_price, stop_price)
        return await self._posted(lambda: self.world.place(order))

    async def place_bracket_order(self, params: BracketOrderParams) -> BracketOrder:
        return await self._posted(lambda: self._bracket(params))

    def _bracket(self, params: BracketOrderParams) -> BracketOrder:
        world, other = self.world, OrderSide.SELL
        order = Order("", params.client_order_id, params.ticker, params.side, params.entry_type, params.quantity)
        order.limit_price = params.entry_limit_price
        entry = world.place(order)
        count = params.quantity
        stop = Order("", None, params.ticker, other, OrderType.STOP, count, 0, None, params.stop_loss_price)
        target = Order("", None, params.ticker, other, OrderType.LIMIT, count, 0, params.take_profit_price)
        legs = [world.place(each, is_leg=True) for each in (stop, target)]
        world.brackets[entry.order_id] = [each.order_id for each in legs]
        return BracketOrder(entry, stop, target)

    async def _posted(self, place: Any) -> Any:
        fault = await self._asked("POST")
        if fault == "refuse":
            raise InsufficientFundsError("API request failed: insufficient buying power")
        self.world.posts += 1
        placed = place()
        entry = getattr(placed, "entry_order", placed)
        if fault in ("lose", "lose-refuse"):
            refused = InsufficientFundsError("API request failed: insufficient buying power")
            raise refused if fault == "lose-refuse" else BrokerConnectionError("Request failed: connection lost")
        if fault == "more":
            self.world.fill(entry, entry.quantity * 9, self.world.prices[entry.ticker])
        if fault == "wrong":
            return Order("other", None, "WXYZ", OrderSide.BUY, quantity=1)
        return placed

    async def cancel_order(self, order_id: str) -> bool:
        """As upstream: it stumbles over the broker's empty answer, after the cancellation took place."""
        await self._asked("DELETE")
        self.world.end(order_id)
        for entry, legs in self.world.brackets.items():
            if order_id in legs or (order_id == entry and self.world.orders[entry].filled_quantity == 0):
                for each in legs:
                    self.world.end(each)
        raise BrokerConnectionError("Request failed: unexpected mimetype")

    async def get_order(self, order_id: str) -> Order:
        if await self._asked("order") == "garbage":
            return Order(order_id, None, "ABCD", OrderSide.BUY, quantity=2, filled_quantity="many")
        if order_id not in self.world.orders:
            raise OrderNotFoundError(order_id)
        return self.world.orders[order_id]

    async def get_orders(self, status: OrderStatus | None = None, limit: int = 100) -> list[Order]:
        await self._asked("orders")
        wanted = [each for each in self.world.orders.values() if (each.status in _OPEN) is (status is None)]
        return list(reversed(wanted))[:limit]

    async def _asked(self, path: str) -> str | None:
        fault = self.world.fault(path)
        if fault == "fail":
            raise BrokerConnectionError("Request failed: no route")
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "block":
            time.sleep(self.world.block_s)  # noqa: ASYNC251  # that is the fault
        return fault
