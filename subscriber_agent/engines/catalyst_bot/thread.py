"""The thread in which Catalyst-Bot runs, with an event loop of its own: nothing of it can hold up the agent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")
_END_S = 1.0


class Patience:
    """How long somebody waits for a call; an order whose caller has gone is not sent any more."""

    def __init__(self, timeout_s: float) -> None:
        self._ends = time.monotonic() + timeout_s
        self._is_over = False

    def end(self) -> None:
        """Nobody waits any longer."""
        self._is_over = True

    def is_over(self) -> bool:
        """Whether nobody waits any longer."""
        return self._is_over or time.monotonic() >= self._ends


class BotThread:
    """Runs coroutines in one other thread. A call that hangs is left to itself; the agent's wait ends in time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="catalyst-bot", daemon=True)
        self._is_open = False

    def start(self) -> None:
        """Begin; only once."""
        self._is_open = True
        self._thread.start()

    async def run(self, make: Callable[[Patience], Coroutine[Any, Any, _Answer]], timeout_s: float) -> _Answer:
        """The call's answer, within `timeout_s`. Raises TimeoutError; the call itself goes on to its end."""
        if not self._is_open:
            raise RuntimeError("the engine is not open")
        patience = Patience(timeout_s)
        future = asyncio.run_coroutine_threadsafe(make(patience), self._loop)
        future.add_done_callback(_read)
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: an order on its way must come to its end and be written down, whoever waits for it.
                return await asyncio.shield(asyncio.wrap_future(future))
        finally:
            patience.end()

    async def close(self) -> None:
        """End the thread within 1 s; one that hangs is left behind, and does not hold up the program's end."""
        if not self._is_open:
            self._loop.close()
            return
        self._is_open = False
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, _END_S)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_end_all())
            self._loop.close()


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _read(future: Future[Any]) -> None:
    """Somebody has to look at an error for which nobody waited any more."""
    if not future.cancelled():
        future.exception()
