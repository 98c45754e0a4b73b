"""Orders through Catalyst-Bot: our id, our size, once; the bot's own answers are not believed.

garbage            a fault: the order's end is UNKNOWN and is looked up
hangs, blocks      the time limit: UNKNOWN; an order that had not gone out by then never does
dies before        REJECTED: nothing was ordered, for certain
answers lost       searched for at the broker by our id; REJECTED only once it certainly never arrived
orders twice       the second one is not let through
fills more         passed on as it is
unknown ticker     an answer about another ticker counts as lost: the order is searched for
"""

import asyncio
import contextlib
import os
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from bot_samples import ENTRY, EXIT, EXIT_ID, ID, STAND_IN, Rack, bot_modules, forget_bot
from plugin_samples import a_plan

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.catalyst_bot.engine import make
from subscriber_agent.engines.catalyst_bot.sent import FILE, SentLog
from subscriber_agent.engines.catalyst_bot.settings import CatalystBotSettings
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.risk.decision import OrderType

STOP_ID = f"cs-{'0' * 32}-stop"


@pytest.fixture(autouse=True)
def _alone():
    yield
    forget_bot()


@pytest.fixture
def rack(tmp_path):
    return Rack(tmp_path)


@pytest.fixture
def habits():
    found = bot_modules()[1].HABITS
    yield found
    found.clear()


def clients(rack):
    return [each.client_order_id for each in rack.world.orders.values() if each.client_order_id.startswith("cs-")]


async def test_an_entry_goes_out_as_a_bracket_in_our_size_under_our_id(rack):
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, 20, 5)
        stop, target = outcome.leg(Leg.STOP), outcome.leg(Leg.TARGET)
        assert (stop.state, stop.protects, stop.trigger_price) == (OutcomeState.ACCEPTED, 20, Decimal("4.5"))
        assert (target.state, target.trigger_price) == (OutcomeState.ACCEPTED, 6)
        assert await engine.lookup(ID) == outcome
        assert [(each.ticker, each.quantity) for each in await engine.positions()] == [("ABCD", 20)]
    assert clients(rack) == [ID]


@pytest.mark.parametrize("count", [1, 19, 1001], ids=["below-its-minimum", "under-100-usd", "above-its-shares"])
async def test_neither_its_minimum_nor_its_caps_change_the_size(rack, count):
    rack.world.cash = Decimal(100_000)
    async with rack.running() as engine:
        outcome = await engine.submit(replace(ENTRY, quantity=Decimal(count)), ID)
    assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, count)


async def test_a_bot_that_would_order_another_size_orders_nothing(rack, habits):
    habits.append("raise:1")
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert outcome.state is OutcomeState.REJECTED
        assert "quantity 21 instead of 20" in outcome.detail
        assert await engine.lookup(ID) == outcome
    assert rack.world.orders == {}


async def test_a_bot_that_orders_twice_orders_once(rack, habits):
    habits.append("twice")
    async with rack.running() as engine:
        assert (await engine.submit(ENTRY, ID)).quantity == 20
    assert clients(rack) == [ID]
    assert rack.world.posts == 1


async def test_a_bot_that_dies_before_it_orders_has_ordered_nothing(rack, habits):
    habits.append("raises")
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, "KeyError" in outcome.detail) == (OutcomeState.REJECTED, True)


async def test_the_same_id_again_orders_nothing_over_a_restart_as_well(rack):
    async with rack.running() as engine:
        first = await engine.submit(ENTRY, ID)
        assert await engine.submit(replace(ENTRY, quantity=Decimal(40)), ID) == first
    async with rack.running() as engine:
        assert await engine.submit(ENTRY, ID) == first
        assert await engine.lookup(ID) == first
    assert rack.world.posts == 1


async def test_a_limit_entry_keeps_its_limit(rack):
    rack.world.prices["ABCD"] = Decimal("5.20")
    limited = replace(ENTRY, order_type=OrderType.LIMIT, limit_price=Decimal("5.05"))
    async with rack.running() as engine:
        outcome = await engine.submit(limited, ID)
        assert (outcome.state, outcome.quantity) == (OutcomeState.ACCEPTED, 0)
        (order,) = [each for each in await engine.orders() if each.order_id == ID]
        assert (order.order_type, order.limit_price) == (OrderType.LIMIT, Decimal("5.05"))
        ended = await engine.cancel(ID)
        assert ended.state is OutcomeState.CANCELLED
        assert [each.state for each in ended.legs] == [OutcomeState.CANCELLED] * 2


async def test_a_partial_fill_shows_what_has_filled(rack):
    rack.world.fills_at_once = False
    async with rack.running() as engine:
        assert (await engine.submit(ENTRY, ID)).state is OutcomeState.ACCEPTED
        order = next(each for each in rack.world.orders.values() if each.client_order_id == ID)
        rack.world.fill(order, 7, Decimal(5))
        outcome = await engine.lookup(ID)
        assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.PARTLY_FILLED, 7, 5)


