"""What the checks must know besides signal, book and limits: trading state, engine, clock, session, quote, losses.

None always means "not known". What only an engine can say (its health, the broker's flags) may be unknown on a paper
engine, which has no broker; on any other engine what is unknown refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from signal_contract.model import Session
from subscriber_agent.accounting.ledger import Ledger
from subscriber_agent.risk.decision import TimeInForce


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


class Health(StrEnum):
    """The engine's circuit breaker: OK lets orders through, OPEN none, PROBE this one to see whether it works again."""

    OK = "OK"
    OPEN = "OPEN"
    PROBE = "PROBE"


@dataclass(frozen=True, slots=True)
class Quote:
    """Best prices in USD at one moment, as the engine shows them."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Symbol:
    """What the broker says about one ticker."""

    is_halted: bool | None = None
    is_tradable: bool | None = None
    is_shortable: bool | None = None
    is_fractionable: bool | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what it does not declare, it is not asked for.

    `brackets`: it holds the entry's stop and target itself, from its fill on, in the regular session; `stop_orders`: it
    takes a stop as an order of its own; `idempotent`: it refuses a second order with the same id by itself (without
    it nothing is ever sent twice all the same); `cancels`, `limits` and `events`: it takes `cancel`, limit orders, and
    tells what happens. `marks_positions`: it says what positions are worth now. `concurrent`: it takes up to four
    questions at once; any other engine is asked in turn.
    """

    quotes: bool = False
    symbols: bool = False
    fractions: bool = False
    extended_hours: bool = False
    shorts: bool = True
    brackets: bool = True
    stop_orders: bool = False
    limits: bool = True
    cancels: bool = True
    events: bool = False
    idempotent: bool = False
    marks_positions: bool = True
    concurrent: bool = False
    times_in_force: frozenset[TimeInForce] = frozenset(TimeInForce)

    @property
    def can_protect(self) -> bool:
        """Whether a position can have a stop: held by the engine, as an order, or watched by us against its quotes."""
        return self.brackets or self.stop_orders or self.quotes


@dataclass(frozen=True, slots=True)
class Market:
    """The world around one signal. `clock_skew_s`: our clock minus the server's, in seconds; None is not known.

    `session` and `session_day` come from the calendar; `ledger` holds the losses so far; `approvals` are the
    (signal id, revision) pairs that the friend said yes to, and `approve_all` is mode `approve`.
    """

    engine: str
    is_paper: bool
    local_state: TradingState = TradingState.ACTIVE
    operator_state: TradingState = TradingState.ACTIVE
    clock_skew_s: Decimal | None = Decimal(0)
    latest_revision: int = 0
    is_retracted: bool = False
    notify_only: bool = False
    session: Session | None = None
    session_day: date | None = None
    quote: Quote | None = None
    symbol: Symbol | None = None
    capabilities: Capabilities = Capabilities()
    health: Health | None = None
    is_ledger_mismatch: bool | None = None
    ledger: Ledger | None = None
    approve_all: bool = False
    approvals: frozenset[tuple[str, int]] = frozenset()

    @property
    def trading_state(self) -> TradingState:
        """The stricter of the friend's own latch and the operator's word."""
        if self.local_state is self.operator_state:
            return self.local_state
        return max(self.local_state, self.operator_state, key=_STRICTNESS.index)
