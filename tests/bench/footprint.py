"""What the server needs for N friends: CPU a delivery, latency of one signal to all, memory, disk a signal.

    python tests/bench/footprint.py [users …] [--signals 200] [--storage file|memory|both] [--json FILE]

A real `catalyst up` on loopback, one connection and one durable a friend, each message acknowledged, everything synced
to disk (`sync_interval: always`). CPU and memory are nats-server's own, read from /proc, so this runs on Linux. Clients
share the machine: latencies are upper bounds. The numbers in docs/scale.md and signal_admin/cluster/capacity.py come
from here; they carry the date of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "admin"))

from cluster_crowd import Friend, connected, crowd_names, let_in
from harness import cpu_s, rss_mb

from signal_admin.apply import read_stream
from signal_admin.desk import make_desk
from signal_admin.prepare import make_ready
from signal_admin.up import Up, UpSettings, brought_up
from signal_contract.creds import read_creds
from signal_contract.link import Link, opened
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import FEEDBACK_STREAM, STREAM, durable_config, durable_name

_ROUND_TIMEOUT_S = 60.0
_GOLDEN = Path(__file__).parents[1] / "unit" / "golden" / "signal_v1_buy.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. CPU and memory are the server's; disk is what the stores grew by."""

    users: int
    storage: str
    signals: int
    cpu_us_per_delivery: float
    cpu_us_per_report: float
    to_all_p50_ms: float
    to_all_p99_ms: float
    rss_idle_mb: float
    rss_after_mb: float
    disk_bytes_per_signal: float
    disk_bytes_per_report: float
    consumer_bytes_per_user: float


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def all_have(friends: list[Friend], sequence: int) -> None:
    """Wait until every friend has a signal."""
    async with asyncio.timeout(_ROUND_TIMEOUT_S):
        for each in friends:
            while not each.got[sequence]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def in_memory(link: Link, names: tuple[str, ...]) -> None:
    """Make every durable again with its state in memory."""
    for name in names:
        await link.api(f"$JS.API.CONSUMER.DELETE.{STREAM}.{durable_name(name)}")
        config = durable_config(name, ("signals.*.*",), start_sequence=1) | {"mem_storage": True}
        body = {"stream_name": STREAM, "config": config, "action": "create"}
        await link.api(f"$JS.API.CONSUMER.CREATE.{STREAM}.{durable_name(name)}", body)


async def signals_to_all(publisher: Link, friends: list[Friend], count: int) -> list[float]:
    """Publish one after the other; milliseconds until the last friend has each."""
    payload = _GOLDEN.read_bytes()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        headers = {MESSAGE_ID_HEADER: secrets.token_hex(16), "Catalyst-Signature": secrets.token_hex(44)}
        sequence = (await publisher.publish_stored("signals.fda.ACME", payload, headers=headers)).sequence
        await all_have(friends, sequence)
        times.append((time.perf_counter() - began) * 1e3)
    for each in friends:
        await each.link.flush()
    return times


async def measured(users: int, storage: str, signals: int) -> Measured:
    """One server, one crowd."""
    names = crowd_names(users)
    with tempfile.TemporaryDirectory() as folder:
        desk, settings = make_desk(Path(folder) / "data"), UpSettings(port=-1)
        make_ready(desk, settings, datetime.now(UTC))
        let_in(desk, names)
        async with (
            brought_up(desk.root, settings, lambda line: None) as up,
            opened([up.running.url], read_creds(desk.role_creds("admin")), label="bench") as admin,
        ):
            if storage == "memory":
                await in_memory(admin, names)
            return await _one_run(up, admin, names, storage, signals)


async def _one_run(up: Up, admin: Link, names: tuple[str, ...], storage: str, signals: int) -> Measured:
    desk, pid, jetstream = up.desk, up.running.nats_pid, up.desk.jetstream
    async with (
        connected(desk, names, [up.running.url]) as friends,
        opened([up.running.url], read_creds(desk.role_creds("publisher")), label="bench-publisher") as publisher,
    ):
        for each in friends:
            await each.begin()
        await signals_to_all(publisher, friends, 3)
        idle, before = rss_mb(pid), cpu_s(pid)
        times = await signals_to_all(publisher, friends, signals)
        await asyncio.sleep(0.5)  # what is written behind is counted too
        cpu = cpu_s(pid) - before
        stored = await _bytes(admin, STREAM)
        before, rounds = cpu_s(pid), max(1, 400 // len(friends))
        for _ in range(rounds):
            await asyncio.gather(*(each.tell_position() for each in friends))
        report_cpu = cpu_s(pid) - before
        reports = await _bytes(admin, FEEDBACK_STREAM)
        return Measured(
            users=len(names),
            storage=storage,
            signals=signals,
            cpu_us_per_delivery=round(cpu / (signals * len(names)) * 1e6, 1),
            cpu_us_per_report=round(report_cpu / (rounds * len(names)) * 1e6, 1),
            to_all_p50_ms=round(statistics.median(times), 1),
            to_all_p99_ms=round(statistics.quantiles(times, n=100)[-1], 1),
            rss_idle_mb=round(idle, 1),
            rss_after_mb=round(rss_mb(pid), 1),
            disk_bytes_per_signal=round(stored, 1),
            disk_bytes_per_report=round(reports, 1),
            consumer_bytes_per_user=round(_consumer_bytes(jetstream) / len(names), 1),
        )


async def _bytes(admin: Link, stream: str) -> float:
    info = await read_stream(admin, stream)
    assert info is not None
    return int(info["state"]["bytes"]) / int(info["state"]["messages"])


def _consumer_bytes(jetstream: Path) -> int:
    return sum(disk_bytes(folder) for folder in jetstream.rglob(f"streams/{STREAM}/obs"))


def _lines(rows: list[Measured]) -> list[str]:
    names = list(asdict(rows[0]))
    return [" | ".join(names), *(" | ".join(str(value) for value in asdict(row).values()) for row in rows)]


async def main(users: list[int], storages: list[str], signals: int) -> list[Measured]:
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    rows = []
    for count in users:
        for storage in storages:
            rows.append(await measured(count, storage, max(20, min(signals, 20_000 // count))))
            print(_lines(rows)[-1], flush=True)
    print("\n".join(_lines(rows)))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("users", type=int, nargs="*", default=[5, 20, 100, 300])
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--storage", choices=("file", "memory", "both"), default="both")
    parser.add_argument("--json", type=Path)
    told = parser.parse_args()
    chosen = ["file", "memory"] if told.storage == "both" else [told.storage]
    found = asyncio.run(main(told.users, chosen, told.signals))
    if told.json is not None:
        told.json.write_text(json.dumps([asdict(row) for row in found], indent=2) + "\n")
