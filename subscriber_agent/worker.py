"""The agent at work: what the receiver has on disk is decided and handed to the engine. It knows no terminal.

    receive → keep in one commit → acknowledge → (when all that waited has come) decide → engine
    live, with nothing else undecided: gather → keep + decide in one commit → engine, and then acknowledge
    every second: what the friend said (yes, no, flatten); every five: losses, time exits, orders without an end
    every `engine.watch_s`: the stops that we watch ourselves; every `reconcile_minutes`: ours against the engine's

Receiving never waits for the engine: a halt or a retraction that arrives while an order is under way counts for the
next signal already. Exits never wait for the server: they go before the first connection, while it is cut, and during a
backlog. They close only what this journal's own fills opened, under ids that follow from it, so that a second copy of
the agent with another journal closes nothing of ours, and one with a copy of ours is answered by the engine with the
first order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from datetime import UTC, datetime
from typing import Any

from signal_contract.creds import Creds
from signal_contract.errors import LinkError
from subscriber_agent import in_force
from subscriber_agent.asking import Questions, ending_dict
from subscriber_agent.bound import bind
from subscriber_agent.desk import Desk
from subscriber_agent.disk import Disk
from subscriber_agent.engine_life import CLOSE_TIMEOUT_S, EngineLife
from subscriber_agent.engines.engine import EngineEvent, EngineSilent
from subscriber_agent.following import Following
from subscriber_agent.giving_way import GaveWay
from subscriber_agent.journal import Journal, Stored
from subscriber_agent.leg_news import LegNews
from subscriber_agent.outlasting import needing_us, outlast
from subscriber_agent.receiving.arrival import Sorted
from subscriber_agent.receiving.catch_up import CatchUp
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.link_state import Seen
from subscriber_agent.receiving.live_signal import live_signal, set_aside_counts
from subscriber_agent.receiving.receiver import DRAIN_S, Receiver
from subscriber_agent.receiving.rounds import Kept, Report, Round
from subscriber_agent.reconciling import Reconciling
from subscriber_agent.rhythm import LISTEN_EVERY_S, Rhythm
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.reload import ConfigWatcher
from subscriber_agent.settled import Decided, Gathered, Settled
from subscriber_agent.together import run_together

# An engine that does not say what it holds must not hold up the journal: then the signal is kept first.
_GATHER_TIMEOUT_S = 1.0
# What is broken off gives the turn back at once, unless it is just writing down what was answered.
_MAKES_WAY_S = 0.1
# Another process may add to what is undecided: `parked retry`.
_LOOK_EVERY_S = 2.0
# So long may decisions follow on each other before everybody else has a turn.
_TURN_S = 0.002


class Worker:
    """Runs one identity until it is stopped or the link ends for good.

    `disk` is the thread that desk and engine write on; without one the worker makes its own for the journal. With a
    `watcher` the config follows its file.
    """

    def __init__(
        self,
        config: AgentConfig,
        creds: Creds,
        journal: Journal,
        desk: Desk,
        report: Report,
        *,
        disk: Disk | None = None,
        watcher: ConfigWatcher | None = None,
    ) -> None:
        self._journal = journal
        self._desk = desk
        self._report = report
        self._own_disk = Disk.threaded() if disk is None else None
        self._disk = disk or self._own_disk or Disk.inline()
        self._receiver = Receiver(
            config, creds, journal, self._disk, self, self._received, mode=config.mode.value, engine=config.engine.kind
        )
        engine = desk.engine
        # Its account is known only once it has started.
        self._life = EngineLife(engine, report, self._hint, check=lambda: self._disk.run(bind, journal, engine))
        self._reconciling = Reconciling(
            journal,
            engine,
            self._disk,
            lambda: datetime.now(UTC),
            report,
            every_s=60.0 * config.engine.reconcile_minutes,
        )
        self._following = Following(config, journal, self._disk, report, self._take, watcher)
        self._questions = Questions(journal, lambda: datetime.now(UTC))
        desk.drift_s, desk.tell = self._receiver.drift.seconds, report
        self._wake = asyncio.Event()
        # Whoever decides or tends holds it: two looks at what is held must not lead to two exits.
        self._turn = asyncio.Lock()
        self._is_busy = True
        self._is_drained = False
        self._is_recovered = False
        # Whether something was ordered since the account was last looked at.
        self._is_unseen = False
        self._decided: Decided | None = None
        # Whether the last batch was one signal that was decided as it was kept: then there is nothing more to wake for.
        self._is_through_with_it = False
        self._catch_up: CatchUp | None = CatchUp()
        self._looked_at = 0.0
        self._rhythm = Rhythm(watch_s=float(config.engine.watch_s))
        self._unnoted: AgentConfig | None = config
        self._legs = LegNews(journal)
        self._was_connected = False

    async def run(self, stop: asyncio.Event, *, connect_timeout_s: float, until_drained: bool = False) -> None:
        """Work until `stop` is set; with `until_drained` it is set here, once the backlog is decided.

        Raises ServerUnreachable (at the start, when nothing is held), Denied, CredsExpired, CredsRevoked,
        DurableMissing, StreamMissing, AlreadyRunning, LinkNotLive, StorageFailed, EngineUnusable.
        """
        works = (
            self._receive(stop, connect_timeout_s, may_wait=not until_drained),
            self._decide_forever(stop, until_drained=until_drained),
        )
        attendants = (*self._following.attendants(), self._life.attend())
        try:
            await self._disk.run(self._legs.begin)
            await self._life.start()
            await self._following.note_start(datetime.now(UTC))
            # The receiving drains within its own limit, which must not be cut short from here.
            await run_together(stop, works, attendants, drain_s=DRAIN_S + CLOSE_TIMEOUT_S)
        finally:
            for each in (*works, *attendants):
                each.close()
            await self._life.close()
            if self._own_disk is not None:
                self._own_disk.close()

    def seen(self) -> Seen:
        """The link as it was last looked at."""
        return self._receiver.seen()

    async def _receive(self, stop: asyncio.Event, connect_timeout_s: float, *, may_wait: bool) -> None:
        async def looked_after(failure: LinkError) -> int:
            return await self._disk.run(needing_us, self._journal, failure) if may_wait else 0

        def receive() -> Awaitable[None]:
            self._was_connected = False
            return self._receiver.run(stop, connect_timeout_s=connect_timeout_s)

        await outlast(receive, looked_after, stop, self._report, was_connected=self._had_connection)

    def _had_connection(self) -> bool:
        was, self._was_connected = self._was_connected, False
        return was

    def _take(self, config: AgentConfig) -> None:
        self._desk.take(config)
        self._receiver.take(config, mode=config.mode.value)
        self._unnoted = config

    def _received(self, event: str, facts: dict[str, Any]) -> None:
        """What the receiver tells; while it was cut off, the account may have changed by other hands."""
        self._was_connected |= event == "connected"
        if event == "reconnected":
            self._reconciling.ask()
        self._report(event, facts)

    def _hint(self, event: EngineEvent) -> None:
        """Something happened at the engine: look now, and after a gap at everything."""
        if event.is_gap:
            self._reconciling.ask()
        self._rhythm.is_hinted = True
        self._wake.set()

    # What the receiver asks of its consumer ---------------------------------------------------------------------

    def measured(self, durable: Durable) -> None:
        """Follow the clocks: entries are judged by how far ours is from the server's."""
        self._desk.clock_skew_s = durable.skew_s

    async def keep(self, found: Sorted, *, is_drained: bool) -> Kept:
        """Have a batch on disk; its first signal with its decision, when nothing is in the way of that."""
        self._is_through_with_it = False
        is_at_rest = is_drained and not self._is_busy and self._decided is None
        live = live_signal(found) if is_at_rest else None
        if live is None or not await self._has_turn():
            return await self._disk.run(self._receiver.record, found)
        try:
            gathered = await self._gathered(live)
            if gathered is None:
                return await self._disk.run(self._receiver.record, found)
            kept, self._decided = await self._disk.brief(self._keep_and_decide, found, live, gathered)
        finally:
            self._turn.release()
        if self._decided is not None:
            # What is on disk goes to the engine at once: the acknowledgement has time.
            self._is_through_with_it = len(kept.new) == 1
            self._wake.set()
            await asyncio.sleep(0)
        return kept

    async def _has_turn(self) -> bool:
        """Take the turn for a live signal, from whoever only looks after what is open; False: it is not to be had."""
        if not self._turn.locked():
            return await self._turn.acquire()
        now = asyncio.get_running_loop().time()
        if not self._rhythm.may_give_way(now) or not self._desk.give_way():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MAKES_WAY_S):
                return await self._turn.acquire()
        return False

    def after_round(self, this: Round) -> None:
        """Wake the deciding when there may be something to decide; count what was missed."""
        self._is_drained = this.is_drained
        if self._catch_up is not None:
            self._catch_up.counts += set_aside_counts(this.kept)
        now = asyncio.get_running_loop().time()
        is_due = now - self._looked_at > _LOOK_EVERY_S
        is_news = bool(this.kept.new) and not self._is_through_with_it
        if is_news or is_due or self._is_busy or self._receiver.is_stopping:
            self._looked_at, self._is_busy = now, True
            self._wake.set()

    async def _gathered(self, live: Stored) -> Gathered | None:
        with contextlib.suppress(TimeoutError, EngineSilent):
            async with asyncio.timeout(_GATHER_TIMEOUT_S):
                return await self._desk.gather(live)
        return None

    def _keep_and_decide(self, found: Sorted, live: Stored, gathered: Gathered) -> tuple[Kept, Decided | None]:
        with self._journal.transaction():
            is_alone = not self._journal.has_undecided()
            kept = self._receiver.record(found)
            aside = {each.stream_seq for each in kept.set_aside}
            is_new = any(each.stream_seq == live.stream_seq for each in kept.new)
            if not is_alone or not is_new or live.stream_seq in aside:
                return kept, None
            return kept, self._desk.decide_and_keep(live, gathered)

    # Deciding ---------------------------------------------------------------------------------------------------

    async def _decide_forever(self, stop: asyncio.Event, *, until_drained: bool) -> None:
        while True:
            await self._until_woken_or_due()
            is_through = False
            if self._life.is_ready:
                async with self._turn:
                    is_through = await self._one_turn(stop)
            is_done = is_through and self._is_drained and not self._wake.is_set()
            self._is_busy = not is_done
            if is_done and self._catch_up is not None and not stop.is_set():
                self._report("caught_up", self._catch_up.as_dict())
                self._catch_up = None
                if until_drained:
                    stop.set()
            if stop.is_set():
                # What comes now is decided by the next run.
                self._is_busy = True
                await self._last_look()
                return

    async def _last_look(self) -> None:
        """Leave behind how the account stands after the last order, for the commands that look at it later."""
        if self._is_unseen:
            with contextlib.suppress(TimeoutError, EngineSilent):
                async with asyncio.timeout(_GATHER_TIMEOUT_S):
                    await self._desk.look()

    async def _until_woken_or_due(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_EVERY_S):
                await self._wake.wait()
        self._wake.clear()

    async def _one_turn(self, stop: asyncio.Event) -> bool:
        """Everything that is due now. False: something is left for the next turn."""
        if self._unnoted is not None:
            config, self._unnoted = self._unnoted, None
            await self._disk.run(in_force.note, self._journal, config)
        decided, self._decided = self._decided, None
        if decided is not None:
            self._tell(await self._desk.finish(decided))
        # A start looks after what is held, and compares it with the engine's word, before any entry.
        is_through = self._reconciling.has_looked and await self._work_off(stop)
        if not stop.is_set():
            try:
                is_through = await self._tend(stop) and is_through
            except GaveWay:
                # Again, once the signal is through.
                self._rhythm.is_hinted = True
                return False
            is_through = await self._reconcile() and is_through
        return is_through

    async def _reconcile(self) -> bool:
        """Compare with the engine when it is time to. False: it is not sure yet, or has just become so."""
        had_looked = self._reconciling.has_looked
        await self._reconciling.step()
        if self._reconciling.is_doubtful:
            # Between two looks everything is looked up: then a fill that was on its way is booked.
            self._rhythm.is_hinted = True
        if self._reconciling.has_looked and not had_looked:
            self._wake.set()
        return had_looked

    async def _work_off(self, stop: asyncio.Event) -> bool:
        """Decide all that is undecided, as long as nothing earlier is on its way.

        False: the engine is silent, or others are due, and something is left for the next turn.
        """
        if self._is_drained and not self._is_recovered:
            # Not before: an order that was never handed over may have been withdrawn meanwhile.
            for recovered in await self._desk.recover():
                self._report("recovered", recovered.as_dict())
            self._is_recovered = True
        return await self._all_told(self._desk.settle(), stop)

    async def _all_told(self, settling: AsyncGenerator[Settled, None], stop: asyncio.Event) -> bool:
        """Decide and tell until nothing is left, a stop, or something earlier is on its way.

        False: the engine is silent, or exits are due in the middle of many decisions.
        """
        clock = asyncio.get_running_loop().time
        turned_at = clock()
        async with contextlib.aclosing(settling):
            try:
                while self._is_drained and not stop.is_set():
                    if self._rhythm.is_overdue(clock()):
                        self._wake.set()
                        return False
                    self._tell(await anext(settling))
                    if clock() - turned_at > _TURN_S:
                        # Deciding may never wait: without a turn for others a stop is not heard, pings go unanswered.
                        await asyncio.sleep(0)
                        turned_at = clock()
            except StopAsyncIteration:
                return True
            except EngineSilent:
                return False
            finally:
                for settled in self._desk.untold():
                    self._tell(settled)
        return True

    # What is no signal ------------------------------------------------------------------------------------------

    async def _tend(self, stop: asyncio.Event) -> bool:
        """Hear what the friend said, and look after what is open, each when it is due. False: the engine is silent."""
        now, rhythm = asyncio.get_running_loop().time(), self._rhythm
        if not rhythm.is_listening_due(now):
            return True
        rhythm.listened_at = now
        is_through = await self._heard(stop)
        try:
            if rhythm.is_tending_due(now) or await self._disk.brief(self._desk.is_closing):
                rhythm.tended(now)
                self._is_unseen = False
                await self._desk.tend(may_enter=self._is_recovered and self._is_drained)
                rhythm.through_at = asyncio.get_running_loop().time()
                await self._disk.run(self._journal.checkpoint)
            elif rhythm.is_watching_due(now):
                rhythm.watched_at = now
                await self._desk.watch()
            else:
                return is_through
        except GaveWay:
            raise
        except EngineSilent:
            return False
        for facts in await self._disk.brief(self._legs.new):
            self._report("leg_filled", facts)
        self._receiver.wake_feedback()
        return is_through

    async def _heard(self, stop: asyncio.Event) -> bool:
        for row in await self._disk.brief(self._questions.ended):
            self._report("approval_ended", ending_dict(row))
        if not self._is_recovered:
            return True
        return await self._all_told(self._desk.settle_approved(), stop)

    def _tell(self, settled: Settled) -> None:
        self._rhythm.told_at = asyncio.get_running_loop().time()
        self._is_unseen |= settled.outcome is not None
        if settled.needs_a_stop:
            # The engine brought none with the fill: ours must not wait for the next round.
            self._rhythm.is_hinted = True
        self._report("decision", settled.as_dict())
        if settled.trades_withdrawn:
            self._report("retracted_after_trade", settled.withdrawn_dict())
        if self._catch_up is not None:
            self._catch_up.counts[settled.label] += 1
        self._receiver.wake_feedback()
