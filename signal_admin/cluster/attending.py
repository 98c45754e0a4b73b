"""The operator's side of nodes that run on other machines: streams, durables, housekeeping, and which node is alive.

What `catalyst up` does beside its server, without a server: other commands find the cluster through this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from signal_admin.actions import retire_due_keys
from signal_admin.cluster.provisioning import Reach, provisioned, watched
from signal_admin.desk import Desk, make_desk
from signal_admin.dial import tls_options
from signal_admin.issuing import own_creds
from signal_admin.prepare import held, make_ready
from signal_admin.settings import UpSettings
from signal_contract.addresses import servers_checked
from signal_contract.errors import InputError, LinkError, ServerUnreachable
from signal_contract.link import opened
from signal_contract.permissions import RoleName

_LOOK_S, _KNOCK_TIMEOUT_S = 5.0, 2.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Attended:
    """A provisioned cluster elsewhere. `watching` ends with an error when it can no longer be looked after."""

    desk: Desk
    urls: tuple[str, ...]
    watching: asyncio.Task[None]


@asynccontextmanager
async def attended(
    data: Path | None, settings: UpSettings, servers: Sequence[str], say: Say
) -> AsyncIterator[Attended]:
    """Look after the nodes at `servers` for the length of the block; `say` gets lines for people.

    The directory is the one that `catalyst cluster config` wrote their files from: its keys are the ones they know.
    Raises AlreadyRunning, InputError, ServerUnreachable (no node answers), TlsFailed, Denied, or as `provision`.
    """
    urls = tuple(servers_checked(list(servers)))
    if len(urls) < 2:
        raise InputError(
            "name every node: --server A --server B --server C", hint="One alone could be the one that dies."
        )
    desk = make_desk(data)
    with held(desk):
        ready = make_ready(desk, replace(settings, public=settings.public or urls), datetime.now(UTC))
        reach = Reach(desk, ready, urls)
        try:
            await provisioned(reach, say)
            await _told_alive(reach)
            await retire_due_keys(desk, say)
            async with watched(reach, {"attending": _until_stopped}, (partial(_following, reach),), say) as watching:
                yield Attended(desk, urls, watching)
        finally:
            desk.server_json.unlink(missing_ok=True)


async def _until_stopped() -> None:
    await asyncio.Event().wait()


async def _following(reach: Reach, data: Path, say: Say) -> None:
    """Tell other commands another node when the one they know does not answer; runs until cancelled."""
    del data  # it is the one of `reach`
    was = True
    while True:
        record = reach.desk.server_record()
        if record is None or not await _answers(reach, record.url):
            try:
                await _told_alive(reach)
            except ServerUnreachable as error:
                if was:
                    say(error.message)
                was = False
            else:
                was = True
        await asyncio.sleep(_LOOK_S)


async def _told_alive(reach: Reach) -> None:
    for url in reach.urls:
        if await _answers(reach, url):
            reach.tell(url, 0)
            return
    raise ServerUnreachable(f"none of the nodes answers: {', '.join(reach.urls)}")


async def _answers(reach: Reach, url: str) -> bool:
    options = tls_options(reach.record(url, 0))
    creds = own_creds(reach.desk, RoleName.ADMIN)
    try:
        async with opened([url], creds, label="catalyst-knock", connect_timeout_s=_KNOCK_TIMEOUT_S, **options):
            return True
    except LinkError:
        return False
