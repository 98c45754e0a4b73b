"""The thread in which the journal works: an fsync there does not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Self, TypeVar, TypeVarTuple, Unpack

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")


class Disk:
    """Runs calls one after the other; `inline()` runs them in the caller's own thread."""

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor

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
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)

    def close(self) -> None:
        """Wait for the last call and end the thread."""
        if self._executor is not None:
            self._executor.shutdown()
