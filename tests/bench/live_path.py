"""From `publish()` to `engine.submit`: how long one live signal takes, beside three others that do less.

One signal at a time, each contender in turn with every signal; all wait on the same two cores. Ours is signed, stored
and synced, verified, journaled and decided by all checks in between; bare nats-py is stored, synced, decoded and
acknowledged; FastAPI only sends; Redis stores, syncs, decodes and acknowledges.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import peers
from bench_signals import bench_signal, fresh
from harness import OURS, Bench, Goal, Measured, Round, Scale, spread
from wire import Wire, wired

from signal_contract.codec import encode
from signal_contract.model import Action

_HERE = Path(__file__).parent
_TIMEOUT_S = 10.0
_WARM_UP = 10

Publish = Callable[[str, bytes], Awaitable[None]]

BARE, FASTAPI, REDIS, OUTBOX = "bare nats-py", "FastAPI + WebSocket", "Redis Streams", "catalyst, by outbox"
GOALS = (
    Goal("p50 to bare nats-py", "p50_ms", whose=BARE, most=1.5),
    Goal("p99 to bare nats-py", "p99_ms", whose=BARE, most=1.5),
    Goal("p99 to FastAPI + WebSocket", "p99_ms", whose=FASTAPI, most=1.0),
    Goal("p50 to FastAPI + WebSocket", "p50_ms", whose=FASTAPI),
    Goal("p50 to Redis Streams", "p50_ms", whose=REDIS),
    Goal("p99 to Redis Streams", "p99_ms", whose=REDIS),
)


class Receiver:
    """A process of `receivers.py`; `received(id)` waits for its line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.pid = process.pid

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            assert await self._lines.readline() == b"ready\n"

    async def line(self, *, timeout_s: float) -> str:
        """The next thing it says."""
        async with asyncio.timeout(timeout_s):
            return (await self._lines.readline()).decode()

    async def received(self, signal_id: str) -> int:
        """When it had the signal, in ns."""
        async with asyncio.timeout(_TIMEOUT_S):
            while True:
                name, _, at = (await self._lines.readline()).decode().strip().partition(" ")
                if name == signal_id:
                    return int(at)
                if not name:
                    raise RuntimeError("a receiver has ended")


@contextlib.asynccontextmanager
async def receiving(*words: object) -> AsyncIterator[Receiver]:
    """Start a receiver, and end it."""
    command = [sys.executable, str(_HERE / "receivers.py"), *map(str, words)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        receiver = Receiver(process)
        await receiver.ready()
        yield receiver
    finally:
        process.kill()
        await process.wait()


class Contender:
    """One way from the operator to a friend."""

    def __init__(self, name: str, catalyst: str, publish: Publish, receiver: Receiver) -> None:
        self.name, self._catalyst, self._publish, self._receiver = name, catalyst, publish, receiver

    async def one(self, label: str, number: int) -> float:
        """Milliseconds from the call of publish until the friend's side has the signal."""
        signal_id, signal, payload = fresh(f"{self.name}-{label}", number, catalyst=self._catalyst)
        began = time.monotonic_ns()
        # Not awaited first: the friend may have it before the operator has his receipt.
        publishing = asyncio.ensure_future(self._publish(signal.subject, payload))
        received = await self._receiver.received(signal_id)
        await publishing
        return (received - began) / 1e6

    async def clear(self, label: str, number: int) -> None:
        """Close what the signal has opened, outside the time that counts: a friend holds five positions, not 500."""
        if self.name != OURS:
            return
        close = bench_signal(
            f"{self.name}-{label}", number, catalyst=self._catalyst, action=Action.CLOSE, at=datetime.now(UTC)
        )
        await self._publish(close.subject, encode(close))
        await self._receiver.received(close.signal_id)


@contextlib.asynccontextmanager
async def contenders() -> AsyncIterator[list[Contender]]:
    """All of them, connected and at rest."""
    async with contextlib.AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wired())
        yield [
            await _ours(wire, stack),
            await _bare(wire, stack),
            await _fastapi(stack),
            *([await _redis(stack)] if peers.has_redis() else []),
        ]


async def _ours(wire: Wire, stack: contextlib.AsyncExitStack) -> Contender:
    async def publish(subject: str, payload: bytes) -> None:
        # Signing is a part of publishing.
        headers = wire.headers(subject, payload, str(time.monotonic_ns()))
        await wire.publisher.publish_stored(subject, payload, headers=headers)

    config = await wire.friend("ours", ("signals.fda.*",))
    return Contender(OURS, "fda", publish, await stack.enter_async_context(receiving("catalyst", config)))


async def _bare(wire: Wire, stack: contextlib.AsyncExitStack) -> Contender:
    import nats

    creds = wire.up.desk.role_creds("publisher")
    connection = await nats.connect(wire.url, user_credentials=str(creds), inbox_prefix=b"_INBOX_publisher")
    stack.push_async_callback(connection.close)
    stream = connection.jetstream()

    async def publish(subject: str, payload: bytes) -> None:
        await stream.publish(subject, payload, headers={"Nats-Msg-Id": str(time.monotonic_ns())})

    await wire.friend("bare", ("signals.merger.*",))
    arguments = ("nats", wire.url, wire.creds_of("bare"), "bare")
    return Contender(BARE, "merger", publish, await stack.enter_async_context(receiving(*arguments)))


async def _fastapi(stack: contextlib.AsyncExitStack) -> Contender:
    import websockets

    port, _ = stack.enter_context(peers.fastapi_server())
    operator = await stack.enter_async_context(websockets.connect(f"ws://127.0.0.1:{port}/publish"))

    async def publish(_: str, payload: bytes) -> None:
        await operator.send(payload.decode())
        await operator.recv()

    return Contender(FASTAPI, "fda", publish, await stack.enter_async_context(receiving("fastapi", port)))


async def _redis(stack: contextlib.AsyncExitStack) -> Contender:
    import redis.asyncio

    port, _ = stack.enter_context(peers.redis_server())
    connection = redis.asyncio.Redis(port=port)
    stack.push_async_callback(connection.aclose)

    async def publish(_: str, payload: bytes) -> None:
        await connection.xadd("signals", {"body": payload})

    return Contender(REDIS, "fda", publish, await stack.enter_async_context(receiving("redis", port, "one")))


async def one_round(number: int, signals: int) -> Round:
    """Every signal goes to each contender, in turn."""
    async with contenders() as all_of_them:
        times: dict[str, list[float]] = {each.name: [] for each in all_of_them}
        for at in range(_WARM_UP + signals):
            for each in all_of_them:
                took = await each.one(str(number), at)
                if at >= _WARM_UP:
                    times[each.name].append(took)
                await each.clear(str(number), at)
        return [Measured(name, spread(found)) for name, found in times.items()]


def bench(scale: Scale) -> Bench:
    """`scale.of(300, 80)` signals a round."""
    rounds = [asyncio.run(one_round(at, scale.of(300, 80))) for at in range(scale.rounds)]
    size = len(encode(bench_signal("size", 0, at=datetime.now(UTC))))
    notes = [f"A signal is {size} bytes, and its signature 88."]
    return Bench(
        "live_path",
        "From publish() to engine.submit, one signal at a time",
        rounds,
        GOALS,
        notes if peers.has_redis() else [*notes, peers.WITHOUT_REDIS],
    )
