"""The shapes that the bot's broker, executor and position manager pass around."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum


class OrderSide(str, Enum):  # noqa: UP042  # as upstream
    BUY = "buy"
    SELL = "sell"


class OrderType(str, Enum):  # noqa: UP042  # as upstream
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


class TimeInForce(str, Enum):  # noqa: UP042  # as upstream
    DAY = "day"
    GTC = "gtc"


class OrderStatus(str, Enum):  # noqa: UP042  # as upstream
    PENDING = "pending"
    SUBMITTED = "submitted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class PositionSide(str, Enum):  # noqa: UP042  # as upstream
    LONG = "long"
    SHORT = "short"


@dataclass
class Order:
    order_id: str
    client_order_id: str | None = None
    ticker: str = ""
    side: OrderSide = OrderSide.BUY
    order_type: OrderType = OrderType.MARKET
    quantity: int = 0
    filled_quantity: int = 0
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    filled_avg_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    status: OrderStatus = OrderStatus.PENDING
    submitted_at: datetime | None = None
    filled_at: datetime | None = None

    def is_filled(self) -> bool:
        return self.status == OrderStatus.FILLED


@dataclass
class Position:
    ticker: str
    side: PositionSide
    quantity: int
    entry_price: Decimal
    current_price: Decimal


@dataclass
class Account:
    cash: Decimal
    equity: Decimal
    buying_power: Decimal
    trading_blocked: bool = False

    def is_tradeable(self) -> bool:
        return not self.trading_blocked


@dataclass
class BracketOrderParams:
    ticker: str
    side: OrderSide
    quantity: int
    entry_type: OrderType = OrderType.MARKET
    entry_limit_price: Decimal | None = None
    stop_loss_price: Decimal = Decimal(0)
    take_profit_price: Decimal = Decimal(0)
    time_in_force: TimeInForce = TimeInForce.GTC
    extended_hours: bool = False
    client_order_id: str | None = None


@dataclass
class BracketOrder:
    entry_order: Order
    stop_loss_order: Order
    take_profit_order: Order


class BrokerError(Exception):
    pass


class BrokerConnectionError(BrokerError):
    pass


class BrokerAuthenticationError(BrokerError):
    pass


class OrderRejectedError(BrokerError):
    pass


class InsufficientFundsError(BrokerError):
    pass


class OrderNotFoundError(BrokerError):
    pass
