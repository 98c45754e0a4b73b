"""Who receives what is measured, each as a process of its own: prints `ready`, then a line for each signal.

    python tests/bench/receivers.py catalyst CONFIG | nats URL CREDS USER | fastapi PORT | redis PORT GROUP
    python tests/bench/receivers.py catalyst_drain CONFIG | nats_drain URL CREDS USER COUNT

A line is the signal's id and the time in ns (CLOCK_MONOTONIC, the same in all processes of a machine): for the agent
when `engine.submit` is called, for the others when the signal is decoded (and acknowledged, where that exists). The
two that drain print how many there were, and the seconds that it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# More than any config may allow: hundreds of entries in a minute. The checks run all the same.
UNHINDERED = {"max_orders_per_minute": 10**6, "max_trades_per_day": 10**6, "max_losing_streak": 10**6}


def say(text: str) -> None:
    print(text, flush=True)


def told(payload: bytes | str) -> None:
    now = time.monotonic_ns()
    say(f"{json.loads(payload)['signal_id']} {now}")


async def catalyst(config_file: str) -> None:
    """The agent with a paper engine that says when it is called."""
    called_at: dict[str, int] = {}

    def report(event: str, facts: dict[str, Any]) -> None:
        if event == "caught_up":
            say("ready")
        elif event == "decision":
            # After the outcome is on disk: the next signal finds an agent at rest.
            said = facts["label"] if facts["ticker"] not in called_at else ""
            say(f"{facts['signal_id']} {said or called_at.pop(facts['ticker'])}")

    await _agent(config_file, report, called=lambda ticker: called_at.__setitem__(ticker, time.monotonic_ns()))


async def catalyst_drain(config_file: str) -> None:
    """The agent from its connection until it has caught up: what waited is verified, journaled, decided."""
    began = 0.0
    decided: Counter[str] = Counter()

    def report(event: str, facts: dict[str, Any]) -> None:
        nonlocal began
        if event == "connected":
            say("ready")
            began = time.monotonic()
        elif event == "decision":
            decided[facts["label"]] += 1
        elif event == "caught_up":
            seconds = time.monotonic() - began
            say(json.dumps({"count": decided.total(), "seconds": seconds, "labels": decided, "rss_mb": _rss_mb()}))

    await _agent(config_file, report, until_drained=True)


async def _agent(
    config_file: str,
    report: Callable[[str, dict[str, Any]], None],
    *,
    called: Callable[[str], None] = lambda ticker: None,
    until_drained: bool = False,
) -> None:
    """Composed as `subscriber-agent run` composes it, without the lines on a terminal."""
    from contextlib import closing
    from datetime import UTC, datetime

    from signal_contract.cli.collecting import collect_as_usual
    from subscriber_agent.cli.place import open_place
    from subscriber_agent.desk import Desk
    from subscriber_agent.disk import Disk
    from subscriber_agent.journal import Journal
    from subscriber_agent.settings.reload import ConfigWatcher
    from subscriber_agent.worker import Worker

    place = open_place(Path(config_file))
    engine: Any = place.engine()
    submit = engine.submit

    async def stamped(plan: Any, order_id: str) -> Any:
        called(plan.ticker)
        return await submit(plan, order_id)

    engine.submit = stamped
    config = place.config.model_copy(update={"risk": place.config.risk.model_copy(update=UNHINDERED)})
    with Journal.open(place.journal_file) as journal, closing(Disk.threaded()) as disk:
        watcher = ConfigWatcher(place.config_file, place.config, data=place.data, creds=None)
        desk = Desk(config, journal, engine, lambda: datetime.now(UTC), user=place.creds.user, disk=disk)
        worker = Worker(config, place.creds, journal, desk, report, disk=disk, watcher=watcher)
        collect_as_usual()
        await worker.run(asyncio.Event(), connect_timeout_s=10, until_drained=until_drained)


def _rss_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


async def nats(url: str, creds: str, user: str) -> None:
    """nats-py as its documentation shows it: a durable pull, JSON decoded, acknowledged."""
    import nats as client

    connection = await client.connect(url, user_credentials=creds, inbox_prefix=f"_INBOX_{user}".encode())
    stream = connection.jetstream(prefix="FEED")
    subscription = await stream.pull_subscribe_bind(durable=f"sub_{user}", stream="SIGNALS")
    say("ready")
    while True:
        try:
            messages = await subscription.fetch(1, timeout=20)
        except client.errors.TimeoutError:
            continue
        for message in messages:
            signal = json.loads(message.data)
            now = time.monotonic_ns()
            await message.ack()
            say(f"{signal['signal_id']} {now}")


async def nats_drain(url: str, creds: str, user: str, count: str) -> None:
    """nats-py as fast as it goes: batches of 100, JSON decoded, each acknowledged."""
    import nats as client

    connection = await client.connect(url, user_credentials=creds, inbox_prefix=f"_INBOX_{user}".encode())
    subscription = await connection.jetstream(prefix="FEED").pull_subscribe_bind(f"sub_{user}", "SIGNALS")
    say("ready")
    began, seen = time.monotonic(), 0
    while seen < int(count):
        for message in await subscription.fetch(100, timeout=20):
            json.loads(message.data)
            await message.ack()
            seen += 1
    await connection.flush()
    say(json.dumps({"count": seen, "seconds": time.monotonic() - began, "rss_mb": _rss_mb()}))


async def fastapi(port: str) -> None:
    """A WebSocket client that listens."""
    import websockets

    async with websockets.connect(f"ws://127.0.0.1:{port}/signals") as connection:
        say("ready")
        async for text in connection:
            told(text)


async def redis(port: str, group: str) -> None:
    """A consumer group of one: read, decode, acknowledge."""
    import redis.asyncio as client

    connection = client.Redis(port=int(port))
    await connection.xgroup_create("signals", group, id="$", mkstream=True)
    say("ready")
    while True:
        for _, entries in await connection.xreadgroup(group, "one", {"signals": ">"}, count=100, block=20_000):
            for entry_id, fields in entries:
                told(fields[b"body"])
                await connection.xack("signals", group, entry_id)


if __name__ == "__main__":
    kinds = (catalyst, catalyst_drain, nats, nats_drain, fastapi, redis)
    asyncio.run({each.__name__: each for each in kinds}[sys.argv[1]](*sys.argv[2:]))
