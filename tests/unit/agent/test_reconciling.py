"""When the engine's word is compared with our own, what counts as a difference, and how it ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from agent_samples import NOW, D
from reconcile_samples import Brokerage, Looking, bought

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import Outcome, OutcomeState, WorkingOrder
from subscriber_agent.journal import Journal, OrderIntent, ReconcileState
from subscriber_agent.reconciling import LOOK_AGAIN_S, ours_from
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState

ENTRY = "cs-" + "a" * 32 + "-entry"


@pytest.fixture(name="journal")
def _journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        yield journal


def an_intent(order_id=ENTRY, *, at=NOW, quantity=100):
    plan = OrderPlan(
        ticker="AAPL",
        side=Side.BUY,
        leg=Leg.ENTRY,
        quantity=D(quantity),
        order_type=OrderType.LIMIT,
        limit_price=D(5),
        stop_price=D("4.75"),
        target_price=None,
        time_in_force=TimeInForce.DAY,
        reference_price=D(5),
        reference_price_at=NOW,
        catalyst="fda",
    )
    return OrderIntent(order_id, "b" * 32, 1, plan, at)


async def test_two_that_agree_open_nothing_and_entries_may_be_made_after_one_look(journal):
    journal.add_fills([bought()])
    looking = Looking(journal, Brokerage({"AAPL": 100}))
    assert not looking.reconciling.has_looked
    await looking.step()
    assert looking.reconciling.has_looked
    assert (looking.events, looking.open_kinds) == ([], None)


async def test_a_difference_counts_only_once_two_looks_found_it(journal):
    journal.add_fills([bought()])
    looking = Looking(journal, Brokerage({"AAPL": 60}))
    await looking.step()
    assert (looking.reconciling.is_doubtful, looking.reconciling.has_looked, looking.open_kinds) == (True, False, None)
    await looking.step(LOOK_AGAIN_S - 0.1)
    assert looking.engine.asked == 1
    await looking.step(0.2)
    assert looking.open_kinds == [("QUANTITY_DIFFERS", "AAPL")]
    assert (looking.reconciling.is_doubtful, looking.reconciling.has_looked) == (False, True)
    assert looking.events == ["reconcile"]


async def test_a_fill_that_was_on_its_way_is_no_difference(journal):
    looking = Looking(journal, Brokerage({"AAPL": 100}))
    await looking.step()
    journal.add_fills([bought()])
    await looking.step(LOOK_AGAIN_S)
    assert (looking.events, looking.open_kinds, looking.reconciling.has_looked) == ([], None, True)


async def test_another_difference_at_the_second_look_is_looked_at_twice_as_well(journal):
    looking = Looking(journal, Brokerage({"AAPL": 100}))
    await looking.step()
    looking.engine.held = {"MSFT": 7}
    await looking.step(LOOK_AGAIN_S)
    assert (looking.open_kinds, looking.reconciling.is_doubtful) == (None, True)
    await looking.step(LOOK_AGAIN_S)
    assert looking.open_kinds == [("POSITION_UNKNOWN", "MSFT")]


async def test_an_open_difference_is_told_once_looked_at_more_often_and_resolves_by_itself(journal):
    looking = Looking(journal, Brokerage({"AAPL": 100}))
    await looking.step()
    await looking.step(LOOK_AGAIN_S)
    for _ in range(3):
        await looking.step(30)
        await looking.step(LOOK_AGAIN_S)
    assert looking.events == ["reconcile"]
    looking.engine.held = {}
    await looking.step(30)
    assert looking.events == ["reconcile", "reconciled"]
    assert looking.open_kinds is None
    (row,) = journal.reconciles(5)
    assert (row.state, row.resolved_at) == (ReconcileState.RESOLVED, looking.at)


async def test_numbers_that_move_are_written_down_and_only_another_difference_is_told(journal):
    looking = Looking(journal, Brokerage({"AAPL": 100}))
    await looking.step()
    await looking.step(LOOK_AGAIN_S)
    looking.engine.held = {"AAPL": 90}
    await looking.step(30)
    await looking.step(LOOK_AGAIN_S)
    assert journal.open_reconcile().differences[0]["engines"] == "90"
    assert looking.events == ["reconcile"]
    looking.engine.held = {"AAPL": 90, "MSFT": 1}
    for _ in range(2):
        await looking.step(30)
        await looking.step(LOOK_AGAIN_S)
    assert looking.events == ["reconcile", "reconcile"]


async def test_it_looks_by_the_clock_and_at_once_when_asked(journal):
    looking = Looking(journal, Brokerage(), every_s=300)
    await looking.step()
    await looking.step(299)
    assert looking.engine.asked == 1
    await looking.step(1)
    assert looking.engine.asked == 2
    looking.reconciling.ask()
    await looking.step()
    assert looking.engine.asked == 3


async def test_a_silent_engine_settles_nothing_and_is_told_once(journal):
    journal.note_differences([{"kind": "POSITION_UNKNOWN", "ticker": "X", "order_id": ""}], NOW)
    looking = Looking(journal, Brokerage(trouble=ConnectionError("the broker is away")))
    for _ in range(3):
        await looking.step(5)
    assert (looking.reconciling.has_looked, looking.events) == (False, ["reconcile_waits"])
    assert looking.open_kinds == [("POSITION_UNKNOWN", "X")]
    looking.engine.trouble = None
    await looking.step(5)
    assert looking.events == ["reconcile_waits", "reconciled"]


async def test_an_engine_that_can_never_work_stops_the_agent(journal):
    looking = Looking(journal, Brokerage(trouble=EngineUnusable("the keys were refused")))
    with pytest.raises(EngineUnusable):
        await looking.step()


async def test_each_look_leaves_the_engines_word_for_commands_beside_the_agent(journal):
    order = WorkingOrder("placed-by-hand", "MSFT", Side.BUY, D(1))
    looking = Looking(journal, Brokerage({"AAPL": 100}, working=(order,)))
    await looking.step()
    word = journal.snapshot()
    assert (word.engine, word.at, word.orders) == ("broker", NOW, (order,))
    assert [(each.ticker, each.quantity) for each in word.holdings] == [("AAPL", D(100))]


def test_our_own_orders_are_known_by_their_id_and_by_their_entrys(journal):
    journal.write_order(an_intent())
    journal.write_outcome(ENTRY, Outcome(OutcomeState.PARTLY_FILLED, D(40), D(5)), NOW)
    leg, strange = ENTRY.replace("-entry", "-stop"), "cs-" + "f" * 32 + "-entry"
    working = [WorkingOrder(each, "AAPL", Side.SELL, D(1)) for each in (ENTRY, leg, strange, "placed-by-hand")]
    ours = ours_from(journal, working)
    assert ours.known_ids == {ENTRY, leg}
    (order,) = ours.orders
    assert (order.quantity, order.works, order.touched_at) == (D(60), True, NOW)


@pytest.mark.parametrize(
    ("holder", "state", "is_at_the_engine"),
    [
        (Holder.NATIVE, ProtectionState.CONFIRMED, True),
        (Holder.ORDER, ProtectionState.CONFIRMED, True),
        (Holder.WATCHED, ProtectionState.CONFIRMED, False),
        (Holder.NATIVE, ProtectionState.WANTED, False),
        (Holder.ORDER, ProtectionState.RESIZING, False),
    ],
)
def test_only_a_confirmed_stop_is_expected_at_the_engine(journal, holder, state, is_at_the_engine):
    journal.add_fills([bought(shares=100), bought(shares=40, side=Side.SELL, leg=Leg.EXIT)])
    journal.write_protection(Protection(ENTRY, "b" * 32, "AAPL", Side.BUY, holder, state, D("4.75"), NOW, order_id="x"))
    stops = ours_from(journal, ()).stops
    assert [(each.side, each.quantity, each.order_id) for each in stops] == (
        [(Side.SELL, D(60), "x")] if is_at_the_engine else []
    )


def test_what_was_closed_is_not_held_and_needs_no_stop(journal):
    journal.add_fills([bought(), bought(side=Side.SELL, leg=Leg.EXIT)])
    journal.write_protection(
        Protection(ENTRY, "b" * 32, "AAPL", Side.BUY, Holder.NATIVE, ProtectionState.CONFIRMED, D("4.75"), NOW)
    )
    assert journal.shares() == {}
    assert ours_from(journal, ()).stops == ()


async def test_a_ticker_is_left_alone_while_its_order_is_young(journal):
    journal.write_order(an_intent(at=NOW - timedelta(seconds=10)))
    looking = Looking(journal, Brokerage({"AAPL": 100}))
    await looking.step()
    assert looking.reconciling.has_looked
    await looking.step(300)
    assert looking.reconciling.is_doubtful
