"""The paper engine as a process that is killed: what was committed is there, once, and what was not never happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from subscriber_agent.engines.paper.account import account_beside

_PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.paper.engine import PaperEngine
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

def clock():
    return datetime.now(UTC)

def plan(number):
    return OrderPlan("ABCD", Side.BUY, Leg.ENTRY, Decimal(10), OrderType.MARKET, None, Decimal(4), Decimal(6),
                     TimeInForce.DAY, Decimal(5), clock(), "fda")

async def main():
    engine = PaperEngine(Path(sys.argv[1]), clock=clock, has_own_thread=True)
    await engine.start()
    for number in range(5):
        print((await engine.submit(plan(number), f"cs-{number}-entry")).state, flush=True)
    await engine.observe("ABCD", Decimal(3), clock())
    print(len(await engine.positions()), flush=True)
    await engine.close()

asyncio.run(main())
"""


def _run(data: Path, stop_at: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "CATALYST_STOP_AT": stop_at}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(data)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (-signal.SIGKILL if stop_at else 0), done.stderr
    return done


@pytest.mark.parametrize("passes", [1, 3, 6])
def test_a_kill_after_the_commit_loses_nothing_and_repeats_nothing(tmp_path: Path, passes: int) -> None:
    said = _run(tmp_path, f"paper.committed:{passes}").stdout.split()
    assert said == ["FILLED"] * (passes - 1 if passes < 6 else 5)
    before, held = account_beside(tmp_path)
    # The order was committed and nobody heard of it: five entries at most, or all of them stopped out at 3.
    assert before.cash == (10_000 - 50 * passes if passes < 6 else 10_000 - 250 + 150)
    assert sum(each.quantity for each in held) == (10 * passes if passes < 6 else 0)
    assert _run(tmp_path).stdout.split()[-1] == "0"
    after, _ = account_beside(tmp_path)
    assert after.cash == 10_000 - 250 + 150
