"""Several tasks that live and die together: works that heed a stop, attendants that run until they are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")
_Work = Coroutine[Any, Any, None]


async def run_together(
    stop: asyncio.Event, works: Sequence[_Work], attendants: Sequence[_Work], *, drain_s: float
) -> None:
    """Run all until the works end after `stop`, within `drain_s` seconds, or until any of them fails; raises that."""
    working = {asyncio.create_task(each, name="work") for each in works}
    attending = {asyncio.create_task(each, name="attendant") for each in attendants}
    stopping = asyncio.create_task(stop.wait(), name="stop")
    deadline: float | None = None
    clock = asyncio.get_running_loop().time
    try:
        while not _is_over(working, attending) and (deadline is None or clock() < deadline):
            if stopping.done() and deadline is None:
                deadline = clock() + drain_s
            timeout_s = None if deadline is None else deadline - clock()
            pending = {each for each in (*working, *attending, stopping) if not each.done()}
            await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        # A cancellation from within, which a library may let slip, must not look like an end that was wished for.
        strays = [task for task in (*attending, *working) if task.cancelled()]
    finally:
        everything = working | attending | {stopping}
        for task in everything:
            task.cancel()
        await asyncio.wait(everything)
    failures = [task.exception() for task in (*attending, *working) if not task.cancelled()]
    for failure in failures:
        if failure is not None:
            raise failure
    if strays and not stop.is_set():
        raise RuntimeError("a part of the agent was cancelled from within")


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, _Answer]) -> _Answer | None:
    """The work's answer, raising what it raises; None, and the work is cancelled, once `stop` is set before its end."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
        if not working.cancelled():
            working.exception()  # seen: asyncio need not warn of it


async def paused(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _is_over(working: set[asyncio.Task[None]], attending: set[asyncio.Task[None]]) -> bool:
    """Whether all work is done, or anything has failed."""
    done = [each for each in (*working, *attending) if each.done()]
    has_failed = any(each.cancelled() or each.exception() is not None for each in done)
    return has_failed or all(each.done() for each in working)
