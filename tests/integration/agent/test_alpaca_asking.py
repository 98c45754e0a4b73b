"""What a decision asks of Alpaca, by real sockets: all of it at once, each thing once, and nothing twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alpaca_stand_in import StandIn
from test_alpaca_desk import Alice, a_buy, a_sale, alice
from test_alpaca_engine import ENTRY, ENTRY_ID, Clock, Start, alpaca, clock, engine_for, start

from subscriber_agent.engines.engine import EngineSilent

__all__ = ["alice", "alpaca", "clock", "start"]  # fixtures

AWAY_S = 0.2
FOUR = {"/v2/account", "/v2/positions", "/v2/stocks/snapshots", "/v2/assets/ACME"}


def asked_since(broker: StandIn, count: int) -> Counter[str]:
    return Counter(path for _, path, _ in broker.requests[count:])


async def gathered(alice: Alice) -> Any:
    return await alice.watched.desk._handover.gathered(alice.watched.desk._rules, "ACME")


def failures(alice: Alice) -> int:
    return alice.journal.breaker("alpaca").failures


async def test_account_positions_quote_and_symbol_are_under_way_together(alice: Alice) -> None:
    alice.broker.answers_after_s, alice.broker.most_at_once = AWAY_S, 0
    before, began = len(alice.broker.requests), time.monotonic()
    assert await alice.settled(a_buy()) == ["ACCEPTED"]
    asked = asked_since(alice.broker, before)
    assert asked == Counter([*FOUR, "/v2/orders"])
    assert alice.broker.most_at_once == 4
    # The order went out after one way there and back; the second one is its own.
    posted = [
        at for (method, *_), at in zip(alice.broker.requests, alice.broker.asked_at, strict=True) if method == "POST"
    ]
    assert AWAY_S <= posted[0] - began < 2 * AWAY_S


async def test_the_word_on_a_ticker_comes_from_the_quote_of_the_same_look(alice: Alice) -> None:
    for _ in range(2):
        before = len(alice.broker.requests)
        said = await gathered(alice)
        assert (said.quote.bid, said.symbol.is_halted, said.symbol.is_tradable) == (Decimal(10), False, True)
        assert asked_since(alice.broker, before)["/v2/stocks/snapshots"] == 1
    # The flags are remembered for an hour; whether it is halted never is.
    assert set(asked_since(alice.broker, before)) == FOUR - {"/v2/assets/ACME"}


async def test_a_symbol_asked_alone_asks_for_the_last_trade_itself(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    before = len(alpaca.requests)
    symbol = await engine.symbol("ACME")
    assert symbol is not None
    assert symbol.is_halted is False
    assert asked_since(alpaca, before) == Counter(["/v2/assets/ACME", "/v2/stocks/snapshots"])


@pytest.mark.parametrize(
    "paths", [["/v2/account"], ["/v2/positions", "/v2/assets"], ["/v2"]], ids=["one", "two", "all"]
)
async def test_a_look_that_fails_is_one_fault(alice: Alice, paths: list[str]) -> None:
    for each in paths:
        alice.broker.fail_next("GET", each, 500, times=2 if len(paths) > 1 or each != "/v2" else 8)
    with pytest.raises(EngineSilent, match="500"):
        await gathered(alice)
    assert failures(alice) == 1
    assert (await gathered(alice)).quote is not None


async def test_looks_that_are_given_up_do_not_hold_up_the_next_one(alice: Alice) -> None:
    for _ in range(2):
        for each in ("/v2/account", "/v2/positions", "/v2/stocks", "/v2/assets"):
            alice.broker.fail_next("GET", each, "hang")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await gathered(alice)
    began = time.monotonic()
    assert (await gathered(alice)).account.cash == alice.broker.cash
    assert time.monotonic() - began < 0.3
    assert failures(alice) == 0


async def test_what_a_decision_needs_is_still_connected_after_a_pause(tmp_path: Path, clock: Clock) -> None:
    broker = StandIn(answers_after_s=0.1, closes_idle_after_s=1.0)
    await broker.start()
    engine = engine_for(broker, clock, tmp_path)
    await engine.start()
    try:
        for _ in range(5):
            await engine._orders.keep_open("/stocks/snapshots", symbols="SPY", feed="iex")
            await asyncio.sleep(0.4)
        before = len(broker.peers)
        await asyncio.gather(engine.account(), engine.positions(), engine.quote("ACME"), engine.symbol("ACME"))
        assert (await engine.submit(ENTRY, ENTRY_ID)).state.is_working
        assert len(broker.peers) == before
    finally:
        await engine.close()
        await broker.stop()


async def test_an_alpaca_that_is_away_ends_no_keeping_open(tmp_path: Path, clock: Clock, until: Any) -> None:
    broker = StandIn()
    await broker.start()
    engine = engine_for(broker, clock, tmp_path, keep_open_s=0.02)
    await engine.start()
    try:
        broker.fail_next("GET", "/v2", "drop", times=20)
        await until(lambda: not broker.faults, what="all of them failed")
        before = len(broker.asked("GET", "/v2/clock"))
        await until(lambda: len(broker.asked("GET", "/v2/clock")) > before + 8, what="it goes on")
    finally:
        await engine.close()
        await broker.stop()


async def test_an_order_is_looked_up_with_its_legs_in_one_answer(alice: Alice) -> None:
    await alice.buys()
    before = len(alice.broker.requests)
    await alice.tended(1)
    own = f"/v2/orders/{alice.entry['id']}"
    assert asked_since(alice.broker, before) == Counter([own, "/v2/account", "/v2/positions"])


async def test_an_id_that_alpaca_does_not_know_any_more_is_asked_for_by_ours(alice: Alice) -> None:
    await alice.buys()
    before = len(alice.broker.requests)
    alice.broker.fail_next("GET", f"/v2/orders/{alice.entry['id']}", 404)
    await alice.tended(1)
    assert asked_since(alice.broker, before)["/v2/orders:by_client_order_id"] == 1
    assert alice.is_protected


async def test_positions_are_looked_after_together(alice: Alice) -> None:
    await alice.buys()
    for ticker in ("BETA", "GAMA", "DELT"):
        alice.broker.add_asset(ticker, "10")
        await alice.settled(a_buy(ticker))
    await alice.tended(1)
    alice.broker.answers_after_s, alice.broker.most_at_once = AWAY_S, 0
    began = time.monotonic()
    await alice.tended(1)
    assert alice.broker.most_at_once == 4
    assert time.monotonic() - began < 3 * AWAY_S
    assert [each.state.value for each in alice.journal.protections()] == ["CONFIRMED"] * 4
    assert await alice.settled(a_sale()) == ["ACCEPTED"]
