"""What is known about one signal at one moment: the journal's memory and the engine's answers as book and market.

It only reads. It runs where the journal is read, on the disk's thread, inside the decision's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol, Self

from signal_contract.model import Action, Event, Signal
from subscriber_agent.accounting.book import ZERO, Book, Leg, Position, WorkingEntry, known
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger import Ledger
from subscriber_agent.engines.engine import Holding, OutcomeState
from subscriber_agent.flags import FLAGS, known_from
from subscriber_agent.journal import JournalReader, OrderRow, Stored
from subscriber_agent.left_alone import left_alone
from subscriber_agent.own_book import OwnBook
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH, stricter
from subscriber_agent.risk.limits import EVERYTHING, Limits
from subscriber_agent.risk.market import Capabilities, Health, Market, TradingState
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


class EngineFacts(Protocol):
    """What is known of an engine without asking it: itself, or its last word in the journal."""

    @property
    def name(self) -> str:
        """How it is called."""

    @property
    def is_paper(self) -> bool:
        """Whether no real money is behind it."""

    def capabilities(self) -> Capabilities:
        """What it can do."""


class Situation:
    """Reads one journal for one engine. `seen` are prices in USD by ticker, where the engine has none.

    `own` is the fold over the journal's executions, where the caller has one already: it takes years of them.
    """

    def __init__(self, journal: JournalReader, engine: EngineFacts, own: OwnBook | None = None) -> None:
        self._journal = journal
        self._engine = engine
        self._own = own or OwnBook(journal)
        self.seen: dict[str, Decimal] = {}

    def own(self) -> Mapping[str, Position]:
        """What we hold by our own log of executions."""
        return self._own.positions()

    def holdings(self, gathered: Gathered, now: datetime) -> Book:
        """Cash and positions as the engine says them, with what our own log knows about each. Nothing under way."""
        own = self.own()
        held = {
            each.ticker: merged(each, own.get(each.ticker), self.seen.get(each.ticker), now)
            for each in gathered.holdings
            if each.quantity != 0
        }
        account = gathered.account
        return Book(account.cash, held, is_blocked=account.is_blocked, stated_usd=account.equity)

    def book(self, held: Book, now: datetime, *, signal_id: str = "", excluding: str = "") -> Book:
        """`holdings` with what is under way; `excluding` leaves out one order, as if it had not been intended."""
        orders = [row for row in self._journal.open_intents() if row.intent.order_id != excluding]
        has_acted = bool(signal_id) and self._journal.has_acted(signal_id, excluding=excluding)
        return replace(
            held,
            working=tuple(_working(each) for each in orders if each.intent.plan.leg is Leg.ENTRY),
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
        return replace(
            self.market_unasked(stored, rules, now, skew_s=skew_s, is_closing=is_closing),
            session=NYSE.session_at(now),
            session_day=NYSE.session_day(now),
            quote=gathered.quote,
            symbol=gathered.symbol,
            capabilities=self._engine.capabilities(),
            health=self.health(rules.limits, now),
            is_ledger_mismatch=self._is_mismatch(ledger, gathered, stored.signal.ticker),
            ledger=ledger,
            approvals=self._journal.approved(),
        )

    def market_unasked(
        self, stored: Stored, rules: Rules, now: datetime, *, skew_s: float | None, is_closing: bool
    ) -> Market:
        """What is known without a word of the engine; the rest is not known."""
        signal, is_paper = stored.signal, self._engine.is_paper
        local, flags = self.local_state(), known_from(self._journal.meta(FLAGS))
        latest, is_retracted = self._journal.revision_state(signal.signal_id)
        return Market(
            engine=self._engine.name,
            is_paper=is_paper,
            local_state=stricter(local, TradingState.REDUCING) if is_closing else local,
            operator_state=stricter(self._operator_state(stored), flags.state(is_paper=is_paper)),
            clock_skew_s=None if skew_s is None else known(Decimal(str(skew_s))),
            # Not yet in the journal when a live signal is looked at before it is kept.
            latest_revision=max(signal.revision, latest),
            is_retracted=is_retracted,
            notify_only=is_notify_only(rules.config.mode, is_paper=is_paper),
            approve_all=rules.config.mode is Mode.APPROVE or flags.held.asks,
        )

    def trades_withdrawn(self, signal: Signal) -> int:
        """How many entries were ordered on a signal that this message retracts."""
        if signal.event is not Event.RETRACT:
            return 0
        never = (OutcomeState.REJECTED, OutcomeState.ABANDONED)
        orders = self._journal.orders_of(signal.signal_id)
        return sum(
            each.intent.plan.leg is Leg.ENTRY and (each.outcome is None or each.outcome.state not in never)
            for each in orders
        )

    def health(self, limits: Limits, now: datetime) -> Health:
        """What the engine's circuit breaker allows."""
        return self._journal.breaker(self._engine.name).health(limits, now)

    def _is_mismatch(self, ledger: Ledger, gathered: Gathered, ticker: str) -> bool:
        """Whether a reconcile is open, or the engine holds other shares than our log says; see `is_mismatch`.

        What the friend holds by himself does not count, but in such a ticker nothing is opened: whose shares those
        are could not be told afterwards.
        """
        his_own = left_alone(self._journal)
        if self._journal.open_reconcile() is not None or ticker in his_own:
            return True
        # A stop order of ours always works: it does not make a ticker busy.
        under_way = (row.intent.plan for row in self._journal.open_intents())
        busy = {plan.ticker for plan in under_way if plan.leg is not Leg.STOP}
        return is_mismatch(ledger, gathered.holdings, busy | (his_own - ledger.trades.keys()))

    def state_now(self) -> TradingState:
        """The strictest of all latches: the friend's own and both of the operator's."""
        operator = stricter(self._latched(OPERATOR_LATCH), self._latched(OPERATOR_USER_LATCH))
        return stricter(self.local_state(), operator)

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


