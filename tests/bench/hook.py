"""What the hook costs the bot: the time of an alert with it, less the time without, with the server up and away.

    python tests/bench/hook.py [alerts] [--json]

Every alert of the first runs is a new signal, signed and committed to the outbox before the bot's own alert is called;
in the last run every one is told that its signal exists already.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "stand_in"))

from catalyst_bot import runner

from publisher.intake.catalyst_bot import install
from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.up import UpSettings, brought_up
from signal_contract.resources import resource_path


def payloads(label: str, count: int) -> list[dict[str, Any]]:
    """Alerts for different news, in the shapes that the bot uses."""
    line = resource_path("config/samples/catalyst_bot_signals.jsonl").read_bytes().splitlines()[0]
    made = []
    for number in range(count):
        record = json.loads(line)
        record["news_item"] |= {"id": f"{label}-{number}", "price": 5.4}
        record["trading_signal"]["timestamp"] = datetime.now(UTC).isoformat()
        made.append(runner.payload_of(record, runner.SHAPES[number % 3]))
    return made


def alert_times(made: list[dict[str, Any]], pause_s: float) -> list[float]:
    """Milliseconds of each alert; the next one comes `pause_s` after it."""
    times = []
    for payload in made:
        started = time.perf_counter()
        runner.send_alert_safe(payload)
        times.append((time.perf_counter() - started) * 1e3)
        time.sleep(pause_s)
    return times


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    found = {"p50_ms": statistics.median(ordered), "p99_ms": p99, "max_ms": ordered[-1]}
    return {name: round(value, 3) for name, value in found.items()} | {"count": len(ordered)}


async def _up(data: Path, ready: threading.Event, stop: threading.Event) -> None:
    async with brought_up(data, UpSettings(port=-1), lambda line: None):
        ready.set()
        await asyncio.to_thread(stop.wait)


def measured(count: int, say: Callable[[str, dict[str, float]], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, ready, stop = Path(folder) / "data", threading.Event(), threading.Event()
        server = threading.Thread(target=lambda: asyncio.run(_up(data, ready, stop)))
        server.start()
        ready.wait(20)
        say("without", summary(alert_times(payloads("bare", count), 0)))
        # More than any cap lets through: the guard rails compare each alert with all of the last minute.
        (data / "publisher" / "guard.json").write_text('{"max_per_minute": 10000}')
        settings = read_settings(data, now=datetime.now(UTC))
        installed = install(SignalPublisher.start_thread(settings), module=runner)
        say("spaced", summary(alert_times(payloads("spaced", count), 0.02)))
        say("in_a_row", summary(alert_times(payloads("row", count), 0)))
        stop.set()
        server.join()
        say("server_away", summary(alert_times(payloads("away", count), 0.005)))
        say("known_already", summary(alert_times(payloads("away", count), 0.005)))
        installed.close(0.1)
        assert installed.counts["kept"] == 3 * count, installed.counts


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--json"]
    results: dict[str, dict[str, float]] = {}
    measured(int(words[0]) if words else 300, results.__setitem__)
    if "--json" in sys.argv:
        print(json.dumps(results))
        return
    for name, found in results.items():
        print(f"{name:<14} p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms, max {found['max_ms']:.2f} ms")


if __name__ == "__main__":
    main()
