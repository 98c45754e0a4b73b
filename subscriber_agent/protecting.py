"""Sees to it that every share of an entry has a stop: confirmed at the engine, placed by us, or watched by us.

What is to be done about one stop is `risk.protection_steps`' table; here it is done, one step at a time, each on disk
before the next. A kill between two steps is picked up from there. A stop that nobody can hold halts everything, and
its position is closed (`closing`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from signal_contract import edges
from signal_contract.model import Session
from subscriber_agent.accounting.book import ZERO, Leg, Position, Side
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.closing import Wanted
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import Outcome, order_id_from
from subscriber_agent.handover import Handover
from subscriber_agent.journal import Journal, OrderIntent
from subscriber_agent.recording import Recorder
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState
from subscriber_agent.risk.protection_steps import (
    STOP_WAIT,
    Action,
    Known,
    Look,
    is_target_left_out,
    is_watching,
    let_go,
    looked_at,
    next_step,
    trailing_stop,
)
from subscriber_agent.settled import Gathered
from subscriber_agent.situation import Rules, Situation

RELEASE_S = 10.0
_LOOK_EVERY_S = 0.25
# More than any way through the table has.
_MOST_STEPS = 8

Tell = Callable[[str, dict[str, Any]], None]


class Protecting:
    """Looks after the stops of one journal at one engine. `user` goes into the ids of our stop orders."""

    def __init__(
        self,
        journal: Journal,
        can: Callable[[], Capabilities],
        recorder: Recorder,
        situation: Situation,
        handover: Handover,
        clock: Callable[[], datetime],
        disk: Disk,
        tell: Tell,
        *,
        user: str,
        release_s: float = RELEASE_S,
    ) -> None:
        self._journal = journal
        self._can = can
        self._recorder = recorder
        self._situation = situation
        self._handover = handover
        self._clock = clock
        self._disk = disk
        self._tell = tell
        self._user = user
        self._release_s = release_s
        # Since when the engine shows less than our log, and when a fresh price was last seen; a restart begins anew.
        self._short_since: dict[str, datetime] = {}
        self._seen_at: dict[str, datetime] = {}
        self._told_targets: set[str] = set()

    # Stops ------------------------------------------------------------------------------------------------------

    async def look(self, rules: Rules) -> None:
        """Ask the engine about the filled entries whose stops it holds. Raises EngineSilent."""
        await self._handover.look(await self._disk.brief(self._filled_natives), rules)

    def _filled_natives(self) -> list[str]:
        # An entry that is open is looked up with all that is open.
        still_open = {each.intent.order_id for each in self._journal.open_intents()}
        natives = (each for each in self._journal.protections() if each.holder is Holder.NATIVE)
        return [each.entry_id for each in natives if each.entry_id not in still_open]

    async def round(self, gathered: Gathered, rules: Rules) -> None:
        """Take each stop as far as it goes now. Raises EngineSilent."""
        for row in await self._disk.run(self._rows, gathered):
            await self._settle(row.entry_id, gathered, rules)

    def _rows(self, gathered: Gathered) -> list[Protection]:
        """The stops to look after, with those that somebody forgot: every share of ours has one, or is closed."""
        with self._journal.transaction():
            there = {each.entry_id for each in self._journal.protections()}
            for position in self._situation.own().values():
                if position.opened_by not in there and self._held(position, gathered) > 0:
                    self._adopt(position)
            return self._journal.protections()

    def _adopt(self, position: Position) -> None:
        """Want a stop for a position without one; what no entry of ours opened cannot have one, and is closed."""
        opened, now = self._journal.order(position.opened_by), self._clock()
        if opened is not None and opened.intent.plan.leg is Leg.ENTRY:
            self._recorder.begin(opened.intent, now)
            return
        # What the friend accepted as his in a reconcile is looked after by him.
        if any(each.leg is Leg.ADJUST for each in self._journal.fills_of(position.opened_by)):
            return
        row = Protection(
            entry_id=position.opened_by,
            signal_id="",
            ticker=position.ticker,
            side=Side.BUY if position.quantity > 0 else Side.SELL,
            holder=Holder.NOBODY,
            state=ProtectionState.WANTED,
            stop_price=ZERO,
            since=now,
            detail="an exit closed more than was held",
        )
        self._journal.write_protection(row)

    async def _settle(self, entry_id: str, gathered: Gathered, rules: Rules) -> None:
        for _ in range(_MOST_STEPS):
            row, action, known, has_failed = await self._disk.run(self._step, entry_id, gathered)
            if has_failed:
                self._handover.tell_failed((row,))
            if action is Action.PLACE:
                await self._place(row, known.held, rules)
            elif action is Action.CANCEL:
                if not await self._is_ended(row.order_id, rules, patience_s=0):
                    return
            elif action is not Action.LET_GO or not await self._is_let_go(row, known, rules):
                self._tell_target(row)
                return

    def _step(self, entry_id: str, gathered: Gathered) -> tuple[Protection, Action, Known, bool]:
        now = self._clock()
        with self._journal.transaction():
            before = self._journal.protection(entry_id)
            if before is None:
                raise KeyError(entry_id)
            held = self._held_of(before, gathered)
            known = self._recorder.known_of(before, now, held=held, blind_since=self._blind_since(before, now))
            after, action = next_step(before, known)
            return after, action, known, self._recorder.keep_protection(before, after, now)

    def _tell_target(self, row: Protection) -> None:
        if is_target_left_out(row, self._can()) and row.entry_id not in self._told_targets:
            self._told_targets.add(row.entry_id)
            self._tell("target_not_watched", {"ticker": row.ticker, "entry_id": row.entry_id})

    def _held_of(self, row: Protection, gathered: Gathered) -> Decimal:
        position = self._situation.own().get(row.ticker)
        if position is None or position.opened_by != row.entry_id:
            return ZERO
        return self._held(position, gathered)

    def _held(self, position: Position, gathered: Gathered) -> Decimal:
        """Our shares, positive; fewer once the engine has shown fewer for a while and nothing is under way.

        A stop order for shares that are gone would open a position the other way round.
        """
        ours, now, ticker = abs(position.quantity), self._clock(), position.ticker
        shown = sum((each.quantity for each in gathered.holdings if each.ticker == ticker), ZERO)
        theirs = abs(shown) if shown * position.quantity > 0 else ZERO
        is_busy = any(
            row.intent.plan.ticker == ticker and row.intent.plan.leg is not Leg.STOP
            for row in self._journal.open_intents()
        )
        if theirs >= ours or is_busy:
            self._short_since.pop(ticker, None)
            return ours
        # A clock that was set back begins the wait anew.
        since = self._short_since[ticker] = min(self._short_since.get(ticker, now), now)
        return theirs if now - since >= STOP_WAIT else ours

    # What is done about them ------------------------------------------------------------------------------------

    async def _place(self, row: Protection, held: Decimal, rules: Rules) -> None:
        intent = await self._disk.run(self._stop_intent, row, held)
        edges.reached("stop.intended")
        await self._handover.submit(intent, rules)

    def _stop_intent(self, row: Protection, held: Decimal) -> OrderIntent:
        """Write down the next stop order of an entry: as any other order it is looked up after a kill."""
        now, revision, plan = self._clock(), row.revision + 1, _stop_plan(row, held, self._can())
        order_id = order_id_from(row.signal_id, self._user, Leg.STOP, revision)
        intent = OrderIntent(order_id, row.signal_id, revision, plan, now)
        with self._journal.transaction():
            self._journal.write_order(intent)
            self._journal.write_protection(replace(row, order_id=order_id, revision=revision))
        return intent

    async def _is_let_go(self, row: Protection, known: Known, rules: Rules) -> bool:
        """Have the engine's own legs cancelled, and hand the stop on; False: they still work, or it cannot cancel."""
        if self._can().cancels:
            if not await self._is_ended(row.entry_id, rules, patience_s=0):
                return False
        elif known.native > 0:
            # Two stops would close more than is held: the position is closed instead.
            failed = await self._disk.run(self._given_up, row.entry_id, known)
            self._handover.tell_failed(failed)
            return False
        if known.held > 0:
            failed = await self._disk.run(self._handed_on, row.entry_id, known)
            self._handover.tell_failed(failed)
        return True

    def _handed_on(self, entry_id: str, known: Known) -> tuple[Protection, ...]:
        with self._journal.transaction():
            row = self._journal.protection(entry_id)
            if row is None or row.holder is not Holder.NATIVE or not row.is_open:
                return ()
            after = let_go(row, known)
            return (after,) if self._recorder.keep_protection(row, after, known.now) else ()

    def _given_up(self, entry_id: str, known: Known) -> tuple[Protection, ...]:
        with self._journal.transaction():
            row = self._journal.protection(entry_id)
            if row is None or not row.is_open:
                return ()
            after = row.became(ProtectionState.FAILED, known.now, f"{row.detail}, and it cancels nothing")
            return (after,) if self._recorder.keep_protection(row, after, known.now) else ()

    async def release(self, ticker: str, rules: Rules) -> bool:
        """End all that could close a ticker's shares beside an exit: the engine's legs, our stop order, a rest of the
        entry. What they filled meanwhile is booked. False: something still works. Raises EngineSilent.
        """
        if not self._can().cancels:
            return True
        for order_id in await self._disk.brief(self._to_release, ticker):
            if not await self._is_ended(order_id, rules, patience_s=self._release_s):
                return False
        return True

    def _to_release(self, ticker: str) -> list[str]:
        rows = {each.entry_id: each for each in self._journal.protections(ticker=ticker)}
        held = self._situation.own().get(ticker)
        # An entry that was never looked after may have legs as well.
        opener = None if held is None or held.opened_by in rows else self._journal.order(held.opened_by)
        openers = [] if opener is None else [opener.intent.order_id]
        natives = [*openers, *(each.entry_id for each in rows.values() if each.holder is Holder.NATIVE)]
        working = [
            each.intent.order_id
            for each in self._journal.open_intents()
            if each.intent.plan.ticker == ticker and each.intent.plan.leg in (Leg.ENTRY, Leg.STOP)
        ]
        return list(dict.fromkeys([*natives, *working]))

    async def _is_ended(self, order_id: str, rules: Rules, *, patience_s: float) -> bool:
        """Cancel an order with its legs, and wait until all of it is final; what had filled is booked."""
        outcome = await self._handover.cancel(order_id, rules)
        await self._keep(order_id, outcome, rules)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s or None):
                while patience_s and not _is_over(outcome):
                    await asyncio.sleep(_LOOK_EVERY_S)
                    outcome = await self._handover.lookup(order_id, rules)
                    await self._keep(order_id, outcome, rules)
        return _is_over(outcome)

    async def _keep(self, order_id: str, outcome: Outcome | None, rules: Rules) -> None:
        row = await self._disk.brief(self._journal.order, order_id)
        if row is not None and outcome is not None and outcome != row.outcome:
            await self._handover.keep(row.intent, outcome, rules)

    # Watching prices --------------------------------------------------------------------------------------------

    async def watch(self, rules: Rules) -> tuple[Wanted, ...]:
        """Look at the prices of what nobody else holds; returns the exits that they ask for."""
        found: list[Wanted] = []
        if not self._can().quotes:
            return ()
        rows = await self._disk.brief(self._watched_rows)
        quotes = await self._handover.quotes(list(dict.fromkeys(each.ticker for each in rows)), rules) if rows else {}
        for row in rows:
            # A silence is as blind as an old price; the fault was told where it was met.
            quote = quotes.get(row.ticker)
            look = looked_at(row, quote, self._clock())
            if quote is not None and look.is_fresh:
                await self._disk.run(self._saw, row, look, quote.at)
                if look.reached:
                    found.append(_wanted(row, look))
        return tuple(found)

    def _watched_rows(self) -> list[Protection]:
        session = NYSE.session_at(self._clock())
        return [
            each
            for each in self._journal.protections()
            if is_watching(each, self._can())
            and _is_traded(each, session)
            and self._recorder.held_of(each) > 0
            and not self._recorder.is_exiting(each.ticker)
        ]

    def _saw(self, row: Protection, look: Look, quoted_at: datetime) -> None:
        """Note a fresh price: the watch is confirmed by it, and a trailing stop follows it."""
        now = self._clock()
        # A price that stands still is as old as it says, however often it is looked at.
        self._seen_at[row.entry_id] = max(self._seen_at.get(row.entry_id, quoted_at), min(quoted_at, now))
        with self._journal.transaction():
            there = self._journal.protection(row.entry_id)
            if there is None or not there.is_open:
                return
            after = there
            if there.holder is Holder.WATCHED and there.state is ProtectionState.WANTED:
                after = after.became(ProtectionState.CONFIRMED, now)
            if trailing_stop(look.row) != trailing_stop(there):
                after = replace(after, best_price=look.row.best_price)
            self._recorder.keep_protection(there, after, now)

    def _blind_since(self, row: Protection, now: datetime) -> datetime | None:
        """Since when no fresh price was seen while there should be some; None outside the regular session."""
        if row.holder is not Holder.WATCHED:
            return None
        if NYSE.session_at(now) not in (Session.REGULAR, None):
            self._seen_at[row.entry_id] = now
            return None
        # A clock that was set back begins the wait anew: else it would be as long as the step back.
        self._seen_at[row.entry_id] = min(self._seen_at.get(row.entry_id, now), now)
        return self._seen_at[row.entry_id]


