"""The running server's words to systemd and to `catalyst health`: after a real round trip through JetStream only.

The round trip is the monitor's: it logs in, asks through another account for the state of the stream, and holds the
answer. One connection is kept for it, since each log-in is written to the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.service.proof import Proof, forget_proof, write_proof
from signal_contract.errors import CatalystError, LinkError, StorageFailed
from signal_contract.link import Link
from signal_contract.notify import ServiceManager, this_process
from signal_contract.permissions import RoleName
from signal_contract.topology import STREAM, WATCH_PREFIX

# `catalyst health` takes a proof for stale after three of these.
PROVE_EVERY_S = 15.0
_ANSWER_WITHIN_S = 5.0
_AGAIN_S = 1.0
_LABEL = "catalyst-watchdog"
Say = Callable[[str], None]


async def minding(data: Path, tell: Say, *, manager: ServiceManager | None = None) -> None:
    """Prove the server of `data` again and again until cancelled, and tell systemd; as a companion of `catalyst up`."""
    manager, desk = manager or this_process(), Desk(data)
    try:
        while True:
            try:
                async with dial(desk, RoleName.MONITOR, _LABEL) as link:
                    await _prove_for_ever(link, desk, manager)
            except LinkError as error:
                # Nothing is proven; when that lasts, the watchdog ends it.
                manager.status(f"no round trip through JetStream: {error.message}")
                await asyncio.sleep(_AGAIN_S)
    finally:
        manager.stopping()
        with suppress(StorageFailed):
            forget_proof(desk)


async def _prove_for_ever(link: Link, desk: Desk, manager: ServiceManager) -> None:
    while True:
        stream = await link.api(f"{WATCH_PREFIX}.STREAM.INFO.{STREAM}", timeout_s=_ANSWER_WITHIN_S)
        manager.ready(_words(stream))
        manager.alive()
        with suppress(CatalystError):  # a full disk is told by whoever has to write; signals go on
            await asyncio.to_thread(write_proof, desk, Proof(datetime.now(UTC), _last_sequence(stream)))
        await asyncio.sleep(_pause_s(manager))


def _pause_s(manager: ServiceManager) -> float:
    return PROVE_EVERY_S if manager.watchdog_s is None else min(PROVE_EVERY_S, manager.watchdog_s / 4)


def _words(stream: dict[str, Any]) -> str:
    state = stream["state"]
    return f"serving, stream at {state['last_seq']}, {state['messages']} messages, {state['consumer_count']} durables"


def _last_sequence(stream: dict[str, Any]) -> int:
    return int(stream["state"]["last_seq"])
