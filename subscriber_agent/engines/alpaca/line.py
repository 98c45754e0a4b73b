"""The way from asyncio to Alpaca's synchronous client: threads, a session for each call, and a limit on every call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from subscriber_agent.engines.alpaca.sdk import Calls, Lost

_Answer = TypeVar("_Answer")


class Line:
    """A few threads, and as many clients as were ever at work at once; `make` builds one. Calls raise Refused or Lost.

    The client that was at work last comes first: its connection is the one that is most likely to be still open.
    """

    def __init__(self, make: Callable[[], Calls], *, threads: int, name: str) -> None:
        self._make, self._threads, self._name = make, threads, name
        self._all: list[Calls] = []
        self._idle: list[Calls] = []
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
        future = self._pool.submit(self._made, call)
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
        # Lists of their own for the next time: what is still at work is not taken up again.
        self._all, self._idle = [], []

    def _made(self, call: Callable[[Calls], _Answer]) -> _Answer:
        """The call, on one of the threads: no two of them have the same client at a time."""
        idle = self._idle
        try:
            calls = idle.pop()
        except IndexError:
            calls = self._make()
            self._all.append(calls)
        try:
            return call(calls)
        finally:
            idle.append(calls)
