"""The link's end is not always the agent's: what must be looked after is, whatever happened to the connection.

the link                                 with positions of ours              with stops that only we watch
───────────────────────────────────────  ──────────────────────────────────  ─────────────────────────────────
server absent, silent, wrong certificate tried again, said once              as beside
revoked, expired, denied, no durable     ends at once: the engine has them   ends once nothing needs us any more
not live for exit_when_not_live_s        ends at once: it is his own wish    ends at once
another copy runs as this identity       ends at once: one identity, one agent
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from signal_contract.errors import LinkError, LinkNotLive, RequestTimedOut, ServerUnreachable, TlsFailed
from subscriber_agent.journal import JournalReader
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState
from subscriber_agent.together import paused

# Between two tries to reach the server, and between two looks at what is still held.
_AGAIN_S = 2.0
_MENDABLE = (ServerUnreachable, RequestTimedOut, TlsFailed)


async def outlast(
    receive: Callable[[], Awaitable[None]],
    looked_after: Callable[[LinkError], Awaitable[int]],
    stop: asyncio.Event,
    report: Callable[[str, dict[str, Any]], None],
    *,
    was_connected: Callable[[], bool] = lambda: False,
    again_s: float = _AGAIN_S,
) -> None:
    """Receive until `stop`; after a failure go on as the module's table says. Raises the failure in the end.

    `looked_after` says how many tickers need this process in spite of that failure; 0 ends it. `was_connected`: whether
    the last try had a connection; its end is then told again, or a watchdog would take the waiting for a fault.
    """
    failure: LinkError | None = None
    while not stop.is_set():
        before = failure
        if failure is None or isinstance(failure, _MENDABLE):
            try:
                return await receive()
            except LinkNotLive:
                raise
            except LinkError as error:
                failure = error
        count = await looked_after(failure)
        if not count:
            raise failure
        if was_connected() or type(before) is not type(failure):
            report("not_connected", _facts(failure, count))
        await paused(stop, again_s)
    if failure is not None and not isinstance(failure, _MENDABLE):
        raise failure
    return None


def needing_us(journal: JournalReader, failure: LinkError) -> int:
    """How many tickers must be looked after by this process, now that the link has failed like this.

    What another try may mend: all that our own fills hold, and orders that may fill in a moment. Otherwise those whose
    stop is nowhere but here.
    """
    if isinstance(failure, _MENDABLE):
        under_way = {each.intent.plan.ticker for each in journal.open_intents()}
        return len(under_way | journal.shares().keys())
    return len({each.ticker for each in journal.protections() if each.is_open and not _is_held_elsewhere(each)})


def _facts(failure: LinkError, count: int) -> dict[str, Any]:
    return {
        "positions": count,
        "code": failure.code,
        "detail": failure.message,
        "is_tried_again": isinstance(failure, _MENDABLE),
    }


def _is_held_elsewhere(stop: Protection) -> bool:
    """Whether the engine holds the stop, also when this process has ended."""
    return stop.state is ProtectionState.CONFIRMED and stop.holder in (Holder.NATIVE, Holder.ORDER)