async def test_a_close_goes_through_the_position_manager_as_an_order_of_ours(rack):
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
        released = await engine.cancel(ID)
        assert [each.state for each in released.legs] == [OutcomeState.CANCELLED] * 2
        outcome = await engine.submit(EXIT, EXIT_ID)
        assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 20)
        assert await engine.positions() == ()
    assert clients(rack) == [ID, EXIT_ID]
    from catalyst_bot.portfolio.position_manager import CLOSED

    (closed,) = CLOSED
    assert rack.world.orders[closed.exit_order_id].client_order_id == EXIT_ID


async def test_a_close_of_more_than_is_held_is_rejected(rack):
    async with rack.running() as engine:
        outcome = await engine.submit(EXIT, EXIT_ID)
        assert (outcome.state, outcome.detail) == (OutcomeState.REJECTED, "no position of 20 ABCD to close")


async def test_a_manager_that_calls_a_failed_close_closed_is_not_believed(rack):
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
        await engine.cancel(ID)
        rack.world.faults.append("lose:POST")
        assert (await engine.submit(EXIT, EXIT_ID)).state is OutcomeState.FILLED
        assert await engine.positions() == ()


async def test_a_close_while_a_leg_holds_the_shares_is_rejected(rack):
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
        outcome = await engine.submit(EXIT, EXIT_ID)
        assert (outcome.state, "insufficient qty" in outcome.detail) == (OutcomeState.REJECTED, True)


async def test_a_stop_of_its_own_is_placed_and_cancelled(rack):
    stop = replace(EXIT, leg=Leg.STOP, order_type=OrderType.STOP, stop_price=Decimal("4.5"))
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
        await engine.cancel(ID)
        assert (await engine.submit(stop, STOP_ID)).state is OutcomeState.ACCEPTED
        (order,) = await engine.orders()
        assert (order.order_id, order.side, order.stop_price) == (STOP_ID, Side.SELL, Decimal("4.5"))
        assert (await engine.cancel(STOP_ID)).state is OutcomeState.CANCELLED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_price": None}, "only together with a target"),
        ({"side": Side.SELL}, "buys only"),
        ({"quantity": Decimal("1.5")}, "whole shares"),
        ({"quantity": Decimal(0)}, "nothing"),
        ({"extended_hours": True}, "no stop"),
        (
            {"stop_price": None, "target_price": None, "order_type": OrderType.LIMIT, "limit_price": Decimal(5)},
            "market order",
        ),
        ({"reference_price": None}, "no price"),
    ],
    ids=["no-target", "short", "fraction", "nothing", "extended", "bare-limit", "no-price"],
)
async def test_what_the_bot_would_turn_into_another_order_is_rejected(rack, changes, words):
    async with rack.running() as engine:
        outcome = await engine.submit(replace(ENTRY, **changes), ID)
    assert outcome.state is OutcomeState.REJECTED
    assert words in outcome.detail
    assert rack.world.orders == {}


async def test_an_order_whose_answer_was_lost_is_found_by_our_id_with_its_legs(rack):
    rack.world.faults.append("lose:POST")
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 20)
        assert [each.leg for each in outcome.legs] == [Leg.STOP, Leg.TARGET]
    assert rack.world.posts == 1


async def test_a_refusal_after_a_lost_answer_is_not_believed(rack):
    rack.world.faults.append("lose-refuse:POST")
    async with rack.running() as engine:
        assert (await engine.submit(ENTRY, ID)).state is OutcomeState.FILLED


async def test_a_refusal_is_a_rejection_where_the_broker_has_no_such_order(rack):
    rack.world.faults.append("refuse:POST")
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, "buying power" in outcome.detail) == (OutcomeState.REJECTED, True)
        assert await engine.lookup(ID) == outcome


async def test_an_order_that_may_not_have_arrived_is_unknown_until_that_is_certain(rack):
    rack.world.faults.append("fail:POST")
    async with rack.running() as engine:
        assert (await engine.submit(ENTRY, ID)).state is OutcomeState.UNKNOWN
        assert (await engine.lookup(ID)).state is OutcomeState.UNKNOWN
        assert (await engine.submit(ENTRY, ID)).state is OutcomeState.UNKNOWN
        rack.late = timedelta(minutes=6)
        outcome = await engine.lookup(ID)
        assert (outcome.state, "never arrived" in outcome.detail) == (OutcomeState.REJECTED, True)
    assert rack.world.posts == 0


async def test_a_kill_between_intent_and_answer_is_looked_up_after_the_restart(rack):
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
    path = rack.folder / FILE
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b'{"event": "ans')
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, outcome.quantity, len(outcome.legs)) == (OutcomeState.FILLED, 20, 2)
    assert rack.world.posts == 1


async def test_a_log_that_was_lost_does_not_make_an_order_unseen(rack):
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
    (rack.folder / FILE).unlink()
    async with rack.running() as engine:
        assert (await engine.lookup(ID)).state is OutcomeState.FILLED
        assert await engine.lookup(EXIT_ID) is None


