"""One signal to N friends, who all receive it: time until the last one has it, the server's CPU and its memory.

The contenders: this project with the friends' places on disk and in memory, FastAPI + WebSocket (stores nothing, waits
for no acknowledgement; with a thousand friends also compressed, as browsers and the usual libraries ask for it), Redis
Streams (a consumer group for each friend, every write synced, acknowledged). The clients are bare sockets, all in one
process on uvloop, with the operator: see `crowd_process` and `raw_clients`. They share the machine with the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "admin"))

import peers
from cluster_crowd import creds_path, crowd_names, let_in
from harness import OURS, Bench, Goal, Measured, Scale, cpu_s, rss_mb, spread

from signal_admin.cluster.consumers import brought_in_step
from signal_admin.cluster.settings import ScaleSettings, keep_scale
from signal_admin.desk import make_desk
from signal_admin.prepare import make_ready
from signal_admin.registry import registry_held
from signal_admin.up import UpSettings, brought_up
from signal_contract.codec import decode
from signal_contract.creds import read_creds
from signal_contract.link import opened
from signal_contract.permissions import RoleName
from signal_contract.signing import Signer

DISK, MEMORY = "disk", "memory"
FASTAPI, COMPRESSED, REDIS = "fastapi", "fastapi, compressed", "redis"
_GOLDEN = Path(__file__).parents[1] / "unit" / "golden" / "signal_v1_buy.json"
_ROUNDS = 3
# Signals of a round by number of friends; with places on disk a thousand take half a second each.
_SIGNALS = {10: 150, 50: 100, 300: 100, 1000: 150}
_SIGNALS_QUICK, _SIGNALS_ON_DISK_1000 = 40, 20
_WARM_UP, _REST_S, _SETTLE_S = 5, 0.02, 0.5
_QUIET_TIMEOUT_S, _ANSWER_TIMEOUT_S = 20.0, 120.0


@dataclass(frozen=True, slots=True)
class Stand:
    """A contender that runs: its server, and who connects to it; the first of `names` publishes."""

    contender: str
    at: str
    protocol: str
    port: int
    pid: int
    names: Sequence[str]
    signals: int


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# The servers -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def catalyst(friends: int, place: str, signals: int) -> AsyncIterator[Stand]:
    """`catalyst up` as shipped; in memory as `catalyst cluster consumers --memory-above` puts them there."""
    names = crowd_names(friends)
    with tempfile.TemporaryDirectory() as folder:
        desk, settings = make_desk(Path(folder) / "data"), UpSettings(port=-1)
        make_ready(desk, settings, datetime.now(UTC))
        let_in(desk, names)
        async with brought_up(desk.root, settings, lambda line: None) as up:
            if place == MEMORY:
                keep_scale(desk, ScaleSettings(memory_consumers_above=1))
                admin = read_creds(desk.role_creds(RoleName.ADMIN))
                async with registry_held(desk), opened([up.running.url], admin, label="bench") as link:
                    await brought_in_step(link, desk)
            creds = [desk.role_creds(RoleName.PUBLISHER), *(creds_path(desk, name) for name in names)]
            at, running = f"n={friends} {place}", up.running
            yield Stand(OURS, at, "raw_nats", running.port, running.nats_pid, [str(each) for each in creds], signals)


@contextlib.asynccontextmanager
async def standing(friends: int, scale: Scale) -> AsyncIterator[list[Stand]]:
    """All contenders for so many friends; they idle while it is not their turn."""
    signals = scale.of(_SIGNALS[friends], _SIGNALS_QUICK)
    names, at = ["operator", *crowd_names(friends)], f"n={friends}"
    async with contextlib.AsyncExitStack() as stack:
        on_disk = min(signals, _SIGNALS_ON_DISK_1000) if friends >= 1000 else signals
        found = [await stack.enter_async_context(catalyst(friends, DISK, on_disk))]
        found.append(await stack.enter_async_context(catalyst(friends, MEMORY, signals)))
        port, pid = stack.enter_context(peers.fastapi_server())
        found.append(Stand(FASTAPI, at, "raw_websocket", port, pid, names, signals))
        if friends >= 1000:
            port, pid = stack.enter_context(peers.fastapi_server())
            found.append(Stand(COMPRESSED, at, "raw_deflate", port, pid, names, signals))
        if peers.has_redis():
            port, pid = stack.enter_context(peers.redis_server())
            found.append(Stand(REDIS, at, "raw_redis", port, pid, names, signals))
        yield found


# Measuring ---------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def crowd(stand: Stand, job: dict[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The clients' process, once all of them listen."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("crowd_process.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        who = {"protocol": stand.protocol, "port": stand.port, "names": stand.names}
        await asked(process, job | who)
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()


async def asked(process: asyncio.subprocess.Process, question: dict[str, Any]) -> Any:
    """One line to the clients, one line from them."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(_json(question) + b"\n")
    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the clients' process ended before it answered")
    return json.loads(line)


