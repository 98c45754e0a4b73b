"""One stored signal at a time: decide, journal the decision with its order, hand over, journal the outcome.

Knows no network and no terminal. Every step is safe to be the last one before kill -9: the next start finds the
undecided signals, and looks up each order that has no outcome before it hands anything over.

    gather (engine) → decide: decision, intent, reports in one commit → submit (engine) → outcome, fills, stop in one

Between signals it tends to what is none: approvals, orders without an end, stops, loss limits, exits of the friend's
own. None of that needs the wire.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from signal_contract import edges
from signal_contract.model import Action, Signal
from subscriber_agent.accounting.book import Fill
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.closing import Closing, Planned
from subscriber_agent.deciding import AGAIN, ASKED, Deciding
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import Engine
from subscriber_agent.exiting import Exiting
from subscriber_agent.handover import Handover
from subscriber_agent.journal import Journal, Stored
from subscriber_agent.protecting import RELEASE_S, Protecting
from subscriber_agent.recording import Recorder
from subscriber_agent.recovering import Recovering
from subscriber_agent.risk.decision import Decision, Verdict
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settled import Decided, Gathered, Recovered, Settled, breach_dict
from subscriber_agent.situation import Rules, Situation, shown_price
from subscriber_agent.unasked import Unasked

# Few are decided at once, in a millisecond or two; more in the disk's thread, so that everybody else has a turn.
_FEW = 10


class Desk:
    """Works through the journal's undecided signals, in stream order, with one engine.

    `user` goes into the order ids. `clock_skew_s` (our clock minus the server's, None when it cannot be measured) may
    be set at any time; None refuses entries. `drift_s` says how far our clock was set since then. What is written and
    read runs on `disk`. `tell` hears, between two signals, of what is no signal: broken limits, questions to the
    friend, own exits, faults of the engine. `release_s` is how long an exit waits for its stop to be let go.
    """

    def __init__(
        self,
        config: AgentConfig,
        journal: Journal,
        engine: Engine,
        clock: Callable[[], datetime],
        *,
        user: str,
        disk: Disk | None = None,
        release_s: float = RELEASE_S,
    ) -> None:
        self._rules = Rules.of(config)
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._disk = disk or Disk.inline()
        self._keeper = LedgerKeeper(journal, NYSE)
        self._situation = Situation(journal, engine)
        self._recorder = Recorder(journal, engine, self._situation, self._keeper, clock)
        self._closing = Closing(journal, engine, self._keeper, self._situation, self._server_now, user=user)
        self._handover = Handover(journal, engine, clock, self._disk, self._recorder, self._told)
        self._protecting = self._made_protecting(user, release_s)
        self._exiting = Exiting(journal, self._handover, self._protecting, self._disk, self._told)
        self._deciding = Deciding(
            journal,
            self._situation,
            self._keeper,
            self._closing,
            clock,
            engine=engine.name,
            user=user,
            skew_s=self._skew_s,
        )
        self._recovering = self._made_recovering()
        self._unasked = Unasked(
            journal,
            self._situation,
            clock,
            skew_s=self._skew_s,
            is_closing=self.is_closing,
            reports=self._deciding.reports,
        )
        self._untold: list[Settled] = []
        self.clock_skew_s: float | None = 0.0
        self.drift_s: Callable[[], float] = lambda: 0.0
        self.tell: Callable[[str, dict[str, Any]], None] = lambda event, facts: None

    def _made_protecting(self, user: str, release_s: float) -> Protecting:
        return Protecting(
            self._journal,
            self._engine.capabilities,
            self._recorder,
            self._situation,
            self._handover,
            self._clock,
            self._disk,
            self._told,
            user=user,
            release_s=release_s,
        )

    def _made_recovering(self) -> Recovering:
        return Recovering(
            self._journal,
            self._handover,
            self._exiting,
            self._recorder,
            self._situation,
            self._closing,
            self._keeper,
            self._clock,
            self._disk,
            self._deciding.decided,
            self._told,
        )

    @property
    def engine(self) -> Engine:
        """The engine that gets the orders."""
        return self._engine

    def take(self, config: AgentConfig) -> None:
        """Decide by this config from the next signal on; its change is in the journal already."""
        self._rules = Rules.of(config)

    def _told(self, event: str, facts: dict[str, Any]) -> None:
        self.tell(event, facts)

    # The work ---------------------------------------------------------------------------------------------------

    async def recover(self, *, may_enter: bool = True) -> list[Recovered]:
        """Settle every order whose end is not known: look it up; hand over only what the engine never saw.

        What was never handed over meets the rules of now first: a stale entry or a halt abandons it. An order that a
        silent engine says nothing about stays open, and is asked about again. An entry that waits too long, or that
        must not fill any more, is cancelled.
        """
        return await self._recovering.recover(self._rules, may_enter=may_enter)

    async def settle(self) -> AsyncGenerator[Settled, None]:
        """Decide everything that is undecided, in stream order; each signal is yielded once it is done and on disk.

        Call it when the backlog is drained: retractions must be known. It may be left between two signals; `untold`
        has what is on disk then and was not yielded. Raises EngineSilent: the signal stays undecided until the engine
        says what is held.
        """
        while batch := await self._disk.run(self._journal.undecided):
            while batch:
                await self._settle_unasked(batch)
                del batch[: len(self._untold)]
                while self._untold:
                    yield self._untold.pop(0)
                if batch:
                    yield await self._settled(batch.pop(0), ASKED)

    async def _settle_unasked(self, batch: list[Stored]) -> None:
        """Decide the first signals of a batch, as far as nobody has to be asked; they are untold then."""
        self._untold = []
        # The first one alone, then a few: while many of them lead to an order, no thread is to be asked in vain.
        for until in (1, _FEW, len(batch)):
            part = batch[len(self._untold) : until]
            go = self._disk.brief if len(part) <= _FEW else self._disk.run
            deciding = asyncio.ensure_future(go(self._unasked.decide, part, self._rules))
            try:
                await asyncio.shield(deciding)
            finally:
                # A cancellation does not end what a thread is at: it will be on disk, so it must be told.
                self._untold += await deciding
            if deciding.result():
                edges.reached("decision.committed")
            if len(self._untold) < until or len(self._untold) == len(batch):
                return

    def untold(self) -> list[Settled]:
        """What `settle` has decided and did not get to hand out before it was left; to be called after that."""
        left, self._untold = self._untold, []
        return left

    async def settle_approved(self) -> AsyncGenerator[Settled, None]:
        """Decide again, by the rules of now, what the friend said yes to. As `settle` otherwise."""
        for stored in await self._disk.brief(self._journal.due_approvals):
            yield await self._settled(stored, AGAIN)

    async def _settled(self, stored: Stored, attempt: int) -> Settled:
        gathered = await self.gather(stored)
        return await self.finish(await self._disk.brief(self.decide_and_keep, stored, gathered, attempt))

    async def preview(self, stored: Stored, *, show_all: bool = True) -> Decision:
        """What would be decided now, for `explain`: nothing is written, nothing is ordered."""
        rules = self._rules
        gathered = await self._handover.gathered(rules, stored.signal.ticker)
        return await self._disk.run(self._deciding.previewed, stored, gathered, rules, show_all)

    async def gather(self, stored: Stored) -> Gathered:
        """What the engine says before a decision. It is shown the signal's price, which may trigger a stop.

        Raises EngineSilent.
        """
        rules, ticker = self._rules, stored.signal.ticker
        if stored.signal.action is not Action.CLOSE:
            exits = await self._observe(stored.signal, rules)
            return replace(await self._handover.gathered(rules, ticker), exits=exits)
        # A price that is the signal's own exit price must not trigger the stop first.
        gathered = await self._handover.gathered(rules, ticker)
        decision = await self._disk.brief(self._deciding.decided, stored, gathered, rules)
        if decision.verdict is Verdict.ACCEPTED:
            return gathered
        exits = await self._observe(stored.signal, rules)
        return replace(await self._handover.gathered(rules, ticker), exits=exits)

    def decide_and_keep(self, stored: Stored, gathered: Gathered, attempt: int = ASKED) -> Decided:
        """Decide about a signal of the journal and write it down, in the caller's transaction or one of its own."""
        return self._deciding.decide_and_keep(stored, gathered, self._rules, attempt)

    async def finish(self, decided: Decided) -> Settled:
        """Hand over what was decided, and write down what came of it."""
        edges.reached("decision.committed")
        for breach in decided.breaches:
            self.tell("breach", breach_dict(breach))
        if decided.answer_by is not None:
            self.tell("approval", decided.approval_dict())
        outcome = None
        if decided.intent is not None:
            outcome = await self._exiting.submit(decided.intent, self._rules)
            await self._disk.brief(self._recall, decided.gathered)
        if self._journal.is_log_long:
            await self._disk.run(self._journal.checkpoint)
        return Settled(
            decided.stored, decided.decision, outcome, decided.gathered.exits, decided.trades_withdrawn, decided.held
        )

    def _recall(self, gathered: Gathered) -> None:
        """Ask the journal after an order what the next decision asks: until then it answers from memory."""
        now = self._clock()
        self._situation.book(self._situation.holdings(gathered, now), now)

    # What is no signal ------------------------------------------------------------------------------------------

    async def tend(self, *, may_enter: bool = True) -> None:
        """Look up orders without an end, see to the stops, count the losses, make own exits. Raises EngineSilent.

        `may_enter` False: an entry that was never handed over waits, for it may have been withdrawn meanwhile.
        GaveWay, when it was broken off for a signal: the rest is still to be done.
        """
        rules = self._rules
        for recovered in await self.recover(may_enter=may_enter):
            if recovered.is_news:
                self.tell("order", recovered.as_dict())
        way, gathered = self._handover.way, None
        with way.allowed():
            await self._protecting.look(rules)
        # Prices of our own stops, a stop that is reached, a wish to close everything: none of them waits for an entry.
        wanted = await self._protecting.watch(rules)
        if not wanted and not await self._disk.brief(self.is_closing):
            with way.allowed():
                gathered = await self._handover.gathered(rules)
        while True:
            gathered = gathered or await self._handover.gathered(rules)
            await self._protecting.round(gathered, rules)
            planned = await self._disk.run(self._closing.plan, gathered, rules, wanted)
            await self._carry_out(planned, rules)
            if not planned.exits:
                return
            wanted, gathered = (), None

    async def tend_exits(self) -> None:
        """As `tend`, but nothing is opened: it may run at any time, without the wire and during a backlog."""
        await self.tend(may_enter=False)

    async def look(self) -> None:
        """Ask the engine how the account stands, and write that down; nothing is ordered. Raises EngineSilent."""
        gathered = await self._handover.gathered(self._rules)
        for breach in await self._disk.run(self._closing.synced_alone, gathered, self._rules):
            self.tell("breach", breach_dict(breach))

    def give_way(self) -> bool:
        """Break off what `tend` asks the engine, for a signal that must not wait; False: not now."""
        return self._handover.way.ask()

    async def watch(self) -> None:
        """Look at the prices that stops of ours wait for, and close what has reached one. Raises EngineSilent.

        To be called every `engine.watch_s`; it asks the engine nothing when there is nothing to watch.
        """
        rules = self._rules
        wanted = await self._protecting.watch(rules)
        if wanted:
            gathered = await self._handover.gathered(rules)
            await self._carry_out(await self._disk.run(self._closing.plan, gathered, rules, wanted), rules)

    async def _carry_out(self, planned: Planned, rules: Rules) -> None:
        for breach in planned.breaches:
            self.tell("breach", breach_dict(breach))
        for each in planned.exits:
            edges.reached("decision.committed")
            outcome = await self._exiting.submit(each.intent, rules)
            self.tell("own_exit", each.as_dict(outcome))
        for wish in planned.done:
            self.tell("all_closed", {"kind": wish.kind, "reason": wish.reason})

    def is_closing(self) -> bool:
        """Whether everything is to be closed and is not yet; on the disk's thread."""
        return bool(self._closing.wishes())

    async def _observe(self, signal: Signal, rules: Rules) -> tuple[Fill, ...]:
        """Show the engine a price seen on the wire, unless the message or its ticker may be wrong."""
        shown = shown_price(signal, is_paper=self._engine.is_paper)
        if shown is None or await self._disk.brief(self._journal.is_retracted, signal.signal_id):
            return ()
        self._situation.seen[signal.ticker], _ = shown
        return await self._handover.observe(signal.ticker, *shown, rules)

    def _server_now(self) -> datetime:
        """Now by the server's clock: a clock that was set must neither begin a trading day nor end a hold time."""
        skew_s = self._skew_s()
        is_known = skew_s is not None and math.isfinite(skew_s)
        return self._clock() - timedelta(seconds=skew_s if is_known and skew_s is not None else 0.0)

    def _skew_s(self) -> float | None:
        return None if self.clock_skew_s is None else round(self.clock_skew_s + self.drift_s(), 3)
