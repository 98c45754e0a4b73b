"""Publishing: from `submit()` to the stream's receipt on disk, against bare nats-py's `js.publish` of the same bytes.

    python tests/bench/run.py publishing [--quick]

Ours signs a signal, commits it to the outbox, sends it and commits its receipt; bare nats-py has the signed bytes
ready and sends them. Both wait for the stream, which syncs each message to disk, in the shipped configuration on
loopback. `window=16` are that many callers at once: each one publishes, waits for its receipt, and publishes again.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
from harness import OURS, Bench, Goal, Measured, Round, Scale, spread

from publisher.entry import Receipt, entry_from
from publisher.intake.outcome import Draft
from publisher.intake.record import Intake
from publisher.service import SignalPublisher
from publisher.settings import PublisherSettings, read_settings
from signal_admin.up import UpSettings, brought_up
from signal_contract.model import Signal
from signal_contract.resources import resource_path
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER

BARE = "bare nats-py"
_WINDOWS = (1, 16, 64)
_SPACED_S = 0.01
_PATIENCE_S = 60.0
_GOALS = (
    Goal("catalyst / bare nats-py, one at a time", "per_s", whose=BARE, at="window=1"),
    Goal("catalyst / bare nats-py, 16 at once", "per_s", whose=BARE, at="window=16", least=0.7),
    Goal("catalyst / bare nats-py, 64 at once", "per_s", whose=BARE, at="window=64", least=0.7),
)


def bench(scale: Scale) -> Bench:
    """Throughput of both at each window, how long `submit()` alone takes, and how fast a backlog goes out."""
    found = Bench("publishing", "Publishing: submit to receipt, through the outbox", goals=_GOALS)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_rounds(Path(folder) / "data", scale, found.rounds))
    return found


async def _rounds(data: Path, scale: Scale, found: list[Round]) -> None:
    async with brought_up(data, UpSettings(port=-1), lambda line: None):
        settings = read_settings(data, now=datetime.now(UTC))
        await _warmed_up(settings)
        for number in range(scale.rounds):
            found.append(await _round(settings, scale.of(1000, 150), f"round{number}"))


async def _warmed_up(settings: PublisherSettings) -> None:
    for name, contender in _CONTENDERS.items():
        await contender(settings, signals(f"warm-up-{name.partition(' ')[0]}", 50), 4)


async def _round(settings: PublisherSettings, count: int, label: str) -> Round:
    measured = []
    for window in _WINDOWS:
        for name, contender in _CONTENDERS.items():
            made = signals(f"{label}-{window}-{name.partition(' ')[0]}", count)
            measured.append(Measured(name, {"per_s": await contender(settings, made, window)}, f"window={window}"))
    drained = await _backlog(settings, signals(f"{label}-backlog", count))
    async with SignalPublisher(settings, background=True) as publisher:
        spaced = spread(await submit_times(publisher, signals(f"{label}-spaced", count // 4), _SPACED_S))
        in_a_row = spread(await submit_times(publisher, signals(f"{label}-row", count // 4), 0))
    return [
        *measured,
        Measured(OURS, {"per_s": drained}, "backlog"),
        Measured(OURS, spaced, "submit, 10 ms apart"),
        Measured(OURS, in_a_row, "submit, in a row"),
    ]


def signals(label: str, count: int) -> list[Signal]:
    """Different signals of the usual size, 1.1 kB on the wire."""
    record = json.loads(resource_path("config/samples/catalyst_bot_signals.jsonl").read_bytes().splitlines()[0])
    made = []
    for number in range(count):
        record["news_item"]["id"] = f"{label}-{number}"
        outcome = Intake(datetime.now(UTC)).outcome(json.dumps(record).encode())
        assert isinstance(outcome, Draft)
        made.append(outcome.signal)
    return made


async def _at_once(count: int, window: int, publish: Callable[[int], Awaitable[Any]]) -> float:
    """How many a second when `window` callers take turns at `count` numbers, each waiting for its receipt."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await publish(number)

    started = time.perf_counter()
    async with asyncio.timeout(_PATIENCE_S), asyncio.TaskGroup() as callers:
        for _ in range(window):
            callers.create_task(caller())
    return count / (time.perf_counter() - started)


async def _catalyst(settings: PublisherSettings, made: Sequence[Signal], window: int) -> float:
    stored = {each.message_id: asyncio.Event() for each in made}
    async with _publisher(settings, lambda receipt: stored[receipt.message_id].set()) as publisher:

        async def publish(number: int) -> None:
            await publisher.submit(made[number])
            await stored[made[number].message_id].wait()

        await publish(len(made) - 1)  # connects
        return await _at_once(len(made) - 1, window, publish)


def _publisher(settings: PublisherSettings, on_receipt: Callable[[Receipt], None]) -> SignalPublisher:
    return SignalPublisher(settings, background=True, on_receipt=on_receipt)


async def _bare(settings: PublisherSettings, made: Sequence[Signal], window: int) -> float:
    entries = [entry_from(each, settings.signer) for each in made]
    prefix, creds = settings.creds.inbox_prefix, str(settings.creds.path)
    connection = await nats.connect(list(settings.servers), user_credentials=creds, inbox_prefix=prefix)
    try:
        stream = connection.jetstream()

        async def publish(number: int) -> None:
            entry = entries[number]
            headers = {MESSAGE_ID_HEADER: entry.message_id, SIGNATURE_HEADER: entry.signature}
            await stream.publish(entry.subject, entry.payload, headers=headers)

        await publish(len(made) - 1)  # subscribes to its inbox
        return await _at_once(len(made) - 1, window, publish)
    finally:
        await connection.close()


_CONTENDERS = {OURS: _catalyst, BARE: _bare}


async def _backlog(settings: PublisherSettings, made: Sequence[Signal]) -> float:
    """Signals a second: the publisher starts beside an outbox in which all wait, and ends with the last receipt."""
    async with SignalPublisher(settings) as publisher:
        await publisher.submit_many(made)
    received = 0
    last = asyncio.Event()

    def on_receipt(_: Receipt) -> None:
        nonlocal received
        received += 1
        if received == len(made):
            last.set()

    started = time.perf_counter()
    async with _publisher(settings, on_receipt), asyncio.timeout(_PATIENCE_S):
        await last.wait()
        return len(made) / (time.perf_counter() - started)


async def submit_times(publisher: SignalPublisher, made: Sequence[Signal], pause_s: float) -> list[float]:
    """Milliseconds of each `submit()` alone; the next one comes `pause_s` after it, while the background sends."""
    times = []
    for signal in made:
        started = time.perf_counter()
        await publisher.submit(signal)
        times.append((time.perf_counter() - started) * 1e3)
        await asyncio.sleep(pause_s)
    return times
