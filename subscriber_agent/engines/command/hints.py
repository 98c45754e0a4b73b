"""What the program told unasked, until the agent looks: the same order twice is one hint, and too many are a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from subscriber_agent.engines.engine import EngineEvent

_MOST = 1000


class Hints:
    """A bounded queue of events for one reader."""

    def __init__(self) -> None:
        self._waiting: dict[str, EngineEvent] = {}
        self._gap: EngineEvent | None = None
        self._stir = asyncio.Event()
        self._is_closed = False

    def add(self, event: EngineEvent) -> None:
        """Keep an event; with a thousand not yet read, all that follow become one gap."""
        if event.is_gap:
            self.gap(event.detail)
        elif event.order_id in self._waiting or len(self._waiting) < _MOST:
            self._waiting[event.order_id] = event
        else:
            self.gap("more events than could be read")
        self._stir.set()

    def gap(self, detail: str) -> None:
        """Say that events may have been missed; what was waiting for the reader is still told after it."""
        self._gap = EngineEvent(detail=detail, is_gap=True)
        self._stir.set()

    def close(self) -> None:
        """Let the reader end."""
        self._is_closed = True
        self._stir.set()

    async def read(self) -> AsyncIterator[EngineEvent]:
        """The events as they come, until `close`."""
        while not self._is_closed:
            while (event := self._next()) is not None:
                yield event
            self._stir.clear()
            if not self._is_closed and self._gap is None and not self._waiting:
                await self._stir.wait()

    def _next(self) -> EngineEvent | None:
        if self._gap is not None:
            event, self._gap = self._gap, None
            return event
        return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None
