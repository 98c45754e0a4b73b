"""The classifier's process, as the library sees it: submits at a pace of its own while the server comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise, repeat
from pathlib import Path

from publisher.outbox import Receipt
from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_contract.model import Signal


@dataclass
class Classifier(contextlib.AbstractContextManager["Classifier"]):
    """Submits `signals` one by one, `pace_s` apart, in a thread with its own event loop; the library sends them.

    `waits`, where given, are the seconds before each signal instead.

    `submitted_s` holds how long each submit took, `receipts` when each receipt came (monotonic seconds).
    """

    data: Path
    signals: Sequence[Signal]
    pace_s: float = 0.0
    waits: Sequence[float] = ()
    submitted_s: list[float] = field(default_factory=list)
    receipts: list[tuple[float, Receipt]] = field(default_factory=list)
    failure: BaseException | None = None

    def __enter__(self) -> Classifier:
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="classifier")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(60)

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:
            self.failure = error

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        settings = read_settings(self.data, now=datetime.now(UTC))
        async with SignalPublisher(settings, background=True, on_receipt=self._note) as publisher:
            for signal, wait_s in zip(self.signals, self.waits or repeat(self.pace_s), strict=False):
                await asyncio.sleep(wait_s)
                before = time.perf_counter()
                await publisher.submit(signal)
                self.submitted_s.append(time.perf_counter() - before)
                if self._stop.is_set():
                    break
            await self._ended.wait()

    def _note(self, receipt: Receipt) -> None:
        self.receipts.append((time.monotonic(), receipt))
        if self.is_done:
            self._ended.set()

    @property
    def is_done(self) -> bool:
        """Every signal has its receipt."""
        return len(self.receipts) >= len(self.signals)

    def finished(self, timeout_s: float) -> None:
        """Wait until everything is stored."""
        self._thread.join(timeout_s)
        if self.failure is not None:
            raise self.failure
        assert not self._thread.is_alive(), f"{len(self.receipts)} of {len(self.signals)} stored in {timeout_s:g} s"

    def gap_s(self, around: float) -> float:
        """The longest time without a receipt that begins within a second before `around` or later."""
        times = [at for at, _ in self.receipts]
        return max((after - before for before, after in pairwise(times) if after >= around - 1), default=0.0)


def kept_only(data: Path, signals: Sequence[Signal]) -> None:
    """Put signals into the outbox and leave the sending to others."""

    async def keep() -> None:
        async with SignalPublisher(read_settings(data, now=datetime.now(UTC))) as publisher:
            await publisher.submit_many(signals)

    asyncio.run(keep())


def quantile_ms(values: Sequence[float], share: float) -> float:
    """A quantile of seconds, in milliseconds."""
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