def is_mismatch(ledger: Ledger, holdings: Iterable[Holding], busy: Collection[str]) -> bool:
    """Whether the engine holds other shares than our own log of fills says.

    Tickers in `busy`, with an order under way, are left out: their last fills may not be booked yet.
    """
    ours = {ticker: each.quantity for ticker, each in ledger.trades.items() if ticker not in busy}
    return ours != {each.ticker: each.quantity for each in holdings if each.ticker not in busy and each.quantity != 0}


def merged(holding: Holding, own: Position | None, seen: Decimal | None, now: datetime) -> Position:
    """A holding of the engine with what our own log knows: `ours` are the shares that both agree are ours to close."""
    last = holding.last_price if known(holding.last_price) is not None else seen
    if own is None or own.quantity * holding.quantity <= 0:
        average = known(holding.average_price) or known(last) or ZERO
        return Position(holding.ticker, holding.quantity, average, last, now, "", ours=ZERO)
    # Not `replace`, which takes three times as long: of a hundred positions each is made anew with every decision.
    return Position(
        own.ticker,
        holding.quantity,
        own.average_price if holding.average_price is None else holding.average_price,
        last if last is not None else own.last_price,
        own.opened_at,
        own.opened_by,
        own.stop_price,
        own.target_price,
        own.catalyst,
        own.sector,
        min(abs(own.quantity), abs(holding.quantity)),
        own.max_hold_s,
    )


def shown_price(signal: Signal, *, is_paper: bool) -> tuple[Decimal, datetime] | None:
    """The price on a signal and its time, unless it is not to be believed: a retraction, a drill on real money."""
    is_drill = signal.meta.get("drill", "false") != "false" and not is_paper
    price, at = signal.reference_price, signal.reference_price_at
    return None if price is None or at is None or is_drill or signal.event is Event.RETRACT else (price, at)


def answer_by(signal: Signal, limits: Limits) -> datetime:
    """Until when an approval can still lead to an order: the signal's own expiry, or the age it may have."""
    ages = limits.max_age_s_by_catalyst
    named = [ages[each] for each in signal.catalysts if each in ages]
    seconds = min(named) if named else ages.get(EVERYTHING, limits.max_age_s)
    too_old_at = signal.published_at + timedelta(microseconds=int(seconds * 1_000_000))
    return too_old_at if signal.expires_at is None else min(too_old_at, signal.expires_at)


def _working(row: OrderRow) -> WorkingEntry:
    plan = row.intent.plan
    # What has filled of it is a position already.
    filled = ZERO if row.outcome is None else known(row.outcome.quantity) or ZERO
    rest = replace(plan, quantity=max(plan.quantity - filled, ZERO))
    return WorkingEntry(plan.ticker, rest.notional_usd, plan.side, plan.catalyst, plan.sector)


def _exiting(orders: Iterable[OrderRow]) -> dict[str, Decimal]:
    """Shares by ticker that exits under way will close: another exit must not close them again.

    A stop order that waits closes nothing yet; it is let go before an exit.
    """
    shares: dict[str, Decimal] = {}
    for row in orders:
        plan = row.intent.plan
        if plan.leg is Leg.EXIT:
            filled = ZERO if row.outcome is None else known(row.outcome.quantity) or ZERO
            shares[plan.ticker] = shares.get(plan.ticker, ZERO) + max(plan.quantity - filled, ZERO)
    return shares
