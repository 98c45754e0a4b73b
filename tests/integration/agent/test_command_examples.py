"""The example engines, each run by the command engine: what people copy does what the agreement says, in any language.

The behaviours that all share first, then those of the two that keep stops.
"""

import os
import shutil
import signal
import stat
import sys
from collections import Counter
from datetime import timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
from command_samples import AT, ENTRY, a_plan, an_engine, lives, started, until_up_again

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.case import Result
from subscriber_agent.conformance.running import run_cases
from subscriber_agent.engines.engine import OutcomeState, order_id_from, triggered_order_id
from subscriber_agent.engines.wire import EngineFailed
from subscriber_agent.risk.decision import OrderType

FOLDER = Path(__file__).parents[3] / "examples" / "engines"
NODE = shutil.which("node")
EXAMPLES = {
    "python": [sys.executable, str(FOLDER / "paper_engine.py"), "orders.json"],
    "node": [NODE or "node", str(FOLDER / "paper_engine.mjs"), "orders.json"],
    "shell": ["sh", str(FOLDER / "notify_engine.sh"), "notified"],
}
BROKERS = ("python", "node")


def _example(name: str, home: Path):
    if name == "node" and NODE is None:
        pytest.skip("node is not on this machine")
    return an_engine(home, EXAMPLES[name])


@pytest.fixture(params=EXAMPLES)
def example(request, tmp_path):
    """An engine for the example; the same place again for a second one."""
    return lambda: _example(request.param, tmp_path)


@pytest.fixture(params=BROKERS)
def broker(request, tmp_path):
    return lambda: _example(request.param, tmp_path)


def _plain(**changes):
    """An order without stop and target, so that every example may take it."""
    plain = {"order_type": OrderType.MARKET, "limit_price": None, "stop_price": None, "target_price": None}
    return a_plan(**{**plain, **changes})


def _exit(quantity: str = "100", **changes):
    return _plain(**{"leg": Leg.EXIT, "side": Side.SELL, "quantity": D(quantity), **changes})


def _id(leg: Leg, number: int = 1) -> str:
    return order_id_from(f"s{number}", "alice", leg)


async def test_an_order_is_filled_at_the_signals_price_and_known_by_its_id(example):
    async with started(example()) as engine:
        outcome = await engine.submit(_plain(), ENTRY)
        assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, D(100), D(5))
        assert await engine.lookup(ENTRY) == outcome
        (held,) = await engine.positions()
        assert (held.ticker, held.quantity) == ("ABCD", D(100))
        assert (await engine.account()).cash is not None


async def test_the_same_id_again_orders_nothing_not_even_after_a_kill(example):
    async with started(example()) as engine:
        first = await engine.submit(_plain(), ENTRY)
        assert await engine.submit(_plain(quantity=D(700)), ENTRY) == first
        before = engine.pid
        os.kill(before, signal.SIGKILL)
        await until_up_again(engine, before)
        assert await engine.submit(_plain(), ENTRY) == first
        assert [each.quantity for each in await engine.positions()] == [D(100)]


async def test_an_exit_closes_the_position_and_a_second_one_is_rejected(example):
    async with started(example()) as engine:
        await engine.submit(_plain(), ENTRY)
        assert (await engine.submit(_exit(), _id(Leg.EXIT))).state is OutcomeState.FILLED
        assert await engine.positions() == ()
        again = await engine.submit(_exit(), _id(Leg.EXIT, 2))
        assert (again.state, again.detail) == (OutcomeState.REJECTED, "no position of 100 ABCD to close")
        assert await engine.lookup(_id(Leg.EXIT, 2)) == again


async def test_an_id_that_never_came_is_none_and_cancelling_it_orders_nothing(example):
    async with started(example()) as engine:
        assert await engine.lookup(ENTRY) is None
        assert await engine.cancel(ENTRY) is None
        assert await engine.positions() == ()
        assert await engine.orders() == ()


@pytest.mark.parametrize("quantity", ["0.5", "0"])
async def test_an_order_that_cannot_be_is_rejected_and_leaves_nothing(example, quantity):
    async with started(example()) as engine:
        outcome = await engine.submit(_plain(quantity=D(quantity)), ENTRY)
        assert (outcome.state, outcome.detail) == (OutcomeState.REJECTED, "whole shares only")
        assert await engine.positions() == ()


async def test_what_it_does_not_do_is_an_error_and_what_it_does_goes_on(example):
    async with started(example()) as engine:
        with pytest.raises(EngineFailed, match="unknown_op"):
            await engine.quote("ABCD")
        assert await engine.observe("ABCD", D(5), AT) == ()
        assert await engine.lookup(ENTRY) is None


async def test_it_ends_when_the_agent_says_bye(example, tmp_path):
    engine = example()
    await engine.start()
    pid = engine.pid
    await engine.close()
    assert not lives(pid)


async def test_an_order_id_is_never_a_path(tmp_path):
    async with started(_example("shell", tmp_path)) as engine:
        with pytest.raises(EngineFailed, match="letters, digits and dashes"):
            await engine.submit(_plain(), "../../x")


async def test_a_filled_entry_has_a_working_stop_and_target_for_all_that_filled(broker):
    async with started(broker()) as engine:
        outcome = await engine.submit(a_plan(), ENTRY)
        stop, target = outcome.leg(Leg.STOP), outcome.leg(Leg.TARGET)
        assert (stop.order_id, stop.protects, stop.trigger_price) == (
            triggered_order_id(ENTRY, Leg.STOP),
            D(100),
            D("4.5"),
        )
        assert (target.state.is_working, target.trigger_price) == (True, D(6))
        assert {each.order_id for each in await engine.orders()} == {stop.order_id, target.order_id}


