"""The one way from a source with an event loop into the outbox: `Rails` first, then the outbox or the queue.

Everything that waits, for the disk or for another process, does so on a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from publisher import rails
from publisher.guard import GuardLimits
from publisher.rails import Fate, Rails, held_signals, read_limits
from publisher.service import SignalPublisher
from publisher.settings import PublisherSettings
from signal_contract.model import Signal

__all__ = ["Fate", "Gate", "held_signals", "locked", "read_limits"]


class Gate:
    """`async with Gate(publisher, settings, …) as gate`: takes signals of one source.

    `is_capped` applies the cap per minute; with `is_approved`, or `approve` in intake.json, they wait for the
    operator's word.
    """

    def __init__(
        self, publisher: SignalPublisher, settings: PublisherSettings, *, is_capped: bool, is_approved: bool = False
    ) -> None:
        self._publisher, self._settings = publisher, settings
        self._is_capped, self._is_approved = is_capped, is_approved
        self._turn = asyncio.Lock()
        self._rails: Rails | None = None

    async def __aenter__(self) -> Gate:
        self._rails = await asyncio.to_thread(
            Rails.opened,
            self._settings.outbox,
            self._settings.data,
            self._publisher.keep,
            is_capped=self._is_capped,
            is_approved=self._is_approved,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._rails is not None:
            self._rails.close()

    @property
    def _opened(self) -> Rails:
        if self._rails is None:
            raise RuntimeError("use it as `async with Gate(…) as gate`")
        return self._rails

    @property
    def limits(self) -> GuardLimits:
        """The limits that are applied."""
        return self._opened.limits

    async def take(self, signals: Sequence[Signal]) -> tuple[Fate, ...]:
        """Judge signals and keep those that pass, in their order; on return they survive a power cut.

        Raises StorageFailed, with nothing kept, and the fault that has ended the publisher's sending.
        """
        self._publisher.check()
        async with self._turn:
            return await asyncio.to_thread(self._opened.take, signals)


@asynccontextmanager
async def locked(outbox: Path) -> AsyncIterator[None]:
    """Hold the gate of an outbox, among all processes. Raises StorageFailed when it is not free within 15 s."""
    turn = rails.locked(outbox)
    await asyncio.to_thread(turn.__enter__)
    try:
        yield
    finally:
        turn.__exit__(None, None, None)
