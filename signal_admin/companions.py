"""What runs beside the server for as long as it does; the server never goes down because one of these fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from signal_contract.errors import CatalystError

Say = Callable[[str], None]
Companion = Callable[[Path, Say], Coroutine[Any, Any, None]]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
# One that does not end must not keep the server from being stopped in order.
_STOP_TIMEOUT_S = 5.0


@asynccontextmanager
async def accompanied(
    companions: Sequence[Companion], data: Path, say: Say, *, first_pause_s: float = FIRST_PAUSE_S
) -> AsyncIterator[None]:
    """Run companions on a data directory for the length of the block; they are stopped before it ends.

    One that fails or ends is told with `say` and begun again after `first_pause_s`, doubling up to a minute.
    """
    tasks = [
        asyncio.create_task(_kept(each, data, say, first_pause_s), name=f"companion-{_name(each)}")
        for each in companions
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)
            for task in left:
                say(f"{task.get_name()} did not stop within {_STOP_TIMEOUT_S:g} s; going on without it")


def _name(companion: Companion) -> str:
    return str(getattr(companion, "__name__", "unnamed"))


async def _kept(companion: Companion, data: Path, say: Say, pause_s: float) -> None:
    while True:
        # A task of its own: whatever it raises is looked at here and ends nothing else.
        running = asyncio.create_task(companion(data, say), name=_name(companion))
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running})
            raise
        say(f"{_name(companion)} {_why_it_ended(running)}; again in {pause_s:g} s")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _why_it_ended(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    if error is None:
        return "ended"
    if isinstance(error, CatalystError):
        return f"failed: {error.message} [{error.code}]"
    return f"failed: {error.__class__.__name__}: {error}"
