"""The operator's endpoint as a companion of `catalyst up`: looks every ten seconds, shows what it saw last.

A page is made when a look ends, never when it is asked for: a reader who asks all the time costs the server nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from signal_admin.companions import Companion, Say
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.metrics.looking import LocalSource, Looker
from signal_contract.errors import CatalystError
from signal_contract.link import Link
from signal_contract.metrics.endpoint import Address, Endpoint
from signal_contract.metrics.exposition import page
from signal_contract.metrics.operator_table import OPERATOR_METRICS
from signal_contract.permissions import RoleName

EVERY_S = 10.0
_LABEL = "catalyst-metrics"
_LOOK_TIMEOUT_S = 30.0

OpenSource = Callable[[Path], LocalSource]


def metrics_companion(address: Address, sources: Mapping[str, OpenSource], *, every_s: float = EVERY_S) -> Companion:
    """What `catalyst up --metrics` runs beside the server; `sources` are opened on its data directory."""

    async def metrics(data: Path, say: Say) -> None:
        shown: list[bytes] = [b""]
        endpoint = await asyncio.to_thread(Endpoint.start, address, lambda: shown[0])
        try:
            say(f"metrics: {endpoint.url}")
            if not address.is_local:
                say(f"warning: whoever reaches {endpoint.address} can read who your friends are and what they decide")
            await _look_for_ever(Desk(data), sources, shown, every_s)
        finally:
            await asyncio.to_thread(endpoint.close)

    return metrics


async def _look_for_ever(desk: Desk, sources: Mapping[str, OpenSource], shown: list[bytes], every_s: float) -> None:
    local = {name: await asyncio.to_thread(opened, desk.root) for name, opened in sources.items()}
    looker = Looker(desk, local)
    try:
        while True:
            # Links that ended for good, or a server that is away: this machine's own numbers are shown all the same.
            await _look_while_connected(desk, looker, shown, every_s)
            await _look(looker, None, None, shown)
            await asyncio.sleep(every_s)
    finally:
        for source in local.values():
            await asyncio.to_thread(source.close)


async def _look_while_connected(desk: Desk, looker: Looker, shown: list[bytes], every_s: float) -> None:
    try:
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(dial(desk, RoleName.ADMIN, _LABEL))
            system = await stack.enter_async_context(dial(desk, RoleName.SYSTEM, _LABEL))
            while not admin.closed.is_set() and not system.closed.is_set():
                await _look(looker, admin, system, shown)
                await asyncio.sleep(every_s)
    except CatalystError:
        return


async def _look(looker: Looker, admin: Link | None, system: Link | None, shown: list[bytes]) -> None:
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            found = await looker.look(admin, system, datetime.now(UTC))
    except TimeoutError:
        return  # the page says itself how old it is
    shown[0] = await asyncio.to_thread(page, found, OPERATOR_METRICS)
