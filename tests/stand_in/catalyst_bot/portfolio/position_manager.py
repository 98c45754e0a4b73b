"""The position manager: remembers in memory only, and calls a position closed even where the broker failed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass
class ManagedPosition:
    position_id: str
    ticker: str
    quantity: int
    opened_at: datetime


@dataclass
class ClosedPosition:
    position_id: str
    exit_reason: str
    exit_order_id: str | None
    held_s: float


CLOSED: list[ClosedPosition] = []


class PositionManager:
    def __init__(self, broker: Any, db_path: Path | None = None) -> None:
        self.broker = broker
        self._positions: dict[str, ManagedPosition] = {}
        Path(db_path or "trading.db").touch()

    async def open_position(self, order: Any, signal_id: str | None = None, strategy: str | None = None) -> Any:
        if not order.is_filled():
            raise ValueError("not filled")
        opened_at = order.filled_at or datetime.now()  # noqa: DTZ005  # as upstream
        position = ManagedPosition(str(uuid.uuid4()), order.ticker, order.filled_quantity, opened_at)
        self._positions[position.position_id] = position
        return position

    async def close_position(self, position_id: str, exit_reason: str = "manual") -> ClosedPosition | None:
        position = self._positions.pop(position_id, None)
        if position is None:
            return None
        exit_order_id = None
        try:
            order = await self.broker.close_position(ticker=position.ticker, quantity=position.quantity)
            exit_order_id = order.order_id
        except Exception:
            pass
        held_s = (datetime.now() - position.opened_at).total_seconds()  # noqa: DTZ005  # as upstream
        CLOSED.append(ClosedPosition(position_id, exit_reason, exit_order_id, held_s))
        return CLOSED[-1]
