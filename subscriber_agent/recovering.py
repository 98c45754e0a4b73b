"""Orders whose end is not known: looked up, handed over only when the engine never saw them, cancelled when due.

    the engine says            and then
    ─────────────────────────  ─────────────────────────────────────────────────────────────────────────────────
    an outcome                 it is written down; a working entry that must not fill any more is cancelled
    never seen, once accepted  UNKNOWN: it is not handed over again
    never seen                 handed over if the rules of now allow it, else ABANDONED

An entry must not fill any more when it is older than WAIT, or expired, when its signal was withdrawn or a close for
its ticker came behind it, or when entries are halted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from signal_contract import edges
from subscriber_agent.accounting.book import Leg
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.closing import Closing
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import EngineSilent, Outcome, OutcomeState
from subscriber_agent.exiting import Exiting
from subscriber_agent.handover import Handover
from subscriber_agent.journal import Journal, OrderIntent, OrderRow, Stored
from subscriber_agent.recording import Recorder
from subscriber_agent.risk.decision import Decision, Verdict
from subscriber_agent.risk.market import TradingState
from subscriber_agent.risk.protection import Holder, ProtectionState
from subscriber_agent.settled import Gathered, Recovered, breach_dict
from subscriber_agent.situation import Rules, Situation

WAIT = timedelta(seconds=60)
_VANISHED = "the engine accepted it once and does not know it now"


class Decide(Protocol):
    """The decision about a stored signal by the journal of now."""

    def __call__(self, stored: Stored, gathered: Gathered, rules: Rules, *, excluding: str) -> Decision:
        """`excluding` leaves out one order, as if it had not been intended."""


class Recovering:
    """For one journal and engine."""

    def __init__(
        self,
        journal: Journal,
        handover: Handover,
        exiting: Exiting,
        recorder: Recorder,
        situation: Situation,
        closing: Closing,
        keeper: LedgerKeeper,
        clock: Callable[[], datetime],
        disk: Disk,
        decide: Decide,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._journal = journal
        self._handover = handover
        self._exiting = exiting
        self._recorder = recorder
        self._situation = situation
        self._closing = closing
        self._keeper = keeper
        self._clock = clock
        self._disk = disk
        self._decide = decide
        self._tell = tell
        self._told: set[str] = set()

    async def recover(self, rules: Rules, *, may_enter: bool) -> list[Recovered]:
        """Settle what is open, oldest first. An order that a silent engine says nothing about stays open."""
        found = []
        for row in await self._disk.run(self._journal.open_intents):
            with contextlib.suppress(EngineSilent):
                found.append(await self._one(row, rules, may_enter=may_enter))
        return found

    async def _one(self, row: OrderRow, rules: Rules, *, may_enter: bool) -> Recovered:
        intent = row.intent
        outcome = await self._handover.lookup(intent.order_id, rules)
        edges.reached("recover.looked_up")
        if outcome is None and row.outcome is not None and _was_accepted(row.outcome):
            outcome = Outcome(OutcomeState.UNKNOWN, row.outcome.quantity, row.outcome.price, _VANISHED)
        if outcome is None and intent.plan.leg is Leg.ENTRY and not may_enter:
            return Recovered(
                intent, row.outcome or Outcome(OutcomeState.UNKNOWN), is_handed_over_now=False, is_news=False
            )
        if outcome is None:
            objection = await self._objection(intent, rules)
            if objection is None:
                return Recovered(intent, await self._exiting.submit(intent, rules), is_handed_over_now=True)
            outcome = Outcome(OutcomeState.ABANDONED, detail=f"never handed over, and refused now: {objection}")
        outcome = await self._cancelled_if_due(intent, outcome, rules)
        self._tell_if_slow(intent, outcome)
        is_news = outcome != row.outcome
        if is_news:
            await self._handover.keep(intent, outcome, rules)
        return Recovered(intent, outcome, is_handed_over_now=False, is_news=is_news)

    def _tell_if_slow(self, intent: OrderIntent, outcome: Outcome) -> None:
        """Say once that an exit does not come about: its stop was let go for it, and nothing else closes the shares."""
        is_slow = abs(self._clock() - intent.created_at) >= WAIT and not outcome.state.is_final
        if intent.plan.leg is not Leg.EXIT or not is_slow or intent.order_id in self._told:
            return
        self._told.add(intent.order_id)
        reason = f"not filled within {WAIT.seconds} s, and no stop protects it meanwhile: look at your broker"
        self._tell("exit_waits", {"order_id": intent.order_id, "ticker": intent.plan.ticker, "reason": reason})

    async def _cancelled_if_due(self, intent: OrderIntent, outcome: Outcome, rules: Rules) -> Outcome:
        """What the engine says after a cancel, when the entry must not fill any more; else what it said before."""
        is_fillable = intent.plan.leg is Leg.ENTRY and outcome.state.is_working
        if not is_fillable or not self._handover.can_cancel:
            return outcome
        reason = await self._disk.run(self._why_not_fill, intent)
        if reason is None:
            return outcome
        # It may still be working after this: then it is asked for again, and told once.
        after = await self._handover.cancel(intent.order_id, rules)
        if intent.order_id not in self._told:
            self._told.add(intent.order_id)
            self._tell("entry_cancelled", {"order_id": intent.order_id, "ticker": intent.plan.ticker, "reason": reason})
        return outcome if after is None else after

    def _why_not_fill(self, intent: OrderIntent) -> str | None:
        now = self._clock()
        stored = self._journal.stored(intent.signal_id, intent.revision)
        day = NYSE.session_day(now)
        ledger = self._keeper.refresh()
        reasons = (
            # However the clock was set meanwhile: what it did not see pass may have passed.
            (abs(now - intent.created_at) >= WAIT, f"not filled within {WAIT.seconds} s"),
            (self._journal.is_retracted(intent.signal_id), "its signal was withdrawn"),
            (self._situation.state_now() is not TradingState.ACTIVE, "entries are halted"),
            (any(day is None or ledger.holds(kind, day) for kind in ledger.latches), "a loss limit is broken"),
            (bool(self._closing.wishes()), "everything is being closed"),
            (stored is not None and _is_expired(stored, now), "its signal expired"),
            (
                stored is not None and self._journal.is_closed_since(intent.plan.ticker, stored.stream_seq),
                "a close signal came behind it",
            ),
        )
        return next((text for is_true, text in reasons if is_true), None)

    async def _objection(self, intent: OrderIntent, rules: Rules) -> str | None:
        """Why the rules of now do not allow an order that was never handed over; None when they still do."""
        if intent.plan.leg is Leg.STOP:
            return await self._disk.run(self._stop_objection, intent)
        stored = await self._disk.run(self._journal.stored, intent.signal_id, intent.revision)
        gathered = await self._handover.gathered(rules, intent.plan.ticker)
        if stored is None:
            is_wanted = await self._disk.run(self._closing.is_wanted, intent, gathered, rules)
            return None if is_wanted else "its signal is not in the journal, and it is no exit that is still wanted"
        for breach in await self._disk.run(self._closing.synced_alone, gathered, rules):
            self._tell("breach", breach_dict(breach))
        decision = await self._disk.run(lambda: self._decide(stored, gathered, rules, excluding=intent.order_id))
        if decision.verdict is not Verdict.ACCEPTED or decision.plan is None:
            return decision.verdict.value if decision.code is None else decision.code.value
        return None if decision.plan.quantity >= intent.plan.quantity else "only a smaller order is allowed"

    def _stop_objection(self, intent: OrderIntent) -> str | None:
        """A stop goes as long as its entry still waits for just this one."""
        for row in self._journal.protections():
            if row.order_id != intent.order_id:
                continue
            is_fit = row.holder is Holder.ORDER and row.state is not ProtectionState.RELEASED
            if is_fit and self._recorder.held_of(row) == intent.plan.quantity:
                return None
        return "it is not the stop that is wanted now"


def _is_expired(stored: Stored, now: datetime) -> bool:
    return stored.signal.expires_at is not None and now >= stored.signal.expires_at


def _was_accepted(outcome: Outcome) -> bool:
    """Whether the engine had the order once: then its not knowing it now is no leave to hand it over again."""
    return outcome.state.is_working or outcome.detail == _VANISHED
