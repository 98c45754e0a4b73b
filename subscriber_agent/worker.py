"""The agent at work: what the receiver has on disk is decided and handed to the engine. It knows no terminal.

    receive → keep in one commit → acknowledge → (when all that waited has come) decide → engine
    live, with nothing else undecided: gather → keep + decide in one commit → acknowledge → engine
    every second: what the friend said (yes, no, flatten); every five: losses, time exits, orders without an end

Receiving never waits for the engine: a halt or a retraction that arrives while an order is under way counts for the
next signal already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

from signal_contract.creds import Creds
from subscriber_agent.asking import Questions, ending_dict
from subscriber_agent.desk import Desk
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import EngineSilent
from subscriber_agent.following import Following
from subscriber_agent.journal import Arrival, Journal, Stored
from subscriber_agent.receiving.arrival import Sorted
from subscriber_agent.receiving.catch_up import CONTROL, PARKED, CatchUp
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.link_state import Seen
from subscriber_agent.receiving.receiver import Receiver
from subscriber_agent.receiving.rounds import Kept, Report, Round
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.reload import ConfigWatcher
from subscriber_agent.settled import Decided, Gathered, Settled

# An engine that does not say what it holds must not hold up the journal: then the signal is kept first.
_GATHER_TIMEOUT_S = 1.0
# Another process may add to what is undecided: `parked retry`.
_LOOK_EVERY_S = 2.0
_LISTEN_EVERY_S = 1.0
_TEND_EVERY_S = 5.0
# A decision counts the losses as well: looking after the rest keeps out of the way of the next one, but not for long.
_QUIET_S, _TEND_AT_LEAST_S = 0.5, 10.0


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
            config, creds, journal, self._disk, self, report, mode=config.mode.value, engine=config.engine.kind
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
        self._decided: Decided | None = None
        self._catch_up: CatchUp | None = CatchUp()
        self._looked_at = self._listened_at = self._tended_at = self._told_at = 0.0

    async def run(self, stop: asyncio.Event, *, connect_timeout_s: float, until_drained: bool = False) -> None:
        """Work until `stop` is set; with `until_drained` it is set here, once the backlog is decided.

        Raises ServerUnreachable, Denied, CredsExpired, CredsRevoked, DurableMissing, StreamMissing, AlreadyRunning,
        LinkNotLive, StorageFailed.
        """
        deciding = self._decide_forever(stop, until_drained=until_drained)
        following = self._following.attendants()
        try:
            await self._following.note_start(datetime.now(UTC))
            await self._receiver.run(stop, connect_timeout_s=connect_timeout_s, beside=deciding, attending=following)
        finally:
            for each in (deciding, *following):
                each.close()
            if self._own_disk is not None:
                self._own_disk.close()

    def seen(self) -> Seen:
        """The link as it was last looked at."""
        return self._receiver.seen()

    def _take(self, config: AgentConfig) -> None:
        self._desk.take(config)
        self._receiver.take(config, mode=config.mode.value)

    # What the receiver asks of its consumer ---------------------------------------------------------------------

    def measured(self, durable: Durable) -> None:
        """Follow the clocks: entries are judged by how far ours is from the server's."""
        self._desk.clock_skew_s = durable.skew_s

    async def keep(self, found: Sorted, *, is_drained: bool) -> Kept:
        """Have a batch on disk; its first signal with its decision, when nothing is in the way of that."""
        live = _live(found) if is_drained and not self._is_busy and not self._turn.locked() else None
        if live is None:
            return await self._disk.run(self._receiver.record, found)
        async with self._turn:
            gathered = await self._gathered(live)
            if gathered is None:
                return await self._disk.run(self._receiver.record, found)
            kept, self._decided = await self._disk.run(self._keep_and_decide, found, live, gathered)
            return kept

    def after_round(self, this: Round) -> None:
        """Wake the deciding when there may be something to decide; count what was missed."""
        self._is_drained = this.is_drained
        if self._catch_up is not None:
            self._catch_up.counts += _aside(this.kept)
        now = asyncio.get_running_loop().time()
        is_due = now - self._looked_at > _LOOK_EVERY_S
        if this.kept.new or is_due or self._is_busy or self._receiver.is_stopping:
            self._looked_at, self._is_busy = now, True
            self._wake.set()

    async def _gathered(self, live: Stored) -> Gathered | None:
        with contextlib.suppress(TimeoutError, EngineSilent):
            async with asyncio.timeout(_GATHER_TIMEOUT_S):
                return await self._desk.gather(live)
        return None

    def _keep_and_decide(self, found: Sorted, live: Stored, gathered: Gathered) -> tuple[Kept, Decided | None]:
        with self._journal.transaction():
            is_alone = self._journal.undecided_count() == 0
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
            async with self._turn:
                is_through = await self._work_off(stop)
                if self._is_recovered and not stop.is_set():
                    is_through = await self._tend(stop) and is_through
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
                return

    async def _until_woken_or_due(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LISTEN_EVERY_S):
                await self._wake.wait()
        self._wake.clear()

    async def _work_off(self, stop: asyncio.Event) -> bool:
        """Hand over what is decided, then decide all that is undecided, as long as nothing earlier is on its way.

        False: the engine is silent, and something is left for the next turn.
        """
        decided, self._decided = self._decided, None
        if decided is not None:
            self._tell(await self._desk.finish(decided))
        if self._is_drained and not self._is_recovered:
            # Not before: an order that was never handed over may have been withdrawn meanwhile.
            for recovered in await self._desk.recover():
                self._report("recovered", recovered.as_dict())
            self._is_recovered = True
        return await self._all_told(self._desk.settle(), stop)

    async def _all_told(self, settling: AsyncGenerator[Settled, None], stop: asyncio.Event) -> bool:
        """Decide and tell until nothing is left, a stop, or something earlier is on its way; False: engine silent."""
        async with contextlib.aclosing(settling):
            try:
                while self._is_drained and not stop.is_set():
                    self._tell(await anext(settling))
                    # Deciding may never wait: without a turn for the others, a stop is not heard, pings go unanswered.
                    await asyncio.sleep(0)
            except StopAsyncIteration:
                return True
            except EngineSilent:
                return False
        return True

    # What is no signal ------------------------------------------------------------------------------------------

    async def _tend(self, stop: asyncio.Event) -> bool:
        """Hear what the friend said, and look after what is open, each when it is due. False: the engine is silent."""
        now = asyncio.get_running_loop().time()
        if now - self._listened_at < _LISTEN_EVERY_S:
            return True
        self._listened_at = now
        is_through = await self._heard(stop)
        if not self._is_tending_due(now) and not await self._disk.run(self._desk.is_closing):
            return is_through
        self._tended_at = now
        try:
            await self._desk.tend(may_enter=self._is_drained)
        except EngineSilent:
            return False
        self._receiver.wake_feedback()
        return is_through

    def _is_tending_due(self, now: float) -> bool:
        since = now - self._tended_at
        return since >= _TEND_AT_LEAST_S or (since >= _TEND_EVERY_S and now - self._told_at >= _QUIET_S)

    async def _heard(self, stop: asyncio.Event) -> bool:
        for row in await self._disk.run(self._questions.ended):
            self._report("approval_ended", ending_dict(row))
        return await self._all_told(self._desk.settle_approved(), stop)

    def _tell(self, settled: Settled) -> None:
        self._told_at = asyncio.get_running_loop().time()
        self._report("decision", settled.as_dict())
        if settled.trades_withdrawn:
            self._report("retracted_after_trade", settled.withdrawn_dict())
        if self._catch_up is not None:
            self._catch_up.counts[settled.label] += 1
        self._receiver.wake_feedback()


def _live(found: Sorted) -> Stored | None:
    """The first signal of a batch, when nothing else in the batch has a say in it."""
    arrivals = [arrival for _, arrival in found.pairs]
    signals = sorted((each for each in arrivals if each.signal is not None), key=lambda each: each.stream_seq)
    if not signals or any(each.control is not None for each in arrivals):
        return None
    ids = Counter(each.signal.signal_id for each in signals if each.signal is not None)
    first = signals[0]
    if first.signal is None or ids[first.signal.signal_id] > 1:
        return None
    return Stored(first.stream_seq, first.subject, first.payload, first.received_at, first.signal)


def _aside(kept: Kept) -> Counter[str]:
    parked = {each.stream_seq for each in kept.set_aside}
    return Counter({CONTROL: _controls(kept.new, parked), PARKED: len(parked)})


def _controls(new: Sequence[Arrival], parked: set[int]) -> int:
    return sum(each.signal is None and each.stream_seq not in parked for each in new)