def _stop_plan(row: Protection, held: Decimal, can: Capabilities) -> OrderPlan:
    keeps = TimeInForce.GTC in can.times_in_force
    return OrderPlan(
        ticker=row.ticker,
        side=Side.SELL if row.side is Side.BUY else Side.BUY,
        leg=Leg.STOP,
        quantity=held,
        order_type=OrderType.STOP,
        limit_price=None,
        stop_price=row.stop_price,
        target_price=None,
        time_in_force=TimeInForce.GTC if keeps else TimeInForce.DAY,
        reference_price=None,
        reference_price_at=None,
        catalyst="",
    )


def _is_over(outcome: Outcome | None) -> bool:
    """Whether nothing of an order can fill any more; one that the engine never saw cannot."""
    return outcome is None or (outcome.state.is_final and all(each.state.is_final for each in outcome.legs))


def _is_traded(row: Protection, session: Session | None) -> bool:
    """Whether a price of this session may close the position. What the session is, is not always known."""
    return session in (Session.REGULAR, None) or (row.extended_hours and session in (Session.PRE, Session.AFTER))


def _wanted(row: Protection, look: Look) -> Wanted:
    limit = trailing_stop(look.row) if look.reached == "stop" else row.target_price
    return Wanted(look.reached, row.entry_id, row.ticker, f"{look.price} has reached the {look.reached} {limit}")
