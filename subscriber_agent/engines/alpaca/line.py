"""The way from asyncio to Alpaca's synchronous client: threads, each with a session, and a limit on every call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from subscriber_agent.engines.alpaca.sdk import Calls, Lost

_Answer = TypeVar("_Answer")


class Line:
    """A few threads; `make` builds each one's client. Its calls raise Refused or Lost."""

    def __init__(self, make: Callable[[], Calls], *, threads: int, name: str) -> None:
        self._make, self._threads, self._name = make, threads, name
        self._own = threading.local()
        self._all: list[Calls] = []
        self._pool: ThreadPoolExecutor | None = None

    async def run(
        self, call: Callable[[Calls], _Answer], *, limit_s: float, ended: Callable[[], None] | None = None
    ) -> _Answer:
        """Make a call, for `limit_s` seconds at most, its wait for a thread included.

        A call that has not begun by then is never made. One that has goes on by itself; `ended` is called (on any
        thread) when it is certain that nothing more of it comes.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
        future = self._pool.submit(lambda: call(self._calls()))
        if ended is not None:
            future.add_done_callback(lambda _: ended())
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise Lost(f"no answer from Alpaca within {limit_s:g} s") from error

    def close(self) -> None:
        """Drop what waits and let go of the sessions; what is on its way ends within its own limits.

        The next call opens the line again.
        """
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        for calls in self._all:
            calls.close()
        self._all.clear()

    def _calls(self) -> Calls:
        found: Any = getattr(self._own, "calls", None)
        if found is None:
            found = self._own.calls = self._make()
            self._all.append(found)
        return found  # type: ignore[no-any-return]
