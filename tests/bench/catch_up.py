"""Coming back: how fast what waited in the stream is drained, beside a bare nats-py that only reads and acknowledges.

    waited    as after a night away: entries older than the friend's limit, exits, things to watch; nothing is traded
    traded    all of it fresh by the friend's rules: orders go to the paper engine until his limits are reached

One stream, filled once; each contender of each round has a durable of its own from the first message on.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from bench_signals import bench_signal
from harness import OURS, Bench, Goal, Measured, Round, Scale
from live_path import receiving
from wire import RISK, Wire, wired

from signal_contract.codec import encode
from signal_contract.delivery import PubAck
from signal_contract.model import Action

BARE = "bare nats-py"
GOALS = (
    Goal("rate to bare nats-py", "per_s", whose=BARE, at="waited", least=0.5),
    Goal("signals a second", "per_s", at="waited", least=8000),
    Goal("rate to bare nats-py, where orders are made", "per_s", whose=BARE, at="traded", than_at="waited"),
)
# As Catalyst-Bot's signals are mixed: mostly buys, some exits, some that are only to be watched.
ACTIONS = (Action.BUY, Action.BUY, Action.CLOSE, Action.BUY, Action.WATCH)
_IN_FLIGHT = 512


async def fill(wire: Wire, label: str, count: int) -> None:
    """Store signals of an hour ago, many in flight; each is stored when it returns.

    Without its receipts the server would be behind by tens of thousands, and drops what is too much for it.
    """
    receipts: list[asyncio.Future[PubAck]] = []
    at = datetime.now(UTC) - timedelta(hours=1)
    for number in range(count):
        signal = bench_signal(label, number, action=ACTIONS[number % len(ACTIONS)], at=at)
        payload = encode(signal)
        headers = wire.headers(signal.subject, payload, f"{signal.signal_id}-1")
        receipts.append(await wire.publisher.send_stored(signal.subject, payload, headers=headers, timeout_s=60))
        if len(receipts) == _IN_FLIGHT:
            await asyncio.gather(*receipts)
            receipts.clear()
    await asyncio.gather(*receipts)


async def drained(*words: object) -> dict[str, Any]:
    """What a receiver says at its end."""
    async with receiving(*words) as receiver:
        return dict(json.loads(await receiver.line(timeout_s=900)))


def _measured(name: str, at: str, found: dict[str, Any]) -> Measured:
    return Measured(name, {"per_s": found["count"] / found["seconds"], "rss_mb": found["rss_mb"]}, at)


async def all_rounds(rounds: int, count: int, traded: int) -> list[Round]:
    """Fill once, then let every contender drain it in turn."""
    async with wired() as wire:
        for at in range(rounds):
            await wire.friend(f"ours-{at}")
            await wire.friend(f"bare-{at}")
        await fill(wire, "waited", count)
        found: list[Round] = []
        for at in range(rounds):
            bare = await drained("nats_drain", wire.url, wire.creds_of(f"bare-{at}"), f"bare-{at}", count)
            ours = await drained("catalyst_drain", wire.config_of(f"ours-{at}"))
            assert ours["count"] == count, ours
            found.append([_measured(BARE, "waited", bare), _measured(OURS, "waited", ours)])
    async with wired() as wire:
        for at in range(rounds):
            await wire.friend(f"ours-{at}", risk={**RISK, "max_age_s": 86_400, "max_clock_skew_s": 10})
        await fill(wire, "traded", traded)
        for at in range(rounds):
            ours = await drained("catalyst_drain", wire.config_of(f"ours-{at}"))
            found[at] = [*found[at], _measured(OURS, "traded", ours)]
    return found


def bench(scale: Scale) -> Bench:
    """100,000 signals that waited, 2,000 that lead to orders."""
    rounds = min(scale.rounds, 3)
    count, traded = scale.of(100_000, 2_000), scale.of(2_000, 200)
    return Bench(
        "catch_up",
        f"Draining what waited: {count:,} signals, {traded:,} of which orders may be made of",
        asyncio.run(all_rounds(rounds, count, traded)),
        GOALS,
        [f"Rounds here: {rounds}."],
    )
