"""`ThreadPublisher`: a publisher for programs without an event loop. A submit commits in the caller's thread; sending
and heartbeats happen on a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from publisher.circuit import CircuitState
from publisher.entry import Counts, Receipt, Submitted
from publisher.intake.outcome import Draft
from publisher.intake.scored import Reading, Scored
from publisher.rails import Rails
from publisher.service import ScoredSubmit, SignalPublisher
from signal_contract.errors import CatalystError
from signal_contract.heartbeat import ClassifierState
from signal_contract.model import Signal

_log = logging.getLogger(__name__)
_START_S = 30.0
# Cancelling the tasks and closing the connection come on top of the last flush.
_GRACE_S = 2.0
# For its turn among the other sources; who calls tries again.
_TURN_S = 1.0


class ThreadPublisher:
    """Made by `SignalPublisher.start_thread(settings)`; usable from any thread until `close`, or as `with … as p`."""

    def __init__(self, publisher: SignalPublisher) -> None:
        self._publisher = publisher
        self._ready, self._lock = threading.Event(), threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: Exception | None = None
        self._is_open = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @classmethod
    def started(cls, publisher: SignalPublisher) -> Self:
        """Start its thread, and wait until signals can be submitted. Raises StorageFailed or ConfigInvalid."""
        made = cls(publisher)
        made._thread.start()
        if not made._ready.wait(_START_S):
            raise RuntimeError("the publisher's thread did not start")
        if made._failure is not None:
            made._thread.join()
            raise made._failure
        made._is_open = True
        return made

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  # the top of this thread: handed to whoever starts it
            self._failure = error
            if self._ready.is_set():
                _log.error("the publisher's thread ended: %s", error)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        async with self._publisher:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self._ready.set()
            faults = asyncio.create_task(self._publisher.ended(), name="publisher-faults")
            faults.add_done_callback(_told)
            await self._stop.wait()
            faults.cancel()
            await asyncio.wait([faults])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> SignalPublisher:
        if not self._is_open:
            raise RuntimeError("this publisher was closed")
        return self._publisher

    @property
    def is_open(self) -> bool:
        """Whether it takes signals."""
        return self._is_open

    @property
    def folder(self) -> Path:
        """The directory of the outbox."""
        return self._publisher.folder

    @property
    def state(self) -> CircuitState:
        """The way to the broker: up, degraded or down."""
        return self._opened().state

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The last 1000 of the stream's receipts, in order; also after `close`."""
        return self._publisher.receipts

    def set_classifier(self, state: ClassifierState | None) -> None:
        """What the heartbeat says about the classifier, before what its own process says."""
        self._opened().classifier = state

    def submit(self, signal: Signal) -> Submitted:
        """Sign and keep a signal; on return it survives a power cut. Needs no server. Raises StorageFailed."""
        return self._opened().keep([signal])[0]

    def rails(self, *, is_approved: bool = False) -> Rails:
        """The guard rails of a live source in front of this publisher, to be closed: the cap, merging, and with
        `is_approved` (or `approve` in intake.json) the queue for approval; what is capped waits there too.

        Raises ConfigInvalid or StorageFailed.
        """
        settings = self._opened().settings
        return Rails.opened(
            settings.outbox,
            settings.data,
            self._keep,
            is_capped=True,
            is_approved=is_approved,
            holds_capped=True,
            patience_s=_TURN_S,
        )

    def _keep(self, signals: Sequence[Signal]) -> tuple[Submitted, ...]:
        return self._opened().keep(signals)

    def reading(self, found: Scored, *, classifier_version: str = "unknown") -> Reading:
        """What would become of an item by the operator's rules; never raises."""
        return self._opened().reading(found, classifier_version=classifier_version)

    def submit_scored(
        self, item: Any, scored: Any, trading_signal: Any, price: Any, market_info: Any = None
    ) -> ScoredSubmit:
        """Sign and keep the signal of one item of Catalyst-Bot's, see `SignalPublisher.submit_scored`."""
        reading = self.reading(Scored(item, scored, trading_signal, price, market_info))
        if not isinstance(reading.outcome, Draft):
            return ScoredSubmit(reading)
        return ScoredSubmit(reading, self.submit(reading.outcome.signal))

    def counts(self, timeout_s: float = 10.0) -> Counts:
        """How many signals wait in the outbox and how many the stream has. Raises StorageFailed."""
        publisher = self._opened()
        assert self._loop is not None  # noqa: S101  # set before it was open
        return asyncio.run_coroutine_threadsafe(publisher.counts(), self._loop).result(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Give what waits `timeout_s` seconds to go out, then end; what is left is safe in the outbox."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        self._publisher.closing_s = timeout_s
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout_s + _GRACE_S)


def _told(task: asyncio.Task[None]) -> None:
    """Say that sending has ended by a fault; what is submitted is still kept, and sent by the next publisher."""
    if not task.cancelled() and (error := task.exception()) is not None:
        code = error.code if isinstance(error, CatalystError) else error.__class__.__name__
        _log.error("the publisher has stopped sending [%s]: %s; signals are kept in the outbox", code, error)
