"""`SignalPublisher`: what a program that publishes signals holds. Submit returns once the signal is safe on disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from publisher.background import Background, StateChange, Told
from publisher.circuit import CircuitState
from publisher.commits import Commits
from publisher.entry import Counts, Kept, Receipt, Replaced, Submitted, entry_from
from publisher.intake.bot import Terms
from publisher.intake.outcome import Draft
from publisher.intake.rules import Rules, read_rules
from publisher.intake.scored import Reading, Scored, reading_from
from publisher.outbox import Outbox
from publisher.relay import Drained, Relay, Wire
from publisher.settings import PublisherSettings, current_signer, read_again
from signal_contract.delivery import LinkEvent, LinkNotice
from signal_contract.errors import CatalystError
from signal_contract.heartbeat import INTERVAL_S, ClassifierState
from signal_contract.link import Link
from signal_contract.model import Signal
from signal_contract.tracing import traced

if TYPE_CHECKING:
    from publisher.thread import ThreadPublisher

__all__ = ["ScoredSubmit", "SignalPublisher", "entry_from"]

# A publisher that runs for months does not remember every receipt; the outbox does.
_RECEIPTS_REMEMBERED = 1000
_CLOSING_S = 5.0
_NOT_ENTERED = "use it as `async with SignalPublisher(…) as publisher`"


@dataclass(frozen=True, slots=True)
class ScoredSubmit:
    """What became of an item, and its entry in the outbox when it became a signal."""

    reading: Reading
    submitted: Submitted | None = None


class SignalPublisher:
    """`async with SignalPublisher(settings) as publisher`: submit signals, flush them into the stream.

    The server may be away: `submit` needs the disk only, and what is not flushed goes out at the next flush, of this
    process or another one. With `background=True` it sends by itself, also what other processes submit, tries for
    ever, and sends a heartbeat every `heartbeat_s` seconds; on leaving it gives what waits `closing_s` seconds.

    `on_state` is told of each change of the way to the stream, `on_problem` of each trouble once when it begins.
    """

    def __init__(
        self,
        settings: PublisherSettings,
        *,
        background: bool = False,
        on_receipt: Callable[[Receipt], None] | None = None,
        on_state: Callable[[StateChange], None] | None = None,
        on_problem: Callable[[CatalystError], None] | None = None,
        heartbeat_s: float = INTERVAL_S,
        closing_s: float = _CLOSING_S,
    ) -> None:
        self._settings = settings
        self._is_background = background
        self._on_receipt = on_receipt
        self._told = Told(on_state or (lambda change: None), on_problem or (lambda error: None), self._refresh)
        self._heartbeat_s = heartbeat_s
        self.closing_s = closing_s
        self._receipts: deque[Receipt] = deque(maxlen=_RECEIPTS_REMEMBERED if background else None)
        self._outbox: Outbox | None = None
        self._commits: Commits | None = None
        self._relay: Relay | None = None
        self._background: Background | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rules = Rules()

    @classmethod
    def start_thread(cls, settings: PublisherSettings, **options: Any) -> ThreadPublisher:
        """A running publisher for programs without an event loop; `options` as for `SignalPublisher`.

        Raises StorageFailed or ConfigInvalid when it cannot start.
        """
        from publisher.thread import ThreadPublisher

        return ThreadPublisher.started(cls(settings, background=True, **options))

    async def __aenter__(self) -> Self:
        self._rules = await asyncio.to_thread(read_rules, self._settings.data)
        self._loop = asyncio.get_running_loop()
        self._outbox = await asyncio.to_thread(Outbox.open, self._settings.outbox)
        self._commits = Commits(self._outbox)
        self._relay = Relay(
            self._outbox,
            self._dial,
            on_receipt=self._note,
            signer=lambda: current_signer(self._settings),
            commits=self._commits,
        )
        if self._is_background:
            self._background = Background(self._outbox, self._relay, self._told, heartbeat_s=self._heartbeat_s)
            self._background.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._background is not None:
                await self._background.stop()
                await self._last_flush()
        finally:
            if self._relay is not None:
                await self._relay.close()
            if self._commits is not None:
                commits, self._commits = self._commits, None
                await commits.close()
            if self._outbox is not None:
                self._outbox.close()

    async def _last_flush(self) -> None:
        try:
            async with asyncio.timeout(self.closing_s):
                await self.flush(self.closing_s)
        except TimeoutError:
            return  # it is safe in the outbox
        except CatalystError as error:
            self._told.on_problem(error)

    async def _dial(self, timeout_s: float) -> Wire:
        settings = self._settings
        return await Link.open(
            settings.servers,
            settings.creds,
            label="publisher",
            connect_timeout_s=timeout_s,
            on_notice=self._on_notice,
            ca_file=settings.ca_file,
            tls_name=settings.tls_name,
        )

    def _on_notice(self, notice: LinkNotice) -> None:
        if self._background is not None and notice.event in (LinkEvent.DISCONNECTED, LinkEvent.RECONNECTED):
            self._background.look()

    async def _refresh(self) -> bool:
        before = self._settings
        self._settings = await asyncio.to_thread(read_again, before, now=datetime.now(UTC))
        is_other = (self._settings.creds.jwt, self._settings.servers) != (before.creds.jwt, before.servers)
        if is_other:
            await self._opened[1].close()
        return is_other

    def _note(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        if self._on_receipt is not None:
            self._on_receipt(receipt)
        if self._background is not None:
            self._background.stored()

    @property
    def _opened(self) -> tuple[Outbox, Relay]:
        if self._outbox is None or self._relay is None:
            raise RuntimeError(_NOT_ENTERED)
        return self._outbox, self._relay

    @property
    def _running(self) -> Background:
        if self._background is None:
            raise RuntimeError("use it as `async with SignalPublisher(…, background=True) as publisher`")
        return self._background

    @property
    def settings(self) -> PublisherSettings:
        """What it works with at the moment."""
        return self._settings

    @property
    def folder(self) -> Path:
        """The directory of the outbox."""
        return self._settings.outbox.parent

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The stream's receipts so far, in order (in the background: the last 1000), also for what had waited."""
        return tuple(self._receipts)

    @property
    def state(self) -> CircuitState:
        """The way to the broker: up, degraded or down."""
        return self._opened[1].circuit.state

    @property
    def last_sequence(self) -> int | None:
        """The stream's last sequence as far as it is known here."""
        return self._opened[1].last_sequence

    @property
    def replaced(self) -> tuple[Replaced, ...]:
        """The damaged outboxes that were moved aside since this publisher was entered."""
        return tuple(self._opened[0].replaced)

    @property
    def classifier(self) -> ClassifierState | None:
        """What the heartbeat says about the classifier; to be set by the program that runs it."""
        return self._running.classifier

    @classifier.setter
    def classifier(self, state: ClassifierState | None) -> None:
        self._running.classifier = state

    async def ended(self) -> None:
        """Wait for ever; raises what ended the background's work, which takes a fault in the program."""
        await self._running.ended()

    def check(self) -> None:
        """Raise the fault that has ended the background's work, if one has."""
        if self._background is not None:
            self._background.check()

    async def submit(self, signal: Signal, *, traceparent: str | None = None) -> Submitted:
        """Sign and keep a signal; on return it survives a power cut. Raises StorageFailed.

        `traceparent` is the caller's W3C trace context, which agents log; raises InputError for what is none.
        """
        return (await self.submit_many([traced(signal, traceparent)]))[0]

    async def submit_many(self, signals: Sequence[Signal]) -> tuple[Submitted, ...]:
        """Sign and keep signals in their order, all or none of them. Raises StorageFailed."""
        commits = self._commits
        if commits is None:
            raise RuntimeError(_NOT_ENTERED)
        self.check()
        signer = self._settings.signer
        submitted = await commits.submit([entry_from(signal, signer) for signal in signals])
        if self._background is not None:
            self._background.wake()
        return submitted

    def keep(self, signals: Sequence[Signal]) -> tuple[Submitted, ...]:
        """`submit_many` for any thread: the commit happens in the caller's. Raises StorageFailed."""
        outbox = self._opened[0]
        entries = [entry_from(signal, self._settings.signer) for signal in signals]
        submitted = outbox.submit_many(entries, now=datetime.now(UTC))
        if self._loop is not None and self._background is not None:
            self._loop.call_soon_threadsafe(self._kept)
        return submitted

    def _kept(self) -> None:
        self._opened[1].wake()
        self._running.wake()

    def reading(self, found: Scored, *, classifier_version: str = "unknown") -> Reading:
        """What would become of an item by the operator's rules; sends and keeps nothing, never raises."""
        return reading_from(found, Terms(datetime.now(UTC), classifier_version, self._rules))

    async def submit_scored(
        self, item: Any, scored: Any, trading_signal: Any, price: Any, market_info: Any = None
    ) -> ScoredSubmit:
        """Sign and keep the signal of one item of Catalyst-Bot's; objects or dicts, as they are.

        `price` in USD. What carries no signal or cannot be used is said in the answer. Raises StorageFailed.
        """
        reading = self.reading(Scored(item, scored, trading_signal, price, market_info))
        if not isinstance(reading.outcome, Draft):
            return ScoredSubmit(reading)
        return ScoredSubmit(reading, await self.submit(reading.outcome.signal))

    async def flush(self, timeout_s: float) -> Drained:
        """Send all that waits; gives up after `timeout_s` seconds without a receipt. Raises StorageFailed."""
        return await self._opened[1].drain(timeout_s=timeout_s)

    async def receipt(self, message_id: str) -> Receipt | None:
        """The receipt of one message, also when another process sent it; None while it waits."""
        return await asyncio.to_thread(self._opened[0].receipt, message_id)

    async def revisions(self, prefix: str) -> tuple[Kept, ...]:
        """Every revision kept of the signals whose id begins with `prefix`. Raises StorageFailed."""
        return await asyncio.to_thread(self._opened[0].revisions, prefix)

    async def counts(self) -> Counts:
        """How many signals wait in the outbox and how many the stream has."""
        return await asyncio.to_thread(self._opened[0].counts)
