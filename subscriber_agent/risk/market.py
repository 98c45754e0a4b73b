"""What the checks must know besides signal, book and limits: trading state, engine, clock, later revisions."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class TradingState(StrEnum):
    """ACTIVE trades, REDUCING allows exits only, HALTED allows nothing."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"

    @classmethod
    def from_text(cls, text: str | None) -> TradingState:
        """Read a stored state; nothing stored is ACTIVE, anything that is not a state is HALTED."""
        if text is None:
            return cls.ACTIVE
        return cls(text) if text in cls.__members__ else cls.HALTED


_STRICTNESS = (TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)


@dataclass(frozen=True, slots=True)
class Market:
    """The world around one signal. `clock_skew_s`: our clock minus the server's, in seconds; None is not known."""

    engine: str
    is_paper: bool
    local_state: TradingState = TradingState.ACTIVE
    operator_state: TradingState = TradingState.ACTIVE
    clock_skew_s: Decimal | None = Decimal(0)
    latest_revision: int = 0
    is_retracted: bool = False
    notify_only: bool = False

    @property
    def trading_state(self) -> TradingState:
        """The stricter of the friend's own latch and the operator's word."""
        return max(self.local_state, self.operator_state, key=_STRICTNESS.index)
