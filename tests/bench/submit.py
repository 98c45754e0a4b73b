"""How long `SignalPublisher.submit` takes: until a signal is signed and synced to disk, with the server up and away.

    python tests/bench/submit.py [signals] [--json]

The stream runs in the shipped configuration (loopback); the background sends while signals are being submitted.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publisher.intake.outcome import Draft
from publisher.intake.record import Intake
from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.up import UpSettings, brought_up
from signal_contract.model import Signal
from signal_contract.resources import resource_path


def signals(label: str, count: int) -> list[Signal]:
    """Different signals of the usual size."""
    record = json.loads(resource_path("config/samples/catalyst_bot_signals.jsonl").read_bytes().splitlines()[0])
    made = []
    for number in range(count):
        record["news_item"]["id"] = f"{label}-{number}"
        outcome = Intake(datetime.now(UTC)).outcome(json.dumps(record).encode())
        assert isinstance(outcome, Draft)
        made.append(outcome.signal)
    return made


async def submit_times(publisher: SignalPublisher, made: list[Signal], pause_s: float) -> list[float]:
    """Milliseconds of each submit; the next one comes `pause_s` after it."""
    times = []
    for signal in made:
        started = time.perf_counter()
        await publisher.submit(signal)
        times.append((time.perf_counter() - started) * 1e3)
        await asyncio.sleep(pause_s)
    return times


async def stored_times(settings: Any, made: list[Signal]) -> list[float]:
    """Milliseconds from the call of submit until the stream's receipt is confirmed on disk, one signal at a time."""
    received, times = asyncio.Event(), []
    async with SignalPublisher(settings, background=True, on_receipt=lambda _: received.set()) as publisher:
        await asyncio.sleep(0.5)
        for signal in made:
            received.clear()
            started = time.perf_counter()
            await publisher.submit(signal)
            async with asyncio.timeout(10):
                await received.wait()
            times.append((time.perf_counter() - started) * 1e3)
    return times


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"p50_ms": round(statistics.median(ordered), 3), "p99_ms": round(p99, 3), "count": len(ordered)}


async def measured(count: int, say: Callable[[str, dict[str, float]], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        async with brought_up(data, UpSettings(port=-1), lambda line: None):
            settings = read_settings(data, now=datetime.now(UTC))
            async with SignalPublisher(settings, background=True) as publisher:
                say("submit_spaced", summary(await submit_times(publisher, signals("spaced", count), 0.01)))
                say("submit_in_a_row", summary(await submit_times(publisher, signals("row", count), 0)))
                await publisher.flush(30)
            say("submit_to_receipt", summary(await stored_times(settings, signals("stored", count))))
        async with SignalPublisher(settings, background=True, closing_s=0.1) as publisher:
            say("submit_server_away", summary(await submit_times(publisher, signals("away", count), 0.002)))


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--json"]
    results: dict[str, dict[str, float]] = {}
    asyncio.run(measured(int(words[0]) if words else 300, results.__setitem__))
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    for name, found in results.items():
        print(f"{name:<20} p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms ({found['count']} signals)")


if __name__ == "__main__":
    main()
