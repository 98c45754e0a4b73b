"""Where the journal works: in a thread of its own, so that an fsync does not hold up the event loop; or, for what is
over sooner than a thread could be asked, at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar, TypeVarTuple, Unpack

from signal_contract.pace import Pace

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")


class Disk:
    """Runs calls one after the other; `inline()` runs them in the caller's own thread. `clock` says seconds."""

    def __init__(self, executor: Executor | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._executor = executor
        self._under_way: set[Future[Any]] = set()
        self._pace = Pace(clock)

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
        if self._executor is not None and (self._under_way or not self._pace.is_quick):
            return await self.run(self._timed, call, *arguments)
        return self._timed(call, *arguments)

    def _timed(self, call: Callable[[Unpack[_Arguments]], _Answer], *arguments: *_Arguments) -> _Answer:
        began = self._pace.now()
        try:
            return call(*arguments)
        finally:
            self._pace.took(began)

    def close(self) -> None:
        """Wait for the last call and end the thread."""
        if self._executor is not None:
            self._executor.shutdown()
