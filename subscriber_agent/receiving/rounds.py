"""From the feed into the journal, round by round: verify, keep in one commit, acknowledge, and know what is missing.

A round is drained when nothing that came before it can still be on its way: only then may anybody decide. After a
reconnect nothing is asked for, and no round is drained, until the durable was looked at: messages in flight on the
dead connection come again only after the server's ack_wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress
from typing import Any, Protocol

from signal_contract import edges
from signal_contract.delivery import Delivery
from signal_contract.errors import AlreadyRunning, Denied, DurableMissing, LinkError, StreamMissing
from signal_contract.feedback import Privacy
from subscriber_agent.disk import Disk
from subscriber_agent.journal import Arrival, Journal, SetAside
from subscriber_agent.receiving.arrival import Sorted, batch_sorted
from subscriber_agent.receiving.backlog import IN_FLIGHT_S, Backlog
from subscriber_agent.receiving.checking import Checking
from subscriber_agent.receiving.control_state import OPERATOR_LATCH, OPERATOR_USER_LATCH, scope_of, stricter
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.feed import Feed
from subscriber_agent.receiving.gaps import Tracker
from subscriber_agent.receiving.keys import KeyChain
from subscriber_agent.receiving.occupancy import LEFT_OVER_S
from subscriber_agent.receiving.pull import AckInfo, ack_info
from subscriber_agent.reporting.reports import parked_report
from subscriber_agent.risk.market import TradingState

_log = logging.getLogger("catalyst.agent")

Report = Callable[[str, dict[str, Any]], None]
Measure = Callable[[float], Awaitable[Durable]]

KEYS, GAPS = "publisher_keys", "gaps"
_IDLE_S = 0.25
# A server that restarts says for a moment that there is no stream; what it still says after this is true.
_PATIENCE_S = 3.0
_LOOK_TIMEOUT_S, _LOOK_AGAIN_S, _LEFT_OVER_LOOK_S = 0.5, 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a batch was new to the journal, in the batch's order; `set_aside` is the part that was parked."""

    new: tuple[Arrival, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the feed brought; often nothing. Only when it `is_drained` may anybody decide."""

    kept: Kept
    is_drained: bool


class Consumer(Protocol):
    """Who does something with what arrives: the agent's worker, or a friend's own program."""

    async def keep(self, found: Sorted, *, is_drained: bool) -> Kept:
        """Have a verified batch on disk when it returns (`Rounds.record`); then its messages are acknowledged."""

    def after_round(self, this: Round) -> None:
        """The round is on disk and acknowledged. Called often, and must not wait."""


class Rounds:
    """One connection's life of receiving. `backlog` is what waited when it was looked at last."""

    def __init__(
        self,
        feed: Feed,
        journal: Journal,
        disk: Disk,
        consumer: Consumer,
        report: Report,
        *,
        user: str,
        privacy: Privacy,
        keys: KeyChain,
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._disk = disk
        self._consumer = consumer
        self._report = report
        self._user = user
        self.privacy = privacy
        self._clock = asyncio.get_running_loop().time
        self._checking = Checking()
        self._backlog = Backlog.measured(waiting=0, in_flight=0, now=0.0)
        self._doubt_until = 0.0
        self._reconnects = 0
        self._reconnected_at: float | None = None
        self._is_cut = False
        self._behind_since: float | None = None
        self.keys = keys
        # What only the new key opens must be known before the next decision: the operator's flags.
        self.on_new_key: Callable[[], Awaitable[None]] | None = None
        self.gaps = Tracker.from_text(journal.meta(GAPS))
        self.pending: int | None = None

    # What is on its way -----------------------------------------------------------------------------------------

    def looked(self, durable: Durable) -> None:
        """Take up what the durable says, at the start or after a reconnect."""
        self.gaps = self.gaps.opened(deliveries=durable.deliveries, in_flight=durable.in_flight)
        now = self._clock()
        # All of them, once one is unseen: whatever comes again counts as returned, a duplicate too.
        in_flight = durable.in_flight if durable.unseen_in_flight(self.gaps) else 0
        self._backlog = Backlog.measured(waiting=durable.waiting, in_flight=in_flight, now=now)
        # Messages of an earlier connection are on their way again: until then a later one can come before them.
        self._doubt_until = now + IN_FLIGHT_S if in_flight else now
        self.note_pending(durable.waiting)

    def note_pending(self, pending: int) -> None:
        """How many messages wait on the server, as it just said."""
        self.pending = pending
        if not pending:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()

    @property
    def behind_s(self) -> float:
        """For how many seconds messages have been waiting on the server without a break."""
        return 0.0 if self._behind_since is None else self._clock() - self._behind_since

    @property
    def is_drained(self) -> bool:
        """Whether nothing earlier can still be on its way."""
        return not self._is_cut and self._reconnected_at is None and self._backlog.is_drained(self._clock())

    def on_disconnect(self) -> None:
        """The connection is gone; ask nothing on the next one before the durable was looked at."""
        self._is_cut = True
        self._feed.on_disconnect()

    def on_reconnect(self) -> None:
        """There is a new connection."""
        self._reconnects += 1
        self._is_cut = False
        self._reconnected_at = self._clock()
        self._feed.on_reconnect()

    # Receiving --------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, flush: Callable[[float], Awaitable[None]], measure: Measure) -> None:
        """Receive until `stop` is set. Raises DurableMissing, StreamMissing, Denied, StorageFailed, LinkError."""
        with contextlib.closing(self._checking):
            await self._run(stop, flush, measure)

    async def _run(self, stop: asyncio.Event, flush: Callable[[float], Awaitable[None]], measure: Measure) -> None:
        async with contextlib.aclosing(self._feed.batches(idle_s=_IDLE_S)) as batches:
            async for batch in batches:
                kept = await self._take(batch)
                if self._reconnected_at is not None:
                    await self._look_again(flush, measure)
                self._consumer.after_round(Round(kept, self.is_drained))
                if stop.is_set():
                    return

    async def _take(self, batch: Sequence[Delivery]) -> Kept:
        """Journal a batch in one commit, then acknowledge it."""
        if not batch:
            return Kept()
        edges.reached("feed.received")
        is_doubtful = self._reconnected_at is not None or self._clock() < self._doubt_until
        genuine = self._checking.genuine(batch, self.keys.current)
        found = batch_sorted(
            batch, self.keys, datetime.now(UTC), user=self._user, is_doubtful=is_doubtful, genuine=genuine
        )
        if found.held:
            _log.info("%d messages are signed by a key that is not known yet; they will come again", found.held)
        if not found.pairs:
            return Kept()
        messages = [message for message, _ in found.pairs]
        self._backlog = self._backlog.after(messages)
        kept = await self._consumer.keep(found, is_drained=self.is_drained)
        edges.reached("journal.recorded")
        await self._acknowledge(found, kept)
        self._remember(messages)
        await self._tell(found, kept)
        return kept

    def record(self, found: Sorted) -> Kept:
        """Write a verified batch down, in one commit or as a part of the caller's. On the disk's thread."""
        gaps, arrivals = self.gaps, [arrival for _, arrival in found.pairs]
        with self._journal.transaction():
            recorded = self._journal.record(arrivals)
            for (message, _), is_new in zip(found.pairs, recorded.is_new, strict=True):
                gaps = _followed(gaps, ack_info(message.reply), is_new=is_new)
            self._keep_reports(recorded.set_aside)
            if found.keys is not self.keys:
                self._journal.set_meta(KEYS, found.keys.text)
            if gaps != self.gaps:
                self._journal.set_meta(GAPS, gaps.text)
        self.gaps = gaps
        return Kept(tuple(compress(arrivals, recorded.is_new)), recorded.set_aside)

    def _keep_reports(self, aside: Sequence[SetAside]) -> None:
        now = datetime.now(UTC)
        reports = [
            parked_report(each.stream_seq, each.code, now, self.privacy, secrets.token_hex(16)) for each in aside
        ]
        self._journal.add_feedback(each for each in reports if each is not None)

    async def _acknowledge(self, found: Sorted, kept: Kept) -> None:
        aside = {each.stream_seq: each for each in kept.set_aside}
        await self._feed.ack(message for message, arrival in found.pairs if arrival.stream_seq not in aside)
        for message, arrival in found.pairs:
            if arrival.stream_seq in aside:
                await self._feed.terminate(message, aside[arrival.stream_seq].code)

    def _remember(self, messages: Sequence[Delivery]) -> None:
        infos = [info for message in messages if (info := ack_info(message.reply)) is not None]
        if infos:
            self.note_pending(infos[-1].pending)

    async def _tell(self, found: Sorted, kept: Kept) -> None:
        for aside in kept.set_aside:
            self._report("parked", {"seq": aside.stream_seq, "code": aside.code, "detail": aside.detail})
        for switch in found.keys.switches[len(self.keys.switches) :]:
            self._report("key_changed", {"seq": switch.stream_seq, "publisher_key": found.keys.current.public_key})
        has_new_key, self.keys = found.keys is not self.keys, found.keys
        if has_new_key and self.on_new_key is not None:
            await self.on_new_key()
        aside_seqs = {each.stream_seq for each in kept.set_aside}
        controls = [each for each in kept.new if each.control is not None and each.stream_seq not in aside_seqs]
        for each in controls:
            state = await self._disk.run(self._operator_state)
            self._report("control", _control_facts(each, state))

    def _operator_state(self) -> TradingState:
        latches = [self._journal.latch(name) for name in (OPERATOR_LATCH, OPERATOR_USER_LATCH)]
        return stricter(*(TradingState.from_text(None if each is None else each.value) for each in latches))

    # After a reconnect ------------------------------------------------------------------------------------------

    async def _look_again(self, flush: Callable[[float], Awaitable[None]], measure: Measure) -> None:
        """See what was in flight on the dead connection, then ask for more. Tried again in the next round otherwise."""
        reconnects = self._reconnects
        try:
            await flush(_LOOK_TIMEOUT_S)
            durable = await measure(_LOOK_TIMEOUT_S)
        except Denied:
            raise
        except (DurableMissing, StreamMissing):
            if self._clock() - (self._reconnected_at or 0.0) > _PATIENCE_S:
                raise
            await self._wait_a_little()
        except LinkError as error:
            _log.info("the durable could not be looked at: %s", error.message)
            await self._wait_a_little()
        else:
            if durable.pulls:
                # A pull of the dead connection still takes messages: they come to us only after the ack_wait.
                self._check_left_over()
                await self._wait_a_little(_LEFT_OVER_LOOK_S)
            elif reconnects == self._reconnects:
                self._reconnected_at = None
                self.looked(durable)
                self._feed.go_on()

    def _check_left_over(self) -> None:
        if self._clock() - (self._reconnected_at or 0.0) > LEFT_OVER_S:
            raise AlreadyRunning(
                f"another agent receives as {self._user}",
                hint="Stop it first: the two would split the signals between them. One identity, one agent.",
            )

    async def _wait_a_little(self, seconds: float = _LOOK_AGAIN_S) -> None:
        await asyncio.sleep(seconds)
        self._feed.nudge()


def _followed(gaps: Tracker, info: AckInfo | None, *, is_new: bool) -> Tracker:
    return gaps if info is None else gaps.after(info, is_new=is_new)


def _control_facts(arrival: Arrival, state: TradingState) -> dict[str, Any]:
    control = arrival.control
    if control is None:
        return {}
    return {
        "verb": control.verb.value,
        "scope": scope_of(control).value,
        "reason": control.reason,
        "seq": arrival.stream_seq,
        "state": state.value,
        "issued_at": control.issued_at.isoformat(),
    }