async def test_a_hanging_bot_ends_at_the_limit_and_its_order_is_unknown(tmp_path):
    rack = Rack(tmp_path, timeout_s=0.2)
    rack.world.faults.append("hang:POST")
    async with rack.running() as engine:
        with pytest.raises(TimeoutError):
            await engine.submit(ENTRY, ID)
        assert (await engine.lookup(ID)).state is OutcomeState.UNKNOWN


async def test_an_order_behind_a_blocking_call_is_never_placed_late(tmp_path):
    rack = Rack(tmp_path, timeout_s=0.2)
    rack.world.block_s = 0.3
    async with rack.running() as engine:
        await engine.account()
        rack.world.faults.append("block:account")
        with pytest.raises(TimeoutError):
            await engine.submit(ENTRY, ID)
        outcome = await _eventually(lambda: engine.lookup(ID))
        assert (outcome.state, "too late" in outcome.detail) == (OutcomeState.REJECTED, True)
    assert rack.world.posts == 0


async def _eventually(ask):
    """The answer, once the thread is free again."""
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(TimeoutError):
                return await ask()


async def test_what_filled_beyond_the_order_is_told_as_it_is(rack):
    rack.world.faults.append("more:POST")
    async with rack.running() as engine:
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 200)


async def test_an_answer_about_another_ticker_counts_as_lost_and_the_order_is_found(rack):
    rack.world.faults.append("wrong:POST")
    plain = replace(ENTRY, stop_price=None, target_price=None)
    async with rack.running() as engine:
        assert (await engine.submit(plain, ID)).state is OutcomeState.FILLED
        assert (await engine.lookup(ID)).quantity == 20


@pytest.mark.parametrize("path", ["account", "positions", "order"])
async def test_garbage_is_a_fault(rack, path):
    async with rack.running() as engine:
        await engine.submit(ENTRY, ID)
        rack.world.faults.append(f"garbage:{path}")
        with pytest.raises(Exception, match=r"is '|wanted"):
            await (engine.lookup(ID) if path == "order" else getattr(engine, path)())


async def test_a_broker_that_is_away_at_the_start_is_tried_again(rack):
    rack.world.faults.append("fail:connect")
    async with rack.running() as engine:
        with pytest.raises(Exception, match="no route"):
            await engine.account()
        account = await engine.account()
        assert (account.cash, account.equity, account.is_blocked) == (10_000, 10_000, False)


async def test_a_blocked_account_is_said(rack):
    rack.world.is_blocked = True
    async with rack.running() as engine:
        assert (await engine.account()).is_blocked is True
        outcome = await engine.submit(ENTRY, ID)
        assert (outcome.state, outcome.detail) == (OutcomeState.REJECTED, "Account is not tradeable")


async def test_two_calls_with_one_id_are_one_order(rack):
    async with rack.running() as engine:
        await asyncio.gather(engine.submit(ENTRY, ID), engine.submit(ENTRY, ID))
        assert (await engine.lookup(ID)).quantity == 20
    assert rack.world.posts == 1


def test_without_the_bot_the_engine_is_unusable(tmp_path):
    context = EngineContext(data=tmp_path, home=tmp_path, user="alice", environ={})
    with pytest.raises(EngineUnusable, match="no package catalyst_bot"):
        make(CatalystBotSettings.model_validate({"folder": "nowhere"}), context)


async def test_without_keys_it_is_unusable_and_the_keys_are_in_no_text(tmp_path):
    environ = {"ALPACA_API_KEY": "k3y-of-mine"}
    context = EngineContext(data=tmp_path, home=tmp_path, user="alice", environ=environ)
    engine = make(CatalystBotSettings.model_validate({"folder": STAND_IN}), context)
    with pytest.raises(EngineUnusable) as caught:
        await engine.start()
    assert "k3y-of-mine" not in str(caught.value) + caught.value.hint
    await engine.close()


async def test_a_client_that_is_not_on_paper_is_refused(rack, monkeypatch):
    client = bot_modules()[0].AlpacaBrokerClient
    monkeypatch.setattr(client, "PAPER_BASE_URL", client.LIVE_BASE_URL + "/")
    monkeypatch.setattr(client, "__init__", _live(client.__init__))
    engine = rack.engine()
    with pytest.raises(EngineUnusable, match="not on paper"):
        await engine.start()
    await engine.close()


def _live(init):
    def patched(self, **arguments):
        init(self, **{**arguments, "base_url": "https://api.example"})

    return patched


def test_a_damaged_line_of_the_log_is_never_skipped(tmp_path):
    log = SentLog.open(tmp_path)
    log.intend(ID, ENTRY, Rack(tmp_path).clock())
    log.answered(ID, "broker-1")
    path = tmp_path / FILE
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(EngineUnusable, match=":1 cannot be read"):
        SentLog.open(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_the_log_is_private(tmp_path):
    SentLog.open(tmp_path).intend(ID, a_plan(), Rack(tmp_path).clock())
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
