"""The generator: gives back what the real one made of the same item, in the real one's types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

PREPARED: dict[int, Any] = {}


@dataclass
class TradingSignal:
    signal_id: str
    ticker: str
    timestamp: datetime
    action: str
    confidence: float
    entry_price: Decimal | None
    current_price: Decimal | None
    stop_loss_price: Decimal | None
    take_profit_price: Decimal | None
    position_size_pct: float
    signal_type: str
    timeframe: str
    strategy: str
    metadata: dict[str, Any]


def signal_from(trade: dict[str, Any]) -> TradingSignal:
    """The signal as the bot holds it: Decimals, an aware time, a new uuid at every call."""
    values = dict(trade)
    for name in ("entry_price", "current_price", "stop_loss_price", "take_profit_price"):
        values[name] = None if values[name] is None else Decimal(values[name])
    values["timestamp"] = datetime.fromisoformat(values["timestamp"])
    values["signal_id"] = str(uuid4())
    return TradingSignal(**values)


class SignalGenerator:
    def generate_signal(self, scored: Any, ticker: str, price: Decimal) -> Any:
        assert isinstance(price, Decimal)
        trade = PREPARED.get(id(scored))
        if trade == "raises":
            raise KeyError("the generator's own trouble")
        return None if trade is None else signal_from(trade)
