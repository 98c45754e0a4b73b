"""Writes down what an engine said about an order: outcome, fills, the stop of the entry, reports, all in one commit.

    the engine's word ─▶ intents (state, legs) ─▶ fills (what is new in it) ─▶ protections ─▶ reports

Runs on the disk's thread. It orders nothing; what must be said comes back as `Written`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from signal_contract.feedback import Feedback
from subscriber_agent.accounting.book import ZERO, Leg
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.engines.engine import Outcome
from subscriber_agent.journal import Booked, Journal, OrderIntent, OrderRow
from subscriber_agent.receiving.control_state import LOCAL_LATCH
from subscriber_agent.reporting.reports import accepted_report, outcome_reports
from subscriber_agent.risk.market import TradingState
from subscriber_agent.risk.protection import Protection, ProtectionState, first_holder
from subscriber_agent.risk.protection_steps import Known, StopOrder, next_step
from subscriber_agent.situation import EngineFacts, Rules, Situation


@dataclass(frozen=True, slots=True)
class Written:
    """What was new in a word of the engine, and which stop failed with it."""

    booked: Booked
    failed: tuple[Protection, ...] = ()


class Recorder:
    """For one journal and one engine. `clock` returns aware instants."""

    def __init__(
        self,
        journal: Journal,
        engine: EngineFacts,
        situation: Situation,
        keeper: LedgerKeeper,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._situation = situation
        self._keeper = keeper
        self._clock = clock

    def keep(self, intent: OrderIntent, outcome: Outcome, rules: Rules) -> Written:
        """Write down what became of an order, in one commit that joins the caller's.

        The first word about it also tells of the decision that it came from: before it, an order must not wait for
        reports.
        """
        now = self._clock()
        with self._journal.transaction():
            row = self._journal.order(intent.order_id)
            sequence = self._sequence(intent)
            reports: list[Feedback | None] = []
            if row is not None and row.outcome is None and sequence is not None:
                reports.append(accepted_report(intent, sequence, now, rules.config.privacy, new_id()))
            booked = self._journal.book(intent, outcome, now)
            if booked.fills:
                self._keeper.traded(now)
            self._journal.write_outcome(intent.order_id, outcome, now)
            if booked.is_overfilled:
                self._reduce(f"{intent.plan.ticker}: the engine traded more than was asked for", now)
            failed = self._protect(intent, now)
            reports += outcome_reports(
                intent, outcome, booked.fills, now, rules.config.privacy, new_id, is_own=sequence is None
            )
            self._journal.add_feedback(each for each in reports if each is not None)
        return Written(booked, failed)

    def _sequence(self, intent: OrderIntent) -> int | None:
        """The place in the stream of the signal that asked for it; None: none did, and the operator would not know
        what it belongs to.
        """
        if intent.plan.leg is Leg.STOP:
            return None
        sequence = self._journal.sequence_of(intent.signal_id, intent.revision)
        # Of an entry there was one, though it may have been removed for its age since.
        return 0 if sequence is None and intent.plan.leg is Leg.ENTRY else sequence

    def _reduce(self, reason: str, now: datetime) -> None:
        if self._situation.local_state() is TradingState.ACTIVE:
            self._journal.set_latch(LOCAL_LATCH, TradingState.REDUCING.value, reason, now)

    # The entry's stop -------------------------------------------------------------------------------------------

    def _protect(self, intent: OrderIntent, now: datetime) -> tuple[Protection, ...]:
        """Bring the stops of the order's ticker up to date with what has filled; returns those that failed now."""
        plan = intent.plan
        if plan.leg is Leg.ENTRY and self._journal.protection(intent.order_id) is None:
            self.begin(intent, now)
        failed = []
        for row in self._journal.protections(ticker=plan.ticker):
            after, _ = next_step(row, self.known_of(row, now))
            if self.keep_protection(row, after, now):
                failed.append(after)
        return tuple(failed)

    def begin(self, intent: OrderIntent, now: datetime) -> Protection | None:
        """Want a stop for an entry that holds shares; None when it holds none, or has no stop.

        It may have had one before, when the engine seemed to hold nothing any more.
        """
        plan, held = intent.plan, self._situation.own().get(intent.plan.ticker)
        before = self._journal.protection(intent.order_id)
        if held is None or held.opened_by != intent.order_id or plan.stop_price is None:
            return None
        can = self._engine.capabilities()
        row = Protection(
            entry_id=intent.order_id,
            signal_id=intent.signal_id,
            ticker=plan.ticker,
            side=plan.side,
            holder=first_holder(can, extended_hours=plan.extended_hours),
            state=ProtectionState.WANTED,
            stop_price=plan.stop_price,
            since=now,
            target_price=plan.target_price,
            trailing_stop_percent=plan.trailing_stop_percent,
            best_price=held.average_price if plan.trailing_stop_percent is not None else None,
            extended_hours=plan.extended_hours,
            # A stop order's id follows from its revision: none may be used twice.
            revision=0 if before is None else before.revision,
        )
        self._journal.write_protection(row)
        return row

    def keep_protection(self, before: Protection, after: Protection, now: datetime) -> bool:
        """Write a stop down when it changed; True when it failed just now, and everything is halted for it."""
        has_failed = after.state is ProtectionState.FAILED and before.state is not ProtectionState.FAILED
        with self._journal.transaction():
            if after != before:
                self._journal.write_protection(after)
            if has_failed:
                reason = f"{after.ticker} has no stop: {after.detail}"
                self._journal.set_latch(LOCAL_LATCH, TradingState.HALTED.value, reason[:200], now)
        return has_failed

    def known_of(
        self,
        row: Protection,
        now: datetime,
        *,
        held: Decimal | None = None,
        is_seen: bool = False,
        blind_since: datetime | None = None,
    ) -> Known:
        """What the journal knows about one stop; `held` replaces what our own log says, see `Protecting`."""
        entry, own_stop = self._journal.order(row.entry_id), self._journal.order(row.order_id) if row.order_id else None
        order, rest = _stop_order(own_stop)
        return Known(
            now=now,
            can=self._engine.capabilities(),
            held=self.held_of(row) if held is None else held,
            native=_native(entry),
            is_native_over=_is_native_over(entry),
            order=order,
            rest=rest,
            is_exiting=self.is_exiting(row.ticker),
            is_entry_working=entry is not None and not _is_final(entry),
            is_seen=is_seen or row.state is ProtectionState.CONFIRMED,
            blind_since=blind_since,
        )

    def held_of(self, row: Protection) -> Decimal:
        """The shares of an entry that are still held by our own log, positive."""
        held = self._situation.own().get(row.ticker)
        return abs(held.quantity) if held is not None and held.opened_by == row.entry_id else ZERO

    def is_exiting(self, ticker: str) -> bool:
        """Whether an exit of ours is under way, or about to be handed over."""
        plans = (each.intent.plan for each in self._journal.open_intents())
        return any(plan.leg is Leg.EXIT and plan.ticker == ticker for plan in plans)


