"""One stored signal at a time: decide, journal the decision with its order, hand over, journal the outcome.

Knows no network and no terminal. Every step is safe to be the last one before kill -9: the next start finds the
undecided signals, and looks up each order that has no outcome before it hands anything over.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from signal_contract.model import Action, Event
from subscriber_agent.book import Book, Fill, Leg, WorkingEntry, known
from subscriber_agent.config import AgentConfig, Mode
from subscriber_agent.engines.engine import Engine, Outcome, OutcomeState, order_id_from
from subscriber_agent.journal import Journal, OrderIntent, OrderRow, Stored
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Decision, Verdict, instant_text, text_of
from subscriber_agent.risk.market import Market, TradingState

LOCAL_LATCH, OPERATOR_LATCH = "local", "operator"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one signal. `exits` are stops and targets that its price triggered on the way."""

    stored: Stored
    decision: Decision
    outcome: Outcome | None
    exits: tuple[Fill, ...] = ()

    @property
    def label(self) -> str:
        """One word or code for counting: FILLED, REJECTED … when ordered, else the decision's code."""
        if self.outcome is not None:
            return self.outcome.state.value
        return self.decision.verdict.value if self.decision.code is None else self.decision.code.value

    def as_dict(self) -> dict[str, Any]:
        signal = self.stored.signal
        return {
            "seq": self.stored.stream_seq,
            "subject": self.stored.subject,
            "signal_id": signal.signal_id,
            "revision": signal.revision,
            "event": signal.event.value,
            "action": signal.action.value,
            "ticker": signal.ticker,
            "catalyst": signal.catalyst,
            "published_at": instant_text(signal.published_at),
            "received_at": instant_text(self.stored.received_at),
            "label": self.label,
            "decision": self.decision.as_dict(),
            "outcome": None if self.outcome is None else self.outcome.as_dict(),
            "exits": [_fill_dict(each) for each in self.exits],
        }


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a restart found out about an order without an end."""

    intent: OrderIntent
    outcome: Outcome
    is_handed_over_now: bool

    def as_dict(self) -> dict[str, Any]:
        return {
            "order_id": self.intent.order_id,
            "signal_id": self.intent.signal_id,
            "revision": self.intent.revision,
            "ticker": self.intent.plan.ticker,
            "is_handed_over_now": self.is_handed_over_now,
            "outcome": self.outcome.as_dict(),
        }


class Desk:
    """Works through the journal's undecided signals, in stream order, with one engine.

    `user` goes into the order ids. `clock_skew_s` (our clock minus the server's, None when it cannot be measured) may
    be set at any time; None refuses entries.
    """

    def __init__(
        self, config: AgentConfig, journal: Journal, engine: Engine, clock: Callable[[], datetime], *, user: str
    ) -> None:
        self._config = config
        self._config_hash = config.config_hash()
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._user = user
        self.clock_skew_s: float | None = 0.0

    async def recover(self) -> list[Recovered]:
        """Settle every order whose end is not known: look it up; hand over only what the engine never saw.

        What was never handed over meets the rules of now first: a stale entry or a halt abandons it.
        """
        return [await self._recover_one(row) for row in self._journal.open_intents()]

    async def settle(self) -> AsyncGenerator[Settled, None]:
        """Decide everything that is undecided, in stream order; each signal is yielded once it is done and on disk.

        Call it when the backlog is drained: retractions must be known. It may be left between two signals.
        """
        while batch := self._journal.undecided():
            for stored in batch:
                yield await self._settle_one(stored)

    async def preview(self, stored: Stored, *, show_all: bool = True) -> Decision:
        """What would be decided now, for `explain`: nothing is written, nothing is ordered."""
        return self._decide(stored, await self._book_for(stored.signal.signal_id), show_all=show_all)

    async def _settle_one(self, stored: Stored) -> Settled:
        is_close = stored.signal.action is Action.CLOSE
        # A price that is the signal's own exit price must not trigger the stop first.
        exits = () if is_close else await self._observe(stored)
        decision = self._decide(stored, await self._book_for(stored.signal.signal_id))
        if is_close and decision.verdict is not Verdict.ACCEPTED:
            exits = await self._observe(stored)
        intent = self._intent(decision)
        is_mine = self._journal.write_decision(decision, self._config_hash, intent)
        # Whoever wrote the decision first hands its order over; a second copy of the agent must not.
        outcome = await self._hand_over(intent) if is_mine and intent is not None else None
        return Settled(stored, decision, outcome, exits)

    async def _hand_over(self, intent: OrderIntent) -> Outcome:
        outcome = await self._engine.submit(intent.plan, intent.order_id)
        self._journal.write_outcome(intent.order_id, outcome, self._clock())
        return outcome

    async def _recover_one(self, row: OrderRow) -> Recovered:
        intent = row.intent
        outcome = await self._engine.lookup(intent.order_id)
        if outcome is None and row.outcome is not None and row.outcome.state is OutcomeState.ACCEPTED:
            outcome = Outcome(OutcomeState.UNKNOWN, detail="the engine accepted it once and does not know it now")
        if outcome is None:
            objection = await self._objection(intent)
            if objection is None:
                return Recovered(intent, await self._hand_over(intent), is_handed_over_now=True)
            outcome = Outcome(OutcomeState.ABANDONED, detail=f"never handed over, and refused now: {objection}")
        self._journal.write_outcome(intent.order_id, outcome, self._clock())
        return Recovered(intent, outcome, is_handed_over_now=False)

    async def _objection(self, intent: OrderIntent) -> str | None:
        """Why the rules of now do not allow an order that was never handed over; None when they still do."""
        stored = self._journal.stored(intent.signal_id, intent.revision)
        if stored is None:
            return "its signal is not in the journal"
        book = await self._book_for(intent.signal_id, excluding=intent.order_id)
        decision = self._decide(stored, book)
        if decision.verdict is not Verdict.ACCEPTED or decision.plan is None:
            return decision.verdict.value if decision.code is None else decision.code.value
        return None if decision.plan.quantity >= intent.plan.quantity else "only a smaller order is allowed"

    async def _observe(self, stored: Stored) -> tuple[Fill, ...]:
        """Show the engine a price seen on the wire, unless the message or its ticker may be wrong."""
        signal = stored.signal
        is_doubtful = signal.event is Event.RETRACT or self._journal.is_retracted(signal.signal_id)
        is_drill = signal.meta.get("drill", "false") != "false" and not self._engine.is_paper
        if is_doubtful or is_drill or signal.reference_price is None or signal.reference_price_at is None:
            return ()
        return tuple(await self._engine.observe(signal.ticker, signal.reference_price, signal.reference_price_at))

    def _decide(self, stored: Stored, book: Book, *, show_all: bool = False) -> Decision:
        return decide(
            stored.signal,
            book,
            self._config.risk,
            self._market(stored.signal.signal_id),
            self._clock(),
            show_all=show_all,
        )

    def _market(self, signal_id: str) -> Market:
        skew_s = self.clock_skew_s
        return Market(
            engine=self._engine.name,
            is_paper=self._engine.is_paper,
            local_state=self._latched(LOCAL_LATCH),
            operator_state=self._latched(OPERATOR_LATCH),
            clock_skew_s=None if skew_s is None else known(Decimal(str(skew_s))),
            latest_revision=self._journal.latest_revision(signal_id),
            is_retracted=self._journal.is_retracted(signal_id),
            notify_only=self._config.mode is Mode.NOTIFY,
        )

    def _latched(self, name: str) -> TradingState:
        latch = self._journal.latch(name)
        return TradingState.from_text(None if latch is None else latch.value)

    async def _book_for(self, signal_id: str, *, excluding: str = "") -> Book:
        """The book of now; `excluding` leaves out one order, as if it had not been intended."""
        account, positions = await self._engine.account(), await self._engine.positions()
        orders = [row.intent for row in self._journal.open_intents() if row.intent.order_id != excluding]
        has_acted = self._journal.has_acted(signal_id, excluding=excluding)
        return Book(
            cash=account.cash,
            positions={each.ticker: each for each in positions},
            working=tuple(
                WorkingEntry(each.plan.ticker, each.plan.notional_usd) for each in orders if each.plan.leg is Leg.ENTRY
            ),
            entry_times=self._journal.entry_times(self._clock() - _DAY, excluding=excluding),
            acted_ids=frozenset({signal_id}) if has_acted else frozenset(),
        )

    def _intent(self, decision: Decision) -> OrderIntent | None:
        plan = decision.plan
        if decision.verdict is not Verdict.ACCEPTED or plan is None:
            return None
        order_id = order_id_from(decision.signal_id, self._user, plan.leg, decision.revision)
        return OrderIntent(order_id, decision.signal_id, decision.revision, plan, decision.decided_at)


def _fill_dict(fill: Fill) -> dict[str, Any]:
    return {
        "order_id": fill.order_id,
        "ticker": fill.ticker,
        "side": fill.side.value,
        "leg": fill.leg.value,
        "quantity": text_of(fill.quantity),
        "price": text_of(fill.price),
        "at": instant_text(fill.at),
    }
