"""One identity, one agent: finds out whether somebody else pulls from this durable before we do.

Two agents on one durable would split its signals between them. Measured with nats-server 2.15: a living agent's pull is
there in every one of thousands of looks, and the pull of a killed one is gone within a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from signal_contract.errors import AlreadyRunning
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.pull import EXPIRES_S

# The longest that a pull can stay at the server when its machine lost power: its own term, and a little.
LEFT_OVER_S = EXPIRES_S + 5
_LOOK_EVERY_S = 0.25


async def wait_until_alone(
    look: Callable[[], Awaitable[Durable]],
    user: str,
    durable: Durable,
    stop: asyncio.Event,
    report: Callable[[str, dict[str, Any]], None],
) -> Durable:
    """Return the durable's state once nobody pulls from it, or when `stop` is set; `durable` is its state now.

    Raises AlreadyRunning when another agent is still there after the time in which a left-over pull ends.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + LEFT_OVER_S
    if durable.pulls:
        report("occupied", {"user": user, "wait_s": int(LEFT_OVER_S)})
    while durable.pulls and not stop.is_set():
        if clock() > deadline:
            raise AlreadyRunning(
                f"another agent, on another machine or in another directory, receives as {user}",
                hint="Stop it first: the two would split the signals between them. One identity, one agent.",
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await stop.wait()
        durable = await look()
    return durable
