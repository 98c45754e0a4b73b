"""The executor: sizes by itself, gives each order a random id, and swallows every error."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..broker.broker_interface import BracketOrderParams, OrderSide, OrderType


@dataclass
class TradingSignal:
    signal_id: str
    ticker: str
    timestamp: datetime
    action: str
    confidence: float
    entry_price: Decimal | None = None
    current_price: Decimal | None = None
    stop_loss_price: Decimal | None = None
    take_profit_price: Decimal | None = None
    position_size_pct: float = 0.05
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class PositionSizingConfig:
    max_position_size_pct: float = 0.2
    min_position_size_dollars: Decimal = Decimal(100)
    max_position_size_dollars: Decimal = Decimal(10_000)
    risk_per_trade_pct: float = 0.02
    min_shares: int = 1
    max_shares: int = 1000


@dataclass
class ExecutionResult:
    success: bool
    order: Any = None
    bracket_order: Any = None
    error_message: str | None = None


# What a version of another mind does: "raise:N" orders N shares more, "twice" orders twice, "raises" throws.
HABITS: list[str] = []


class OrderExecutor:
    def __init__(self, broker: Any, db_path: Path | None = None, position_sizing_config: Any = None) -> None:
        self.broker = broker
        self.sizing = position_sizing_config or PositionSizingConfig()
        Path(db_path or "trading.db").touch()

    def count(self, signal: TradingSignal, equity: Decimal) -> int:
        """The smallest of its rules, raised to its minimum."""
        price, sizing = signal.current_price, self.sizing
        share = Decimal(str(min(signal.position_size_pct, sizing.max_position_size_pct)))
        shares = min(max(int(equity * share / price), sizing.min_shares), sizing.max_shares)
        if shares * price < sizing.min_position_size_dollars:
            shares = int(sizing.min_position_size_dollars / price) + 1
        if shares * price > sizing.max_position_size_dollars:
            shares = int(sizing.max_position_size_dollars / price)
        return shares + sum(int(each.split(":")[1]) for each in HABITS if each.startswith("raise:"))

    async def execute_signal(
        self, signal: TradingSignal, use_bracket_order: bool = True, extended_hours: bool = False
    ) -> ExecutionResult:
        if "raises" in HABITS:
            raise KeyError("the executor's own trouble")
        try:
            account = await self.broker.get_account()
            if signal.action not in ("buy", "sell") or not account.is_tradeable():
                return ExecutionResult(False, error_message="Account is not tradeable")
            count = self.count(signal, account.equity)
            if count * signal.current_price > account.buying_power:
                return ExecutionResult(False, error_message="Insufficient buying power")
            result = await self._ordered(signal, count, use_bracket_order and not extended_hours)
            if "twice" in HABITS:
                await self._ordered(signal, count, use_bracket_order)
        except Exception as error:
            return ExecutionResult(False, error_message=str(error))
        return result

    async def _ordered(self, signal: TradingSignal, count: int, is_bracket: bool) -> ExecutionResult:
        side = OrderSide.BUY if signal.action == "buy" else OrderSide.SELL
        number = uuid.uuid4().hex[:8]
        if not (is_bracket and signal.stop_loss_price and signal.take_profit_price):
            order = await self.broker.place_order(
                ticker=signal.ticker, side=side, quantity=count, order_type=OrderType.MARKET,
                client_order_id=f"signal_{signal.signal_id}_{number}",
            )  # fmt: skip
            return ExecutionResult(True, order=order)
        params = BracketOrderParams(
            ticker=signal.ticker,
            side=side,
            quantity=count,
            entry_type=OrderType.LIMIT if signal.entry_price else OrderType.MARKET,
            entry_limit_price=signal.entry_price,
            stop_loss_price=signal.stop_loss_price,
            take_profit_price=signal.take_profit_price,
            client_order_id=f"bracket_{signal.signal_id}_{number}",
        )
        return ExecutionResult(True, bracket_order=await self.broker.place_bracket_order(params))
