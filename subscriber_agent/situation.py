"""What is known about one signal at one moment: the journal's memory and the engine's answers as book and market.

It only reads. It runs where the journal is read, on the disk's thread, inside the decision's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from signal_contract.model import Action, Signal
from subscriber_agent.accounting.book import ZERO, Book, Leg, WorkingEntry, known
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger import Ledger
from subscriber_agent.engines.engine import Engine
from subscriber_agent.flags import FLAGS, known_from
from subscriber_agent.journal import Journal, OrderIntent, Stored
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH, stricter
from subscriber_agent.risk.limits import EVERYTHING, Limits
from subscriber_agent.risk.market import Health, Market, TradingState
from subscriber_agent.settings.config import AgentConfig, Mode
from subscriber_agent.settled import Gathered

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """The config in force and its hash, read together: one signal is decided by one of them from end to end."""

    config: AgentConfig
    config_hash: str

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """The rules that a config says."""
        return cls(config, config.config_hash())

    @property
    def limits(self) -> Limits:
        """The risk settings."""
        return self.config.risk


class Situation:
    """Reads one journal for one engine."""

    def __init__(self, journal: Journal, engine: Engine) -> None:
        self._journal = journal
        self._engine = engine

    def book(self, gathered: Gathered, now: datetime, *, signal_id: str = "", excluding: str = "") -> Book:
        """What is held, and what is under way; `excluding` leaves out one order, as if it had not been intended."""
        orders = [row.intent for row in self._journal.open_intents() if row.intent.order_id != excluding]
        has_acted = bool(signal_id) and self._journal.has_acted(signal_id, excluding=excluding)
        return replace(
            gathered.book,
            working=tuple(_working(each) for each in orders if each.plan.leg is Leg.ENTRY),
            exiting=_exiting(orders),
            entry_times=self._journal.entry_times(now - _DAY, excluding=excluding),
            acted_ids=frozenset({signal_id}) if has_acted else frozenset(),
        )

    def market(
        self,
        stored: Stored,
        gathered: Gathered,
        rules: Rules,
        ledger: Ledger,
        now: datetime,
        *,
        skew_s: float | None,
        is_closing: bool,
    ) -> Market:
        """The world around a signal. `is_closing`: everything is being closed, so nothing new is opened."""
        signal = stored.signal
        local, flags = self.local_state(), known_from(self._journal.meta(FLAGS))
        return Market(
            engine=self._engine.name,
            is_paper=self._engine.is_paper,
            local_state=stricter(local, TradingState.REDUCING) if is_closing else local,
            operator_state=stricter(self._operator_state(stored), flags.state(is_paper=self._engine.is_paper)),
            clock_skew_s=None if skew_s is None else known(Decimal(str(skew_s))),
            # Not yet in the journal when a live signal is looked at before it is kept.
            latest_revision=max(signal.revision, self._journal.latest_revision(signal.signal_id)),
            is_retracted=self._journal.is_retracted(signal.signal_id),
            notify_only=is_notify_only(rules.config.mode, is_paper=self._engine.is_paper),
            session=NYSE.session_at(now),
            session_day=NYSE.session_day(now),
            quote=gathered.quote,
            symbol=gathered.symbol,
            capabilities=self._engine.capabilities(),
            health=self.health(rules.limits, now),
            is_ledger_mismatch=is_mismatch(ledger, gathered),
            ledger=ledger,
            approve_all=rules.config.mode is Mode.APPROVE or flags.held.asks,
            approvals=self._journal.approved(),
        )

    def health(self, limits: Limits, now: datetime) -> Health:
        """What the engine's circuit breaker allows."""
        return self._journal.breaker().health(limits, now)

    def local_state(self) -> TradingState:
        """The friend's own latch."""
        return self._latched(LOCAL_LATCH)

    def is_held_back(self, rules: Rules) -> bool:
        """Whether the agent orders nothing by itself: the friend halted it, or it only notifies."""
        is_halted = self.local_state() is TradingState.HALTED
        return is_halted or is_notify_only(rules.config.mode, is_paper=self._engine.is_paper)

    def _operator_state(self, stored: Stored) -> TradingState:
        """What the operator allows: an exit now; an entry now, and at its own place in the stream."""
        now = stricter(self._latched(OPERATOR_LATCH), self._latched(OPERATOR_USER_LATCH))
        if stored.signal.action is Action.CLOSE:
            return now
        return stricter(now, self._journal.operator_state_at(stored.stream_seq))

    def _latched(self, name: str) -> TradingState:
        latch = self._journal.latch(name)
        return TradingState.from_text(None if latch is None else latch.value)


def is_notify_only(mode: Mode, *, is_paper: bool) -> bool:
    """Whether nothing is ordered: by mode, or because mode and engine do not belong together.

    A paper engine in mode `live` would pretend to trade; real money in mode `paper` would be traded unasked.
    """
    return mode is Mode.NOTIFY or mode is (Mode.LIVE if is_paper else Mode.PAPER)


def is_mismatch(ledger: Ledger, gathered: Gathered) -> bool:
    """Whether the engine holds other shares than our own log of fills says."""
    ours = {ticker: each.quantity for ticker, each in ledger.trades.items()}
    return ours != {each.ticker: each.quantity for each in gathered.positions}


def answer_by(signal: Signal, limits: Limits) -> datetime:
    """Until when an approval can still lead to an order: the signal's own expiry, or the age it may have."""
    ages = limits.max_age_s_by_catalyst
    named = [ages[each] for each in signal.catalysts if each in ages]
    seconds = min(named) if named else ages.get(EVERYTHING, limits.max_age_s)
    too_old_at = signal.published_at + timedelta(microseconds=int(seconds * 1_000_000))
    return too_old_at if signal.expires_at is None else min(too_old_at, signal.expires_at)


def _working(intent: OrderIntent) -> WorkingEntry:
    plan = intent.plan
    return WorkingEntry(plan.ticker, plan.notional_usd, plan.side, plan.catalyst, plan.sector)


def _exiting(intents: list[OrderIntent]) -> dict[str, Decimal]:
    """Shares by ticker that exits under way will close: another exit must not close them again."""
    shares: dict[str, Decimal] = {}
    for each in intents:
        if each.plan.leg is not Leg.ENTRY:
            shares[each.plan.ticker] = shares.get(each.plan.ticker, ZERO) + each.plan.quantity
    return shares
