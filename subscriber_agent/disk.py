"""Where the journal works: in a thread of its own, so that an fsync does not hold up the event loop; or, for what is
over sooner than a thread could be asked, at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar, TypeVarTuple, Unpack

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")

# Handing a call to the thread and its answer back takes 0.2 to 0.5 ms; a commit on an SSD about as long. What takes
# longer than this, on a slow or busy disk, must not keep pings and stops waiting.
_QUICK_S = 0.003
# After a slow call the disk counts as slow for so many times as long: it may hold up a twentieth of the time at most.
_REST = 20.0


class Disk:
    """Runs calls one after the other; `inline()` runs them in the caller's own thread. `clock` says seconds."""

    def __init__(self, executor: Executor | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._executor = executor
        self._clock = clock
        self._under_way: set[Future[Any]] = set()
        self._slow_until = 0.0

    @classmethod
    def threaded(cls) -> Self:
        """One thread of its own; end it with `close()`."""
        return cls(ThreadPoolExecutor(1, thread_name_prefix="journal"))

    @classmethod
    def inline(cls) -> Self:
        """For commands and tests, where nothing else waits."""
        return cls(None)

    async def run(self, call: Callable[[Unpack[_Arguments]], _Answer], *arguments: *_Arguments) -> _Answer:
        """The call's answer. A cancellation ends the waiting; the call itself runs to its end."""
        if self._executor is None:
            return call(*arguments)
        running = self._executor.submit(call, *arguments)
        self._under_way.add(running)
        # At its end, not at the waiting's: what nobody waits for any more must not be overtaken either.
        running.add_done_callback(self._under_way.discard)
        return await asyncio.wrap_future(running)

    async def brief(self, call: Callable[[Unpack[_Arguments]], _Answer], *arguments: *_Arguments) -> _Answer:
        """As `run`, for one commit or a few questions about one signal: what somebody waits for with a price moving.

        Done at once in the caller's thread, as long as the disk is quick and nobody else is at it. Another process that
        writes for long, such as a prune, holds that up once.
        """
        if self._executor is not None and (self._under_way or self._clock() < self._slow_until):
            return await self.run(self._timed, call, *arguments)
        return self._timed(call, *arguments)

    def _timed(self, call: Callable[[Unpack[_Arguments]], _Answer], *arguments: *_Arguments) -> _Answer:
        began = self._clock()
        try:
            return call(*arguments)
        finally:
            now = self._clock()
            if now - began > _QUICK_S:
                self._slow_until = now + (now - began) * _REST

    def close(self) -> None:
        """Wait for the last call and end the thread."""
        if self._executor is not None:
            self._executor.shutdown()
