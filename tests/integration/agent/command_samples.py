"""What the command engine's tests share: a program made of `rude_engine.py`, orders for it, waiting on conditions."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.command.engine import CommandEngine
from subscriber_agent.engines.command.program import program_from
from subscriber_agent.engines.command.settings import CommandSettings
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import order_id_from
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

RUDE = Path(__file__).with_name("rude_engine.py")
AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
ENTRY = order_id_from("s1", "alice", Leg.ENTRY)


def a_plan(**changes) -> OrderPlan:
    fields = {
        "ticker": "ABCD",
        "side": Side.BUY,
        "leg": Leg.ENTRY,
        "quantity": D(100),
        "order_type": OrderType.LIMIT,
        "limit_price": D("5.05"),
        "stop_price": D("4.50"),
        "target_price": D("6"),
        "time_in_force": TimeInForce.DAY,
        "reference_price": D("5"),
        "reference_price_at": AT,
        "catalyst": "fda",
    }
    return OrderPlan(**{**fields, **changes})


def an_engine(home: Path, argv: list[str], *, idle_s: float = 15.0, environ=None, **settings) -> CommandEngine:
    """An engine whose program runs in `home`; its restarts come after the whole pause, never less."""
    fields = {"argv": argv, "timeout_s": 10, "start_timeout_s": 20, "is_paper": True, **settings}
    context = EngineContext(
        data=home, home=home, user="alice", environ=dict(os.environ) if environ is None else environ
    )
    chosen = CommandSettings.model_validate(fields)
    return CommandEngine(program_from(chosen, context), chosen, idle_s=idle_s, dice=lambda: 0.0)


def a_rude_engine(home: Path, fault: str, **changes) -> CommandEngine:
    return an_engine(home, [sys.executable, "-I", "-S", str(RUDE), fault], **changes)


@contextlib.asynccontextmanager
async def started(engine: CommandEngine) -> AsyncIterator[CommandEngine]:
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def until(condition: Callable[[], object], within_s: float = 8.0) -> None:
    """Wait until something is so; a deadline, never a fixed time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # a file or a process, which sets no event
            await asyncio.sleep(0.01)


async def until_up_again(engine: CommandEngine, before: int | None) -> None:
    """Wait until the program runs as another process than `before`, which had the fault."""
    await until(lambda: engine.pid not in (None, before))


def lines_of(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def lives(pid: int) -> bool:
    """Whether a process runs; one that is only waiting for its parent's look has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
