"""The running agent's words to systemd: ready, how the link is, stopping; and a sign of life that follows a proof.

how the link was found                                  the watchdog is fed
──────────────────────────────────────────────────────  ───────────────────────────────────────────────────────
LIVE, QUIET                                             yes: signals flow, or would
LAGGING                                                 when more has come since the last look
CUT, and no server takes a connection                   yes: a restart mends nothing, and open positions are looked
                                                        after meanwhile
no connection, and positions are looked after           yes: whoever holds the only stop must not be ended
CUT though a server takes connections; DEAF             no
nobody has looked at the link for 10 s                  no: a part of this program hangs
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from signal_contract.notify import ServiceManager, feed
from signal_contract.reach import is_away
from subscriber_agent.receiving.link_state import LinkState, Seen

_log = logging.getLogger("catalyst.service")

# The link is looked at twice a second.
LOOK_TOO_OLD_S = 10.0
Report = Callable[[str, dict[str, Any]], None]


def is_proof(seen: Seen, before: Seen | None) -> bool | None:
    """Whether this look proves that signals flow; None: only another look, from outside, can tell whose fault it is."""
    if seen.age_s is None or not seen.age_s <= LOOK_TOO_OLD_S:
        return False
    if seen.state.is_flowing:
        return True
    if seen.state is LinkState.LAGGING:
        return before is None or seen.deliveries > before.deliveries
    return None if seen.state is LinkState.CUT else False


class Minder:
    """Stands between the worker and whoever shows its reports. Without a manager it only passes them on."""

    def __init__(
        self,
        manager: ServiceManager,
        servers: Sequence[str],
        report: Report,
        *,
        away: Callable[[Sequence[str]], Awaitable[bool]] = is_away,
    ) -> None:
        self._manager = manager
        self._servers = servers
        self._report = report
        self._away = away
        self._before: Seen | None = None
        self._looks_after = False

    def report(self, event: str, facts: dict[str, Any]) -> None:
        """Pass a report on, and tell the manager what concerns it."""
        match event:
            case "connected":
                self._looks_after = False
                self._manager.ready(f"connected as {facts['user']}, {facts['waiting']} waiting")
            case "not_connected":
                self._looks_after = True
                self._manager.ready(f"not connected, looking after {facts['positions']} positions")
            case "link":
                self._manager.status(f"{facts['state']}: {facts['reason']}")
            case "occupied":
                self._manager.status("another agent seems to run under this identity; waiting")
        self._report(event, facts)

    def stopping(self, stop: Callable[[], None]) -> Callable[[], None]:
        """`stop`, told to the manager first."""

        def told() -> None:
            self._manager.stopping()
            stop()

        return told

    @asynccontextmanager
    async def minding(self, look: Callable[[], Seen]) -> AsyncIterator[None]:
        """Feed the watchdog for the length of the block; a fault in that ends nothing else."""
        feeding = asyncio.create_task(feed(self._manager, lambda: self._is_alive(look)), name="watchdog")
        feeding.add_done_callback(_told)
        try:
            yield
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})

    async def _is_alive(self, look: Callable[[], Seen]) -> bool:
        if self._looks_after:
            return True
        seen = look()
        proof = is_proof(seen, self._before)
        self._before = seen
        return await self._away(self._servers) if proof is None else proof


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the watchdog is fed no more: %s: %s", type(error).__name__, error)