async def quiet(pid: int) -> None:
    """Wait until a server has done what logging in left behind (audit entries, for one)."""
    deadline, before = asyncio.get_running_loop().time() + _QUIET_TIMEOUT_S, cpu_s(pid)
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.25)
        now = cpu_s(pid)
        if now - before <= 0.01:
            return
        before = now


async def measured(stand: Stand, job: dict[str, Any]) -> Measured:
    """One contender's turn."""
    async with crowd(stand, job) as clients:
        await quiet(stand.pid)
        await asked(clients, {"signals": _WARM_UP, "rest_s": _REST_S})
        before = cpu_s(stand.pid)
        times = await asked(clients, {"signals": stand.signals, "rest_s": _REST_S})
        await asyncio.sleep(_SETTLE_S)  # what is written behind is counted too
        deliveries = stand.signals * (len(stand.names) - 1)
        cpu_us = (cpu_s(stand.pid) - before) / deliveries * 1e6
        figures = {**spread(times), "cpu_us_per_delivery": cpu_us, "rss_mb": rss_mb(stand.pid)}
        return Measured(stand.contender, figures, stand.at)


async def _rounds(scale: Scale, sizes: Sequence[int], rounds: int) -> list[list[Measured]]:
    content = _GOLDEN.read_bytes().strip()
    subject = decode(content).subject
    job = {"subject": subject, "payload": content.decode(), "signature": Signer.generate().sign(subject, content)}
    found: list[list[Measured]] = [[] for _ in range(rounds)]
    for friends in sizes:
        async with standing(friends, scale) as stands:
            for each in found:
                each += [await measured(stand, job) for stand in stands]
    return found


def goals(sizes: Sequence[int]) -> list[Goal]:
    """What it is held against: FastAPI at the largest size. The other ratios are told."""
    largest, found = sizes[-1], []
    # At fifty friends the one sync of a signal weighs more than all sends: the guard only asks that this does not grow.
    p99, cpu = (1.0, 1.3) if largest >= 1000 else (3.0, 3.0)
    for friends, place in dict.fromkeys(((largest, MEMORY), (50, DISK), (largest, DISK))):
        where = "in memory" if place == MEMORY else "on disk"
        for peer in (FASTAPI, COMPRESSED, REDIS):
            for figure, words, most in (("p99_ms", "p99", p99), ("cpu_us_per_delivery", "CPU a delivery", cpu)):
                limit = most if place == MEMORY and peer == FASTAPI else None
                name = f"{words}, {friends} friends, places {where}: {OURS} / {peer}"
                at = f"n={friends} {place}"
                found.append(Goal(name, figure, whose=peer, at=at, than_at=f"n={friends}", most=limit))
    return found


def bench(scale: Scale) -> Bench:
    """Rounds for 10, 50, 300 and 1000 friends; the quick form knows 50 only."""
    sizes, rounds = ([50], 1) if scale.is_quick else ([10, 50, 300, 1000], min(scale.rounds, _ROUNDS))
    notes = [
        f"{rounds} round{'s' if rounds > 1 else ''}; one signal of {_GOLDEN.stat().st_size} bytes after the other, "
        f"{_REST_S * 1e3:.0f} ms of rest between them; all friends are one process beside the server. "
        "p99 of 100 signals or fewer is the slowest of them."
    ]
    notes += [] if peers.has_redis() else [peers.WITHOUT_REDIS]
    title = "One signal to N friends: until the last one has it; the server's CPU a delivery, and its memory"
    return Bench("fan_out", title, asyncio.run(_rounds(scale, sizes, rounds)), goals(sizes), notes)
