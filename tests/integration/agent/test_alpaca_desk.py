"""The desk over Alpaca's stand-in by real sockets: what the account went through, by the stand-in's own orders."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest_asyncio
from alpaca_stand_in import OVER, StandIn
from test_alpaca_engine import REGULAR, Clock, engine_for

sys.path.insert(0, str(Path(__file__).parents[2] / "unit/agent"))

from agent_samples import a_close, a_signal
from desk_samples import Watched

from subscriber_agent.journal import Journal

TIMES = {"published_at": REGULAR, "reference_price_at": REGULAR, "classified_at": REGULAR - timedelta(seconds=1)}


def a_buy(ticker: str = "ACME") -> Any:
    changes = {"reference_price": Decimal(10), "stop_price": Decimal("9.5"), "target_price": Decimal("11.2")}
    return a_signal(ticker=ticker, expires_at=REGULAR + timedelta(hours=2), **changes, **TIMES)


def a_sale() -> Any:
    return a_close(news="news-2", ticker="ACME", reference_price=Decimal(10), **TIMES)


class Alice:
    """Her desk over an Alpaca account; `again` is the next process over the same journal."""

    def __init__(self, broker: StandIn, folder: Path) -> None:
        self.broker, self.clock, self._folder = broker, Clock(), folder
        self.journal = Journal.open(folder / "journal.sqlite")
        self.engine: Any = None

    async def again(self) -> None:
        if self.engine is not None:
            await self.engine.close()
        self.engine = engine_for(self.broker, self.clock, self._folder)
        await self.engine.start()
        self.watched = Watched(self.journal, self.engine, clock=self.clock, release_s=1.0)

    async def settled(self, *signals: Any) -> list[str]:
        return await self.watched.settled(*signals)

    async def buys(self) -> None:
        """An entry with its legs, seen to be filled and stopped."""
        assert await self.settled(a_buy()) == ["ACCEPTED"]
        await self.tended(1)
        assert self.held == self.stops > 0
        assert self.is_protected

    async def tended(self, times: int = 4) -> None:
        for _ in range(times):
            # Quotes and signals of the stand-in are of one moment: a short while only.
            self.clock.now += timedelta(seconds=4)
            await self.watched.desk.tend()

    @property
    def held(self) -> Decimal:
        return self.broker.held.get("ACME", (Decimal(0), Decimal(0)))[0]

    def ids(self, leg: str) -> list[str]:
        names = (str(each["client_order_id"]) for each in self.broker.orders.values())
        return [each for each in names if each.startswith("cs-") and each.endswith(f"-{leg}")]

    @property
    def entry(self) -> dict[str, Any]:
        (entry_id,) = self.ids("entry")
        return self.broker.order(entry_id)

    @property
    def stops(self) -> Decimal:
        """Shares that a working sell stop would close."""
        open_ones = (e for e in self.broker.orders.values() if e["type"] == "stop" and e["status"] not in OVER)
        return sum((Decimal(each["qty"]) - Decimal(each["filled_qty"]) for each in open_ones), Decimal(0))

    @property
    def is_protected(self) -> bool:
        return [each.state.value for each in self.journal.protections()] == ["CONFIRMED"]


@pytest_asyncio.fixture
async def alice(tmp_path: Path) -> AsyncIterator[Alice]:
    broker = StandIn()
    await broker.start()
    found = Alice(broker, tmp_path)
    await found.again()
    yield found
    await found.engine.close()
    found.journal.close()
    await broker.stop()


async def test_an_entry_whose_answer_was_lost_is_found_protected_and_ordered_once(alice: Alice) -> None:
    alice.broker.fail_next("POST", "/v2/orders", "drop", after_accepting=True)
    await alice.settled(a_buy())
    await alice.again()
    await alice.tended()
    assert len(alice.ids("entry")) == 1
    assert alice.held == alice.stops > 0
    assert alice.is_protected


async def test_a_close_ends_the_legs_first_and_sells_once(alice: Alice) -> None:
    await alice.buys()
    await alice.settled(a_sale())
    await alice.tended()
    assert (alice.held, alice.stops, len(alice.ids("exit"))) == (0, 0, 1)


async def test_a_stop_that_filled_before_our_exit_leaves_no_short(alice: Alice) -> None:
    await alice.buys()
    alice.broker.gives_updates = False
    await alice.broker.trigger_stop(alice.ids("entry")[0], "9.4")
    assert await alice.settled(a_sale()) in (["ABANDONED"], ["NO_POSITION"])
    await alice.tended()
    assert (alice.held, alice.ids("exit")) == (0, [])
    assert [each.leg.value for each in alice.journal.fills()] == ["entry", "stop"]


async def test_an_exit_whose_answer_was_lost_before_a_restart_sells_once(alice: Alice) -> None:
    await alice.buys()
    alice.broker.fail_next("POST", "/v2/orders", "drop", after_accepting=True)
    await alice.settled(a_sale())
    await alice.again()
    await alice.tended()
    assert (alice.held, alice.stops, len(alice.ids("exit"))) == (0, 0, 1)
    assert alice.journal.open_intents() == []


async def test_a_part_that_filled_before_the_line_broke_is_protected_or_closed(alice: Alice) -> None:
    alice.broker.fills_at_once = False
    await alice.settled(a_buy())
    alice.broker.fail_next("GET", "/v2", "drop", times=6)
    await alice.broker.fill(alice.entry, "4")
    for _ in range(3):
        await alice.again()
    await alice.tended(20)
    # What has not filled after a minute is cancelled; what has, has a stop or is gone.
    assert alice.entry["status"] in OVER
    assert alice.stops == alice.held
    assert alice.held >= 0


async def test_his_own_shares_beside_ours_stay_in_a_flatten(alice: Alice) -> None:
    await alice.buys()
    alice.broker.held["ACME"] = (alice.held + 7, Decimal(10))
    alice.journal.request_flatten("all", alice.clock.now)
    await alice.tended()
    assert (alice.held, alice.stops) == (7, 0)