@pytest.mark.parametrize(
    ("price", "leg", "filled_at"), [("4.2", Leg.STOP, "4.2"), ("6.5", Leg.TARGET, "6")], ids=["stop", "target"]
)
async def test_a_price_triggers_a_leg_once_and_ends_the_other(broker, price, leg, filled_at):
    async with started(broker()) as engine:
        await engine.submit(a_plan(), ENTRY)
        later = AT + timedelta(seconds=5)
        assert await engine.observe("ABCD", D(price), later) == (ENTRY,)
        assert (await anext(engine.events())).order_id == ENTRY
        legs = (await engine.lookup(ENTRY)).legs
        assert Counter(each.state for each in legs) == {OutcomeState.FILLED: 1, OutcomeState.CANCELLED: 1}
        filled = (await engine.lookup(ENTRY)).leg(leg)
        assert (filled.state, filled.quantity, filled.price) == (OutcomeState.FILLED, D(100), D(filled_at))
        assert await engine.positions() == ()
        assert await engine.observe("ABCD", D(price), later) == ()
        assert (await engine.account()).cash == D(10_000) + 100 * (D(filled_at) - D(5))


async def test_a_price_older_than_the_last_one_triggers_nothing(broker):
    async with started(broker()) as engine:
        await engine.submit(a_plan(), ENTRY)
        assert await engine.observe("ABCD", D(1), AT - timedelta(seconds=1)) == ()
        assert len(await engine.positions()) == 1


async def test_a_cancel_ends_the_legs_and_keeps_what_filled(broker):
    async with started(broker()) as engine:
        await engine.submit(a_plan(), ENTRY)
        outcome = await engine.cancel(ENTRY)
        assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, D(100))
        assert {each.state for each in outcome.legs} == {OutcomeState.CANCELLED}
        assert await engine.observe("ABCD", D(1), AT + timedelta(seconds=1)) == ()
        assert await engine.orders() == ()


async def test_a_limit_that_is_not_reached_waits_and_fills_at_its_limit(broker):
    async with started(broker()) as engine:
        waiting = await engine.submit(a_plan(limit_price=D("4.90")), ENTRY)
        assert (waiting.state, waiting.legs) == (OutcomeState.ACCEPTED, ())
        await engine.observe("ABCD", D("4.80"), AT + timedelta(seconds=1))
        outcome = await engine.lookup(ENTRY)
        assert (outcome.state, outcome.price) == (OutcomeState.FILLED, D("4.9"))
        assert outcome.leg(Leg.STOP).protects == D(100)


async def test_a_stop_order_of_its_own_works_is_shown_and_fills_at_what_is_there(broker):
    async with started(broker()) as engine:
        await engine.submit(_plain(), ENTRY)
        at_a_price = {"order_type": OrderType.STOP, "stop_price": D("4.5"), "reference_price": None}
        stop = _exit(leg=Leg.STOP, **at_a_price)
        assert (await engine.submit(stop, _id(Leg.STOP))).state is OutcomeState.ACCEPTED
        (shown,) = await engine.orders()
        assert (shown.order_type, shown.stop_price, shown.side) == (OrderType.STOP, D("4.5"), Side.SELL)
        await engine.observe("ABCD", D("4.1"), AT + timedelta(seconds=1))
        outcome = await engine.lookup(_id(Leg.STOP))
        assert (outcome.state, outcome.price) == (OutcomeState.FILLED, D("4.1"))


async def test_a_part_exit_leaves_legs_for_the_rest_and_a_whole_one_none(broker):
    async with started(broker()) as engine:
        await engine.submit(a_plan(), ENTRY)
        await engine.submit(_exit("60"), _id(Leg.EXIT))
        assert (await engine.lookup(ENTRY)).leg(Leg.STOP).protects == D(40)
        await engine.submit(_exit("40"), _id(Leg.EXIT, 2))
        assert {each.state for each in (await engine.lookup(ENTRY)).legs} == {OutcomeState.CANCELLED}


async def test_a_short_is_closed_by_a_buy_and_blocks_its_proceeds(broker):
    async with started(broker()) as engine:
        await engine.submit(_plain(side=Side.SELL), ENTRY)
        account = await engine.account()
        assert (account.cash, account.equity) == (D(10_500), D(10_000))
        tried = await engine.submit(_plain(ticker="EFGH", quantity=D(1901)), _id(Leg.ENTRY, 2))
        assert (tried.state, "more than the cash" in tried.detail) == (OutcomeState.REJECTED, True)
        closed = await engine.submit(_exit(side=Side.BUY), _id(Leg.EXIT))
        assert closed.state is OutcomeState.FILLED
        assert await engine.positions() == ()


async def test_numbers_that_binary_fractions_cannot_hold_stay_exact(broker):
    async with started(broker()) as engine:
        for number, price in ((2, "0.1"), (3, "0.2")):
            await engine.submit(_plain(quantity=D(1), reference_price=D(price)), _id(Leg.ENTRY, number))
        (held,) = await engine.positions()
        assert (held.quantity, held.average_price) == (D(2), D("0.15"))
        assert (await engine.account()).cash == D("9999.7")


async def test_its_file_is_for_its_owner_only(broker, tmp_path):
    async with started(broker()) as engine:
        await engine.submit(_plain(), ENTRY)
    assert stat.S_IMODE((tmp_path / "orders.json").stat().st_mode) == 0o600


async def test_each_example_passes_the_conformance_kit(example):
    rig = Rig("ABCD", D(5), D(2), may_trade=True, patience_s=2.0)
    results = [each async for each in run_cases(example, rig)]
    assert [(each.id, each.text) for each in results if each.result is Result.FAIL] == []
    assert sum(each.result is Result.PASS for each in results) >= 10