def _native(entry: OrderRow | None) -> Decimal:
    """The shares that the engine's own stop of an entry protects, by its last word."""
    stop = None if entry is None or entry.outcome is None else entry.outcome.leg(Leg.STOP)
    return stop.protects if stop is not None and stop.state.is_working else ZERO


def _is_native_over(entry: OrderRow | None) -> bool:
    outcome = None if entry is None else entry.outcome
    if outcome is None or not outcome.legs or not outcome.state.is_final:
        return False
    return all(each.state.is_final for each in outcome.legs)


def _stop_order(row: OrderRow | None) -> tuple[StopOrder, Decimal]:
    """How our own stop order is doing, and the shares that it would still close."""
    if row is None:
        return StopOrder.NONE, ZERO
    outcome = row.outcome
    if outcome is None or not (outcome.state.is_final or outcome.state.is_working):
        return StopOrder.UNKNOWN, ZERO
    if outcome.state.is_working:
        return StopOrder.WORKING, row.intent.plan.quantity - outcome.quantity
    return (StopOrder.REJECTED if _is_refused(outcome) else StopOrder.ENDED), ZERO


def _is_refused(outcome: Outcome) -> bool:
    return outcome.state.value in ("REJECTED", "ABANDONED")


def _is_final(row: OrderRow) -> bool:
    return row.outcome is not None and row.outcome.state.is_final


def new_id() -> str:
    """An id for a report, 32 hex digits."""
    return secrets.token_hex(16)
