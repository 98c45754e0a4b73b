"""How long a revoked friend's live connection stays open, and how long `catalyst user revoke` takes as a whole.

    python tests/bench/revocation.py [rounds]

Each round lets a friend in, connects him and revokes him, on a server in the shipped configuration (loopback).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from signal_admin.actions import revoke
from signal_admin.desk import Desk
from signal_admin.invites import Handover, Invitation, invite
from signal_admin.up import UpSettings, brought_up
from signal_contract.creds import read_creds
from signal_contract.delivery import LinkEvent, LinkNotice
from signal_contract.link import opened


async def one_round(desk: Desk, url: str, name: str) -> tuple[float, float]:
    """(milliseconds until the client sees its end, milliseconds until the command is done)."""
    now, closed_at = datetime.now(UTC), asyncio.get_running_loop().create_future()

    def on_notice(notice: LinkNotice) -> None:
        if notice.event in (LinkEvent.DISCONNECTED, LinkEvent.CLOSED) and not closed_at.done():
            closed_at.set_result(time.perf_counter())

    await invite(desk, Invitation(name, ("signals.fda.*",), None), Handover(desk.root / f"{name}.invite"), now=now)
    creds = read_creds(desk.users / name / f"{name}.creds")
    async with opened([url], creds, label="bench", on_notice=on_notice):
        started = time.perf_counter()
        report = await revoke(desk, name, now=datetime.now(UTC))
        done = time.perf_counter()
        assert report.is_complete, report.as_dict()
        async with asyncio.timeout(5):
            closed = await closed_at
    return (closed - started) * 1e3, (done - started) * 1e3


def summary(what: str, values: list[float]) -> str:
    ordered = sorted(values)
    worst = f"max {ordered[-1]:.1f} ms"
    return f"{what}: p50 {statistics.median(ordered):.1f} ms, {worst} ({len(ordered)} rounds)"


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with brought_up(Path(folder) / "data", UpSettings(port=-1), lambda line: None) as up:
            times = [await one_round(up.desk, up.running.url, f"friend-{number}") for number in range(rounds)]
    print(summary("connection closed", [closed for closed, _ in times]))
    print(summary("command done", [done for _, done in times]))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
