"""Keeps `subscriber-agent run` running where the system's own manager cannot tell exit statuses apart.

Again after 5 s, doubling to a minute, and from 5 s anew after ten minutes of work; never where a person must look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from signal_contract.supervision import Cure, cure_for

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0
_WORKED_S = 600.0
# What the agent needs to finish what is in hand, and some more.
_STOP_S = 60.0


def pause_after(pause_s: float, lived_s: float) -> float:
    """Seconds until the next start after a run of `lived_s`; `pause_s` was the last pause (0: none yet). Pure."""
    if pause_s == 0 or lived_s >= _WORKED_S:
        return FIRST_PAUSE_S
    return min(2 * pause_s, LONGEST_PAUSE_S)


async def keep(command: Sequence[str], stop: asyncio.Event, say: Callable[[str], None], *, pauses: float = 1.0) -> int:
    """Run a command until `stop` is set, until it ends by itself, or until a person must look; its last exit status.

    `pauses` scales the pauses, for tests.
    """
    clock, pause_s = asyncio.get_running_loop().time, 0.0
    while True:
        begun = clock()
        status = await _run(command, stop)
        cure = cure_for(status)
        if stop.is_set() or cure is Cure.DONE:
            return status
        if cure is Cure.PERSON:
            say(f"the agent ended with exit status {status}: nothing changes until you have looked; not started again")
            return status
        pause_s = pause_after(pause_s, clock() - begun)
        say(f"the agent ended with exit status {status}; again in {pause_s * pauses:g} s")
        if await _is_set_within(stop, pause_s * pauses):
            return 0


async def _run(command: Sequence[str], stop: asyncio.Event) -> int:
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    ended = asyncio.create_task(process.wait(), name="agent-ended")
    stopping = asyncio.create_task(stop.wait(), name="keep-stop")
    try:
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.terminate()
            await asyncio.wait({ended}, timeout=_STOP_S)
    finally:
        stopping.cancel()
        if not ended.done():
            process.kill()
        await asyncio.wait({ended, stopping})
    return ended.result()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
