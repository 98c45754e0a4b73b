"""How long a lone signal takes until its receipt is on disk, and `submit()` while the server is away.

    python tests/bench/submit.py [signals] [--json]

The stream runs in the shipped configuration (loopback). `submit()` with the server up is in `publishing`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import spread
from publishing import signals, submit_times

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.up import UpSettings, brought_up
from signal_contract.model import Signal


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


async def measured(count: int, say: Callable[[str, dict[str, float]], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        async with brought_up(data, UpSettings(port=-1), lambda line: None):
            settings = read_settings(data, now=datetime.now(UTC))
            say("submit_to_receipt", spread(await stored_times(settings, signals("stored", count))))
        async with SignalPublisher(settings, background=True, closing_s=0.1) as publisher:
            say("submit_server_away", spread(await submit_times(publisher, signals("away", count), 0.002)))


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--json"]
    results: dict[str, dict[str, float]] = {}
    asyncio.run(measured(int(words[0]) if words else 300, results.__setitem__))
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    for name, found in results.items():
        print(f"{name:<20} p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms")


if __name__ == "__main__":
    main()
