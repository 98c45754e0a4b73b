"""The paper engine: idempotent, exact, never below zero cash, the same after a restart; its legs are its own."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from agent_samples import NOW, D
from paper_samples import BARE, COVER, ENTRY, EXIT, ID, SHORT, STOP, Clock, a_limit, an_engine, close_all, fills_of

from signal_contract.errors import EngineUnusable, NotFound, StorageFailed
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import OutcomeState, order_id_from, triggered_order_id
from subscriber_agent.engines.paper.account import PaperAccount, account_beside
from subscriber_agent.engines.paper.engine import PaperEngine, make
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.engines.paper.store import STORE_FILE, PaperStore
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.risk.decision import TimeInForce
from subscriber_agent.risk.market import Capabilities

STOP_ID, TARGET_ID = triggered_order_id(ID, Leg.STOP), triggered_order_id(ID, Leg.TARGET)
FILLED, ACCEPTED, CANCELLED, REJECTED, PARTLY = (
    OutcomeState.FILLED,
    OutcomeState.ACCEPTED,
    OutcomeState.CANCELLED,
    OutcomeState.REJECTED,
    OutcomeState.PARTLY_FILLED,
)


@pytest.fixture(autouse=True)
async def _closed():
    yield
    await close_all()


def later(seconds):
    return NOW + timedelta(seconds=seconds)


# What it was before, it still is ---------------------------------------------------------------------------------


async def test_an_entry_fills_at_the_reference_price(tmp_path):
    engine = an_engine(tmp_path)
    outcome = await engine.submit(ENTRY, ID)
    assert (outcome.state, outcome.quantity, outcome.price) == (FILLED, 100, 5)
    assert (await engine.account()).cash == 9500
    (held,) = await engine.positions()
    assert (held.ticker, held.quantity, held.average_price, held.last_price) == ("ABCD", 100, 5, 5)


async def test_the_same_id_again_returns_the_first_outcome_and_orders_nothing(tmp_path):
    engine = an_engine(tmp_path)
    first = await engine.submit(ENTRY, ID)
    assert await engine.submit(replace(ENTRY, quantity=D(1)), ID) == first
    assert await engine.lookup(ID) == first
    assert len(fills_of(tmp_path)) == 1


async def test_a_rejection_is_remembered_too(tmp_path):
    engine = an_engine(tmp_path, start_cash_usd="499")
    first = await engine.submit(ENTRY, ID)
    assert (first.state, first.detail) == (REJECTED, "500.00 USD is more than the cash at hand")
    assert await engine.submit(replace(ENTRY, quantity=D(1)), ID) == first
    assert (await engine.account()).cash == 499


async def test_an_order_that_was_never_seen_is_none_and_cannot_be_cancelled(tmp_path):
    engine = an_engine(tmp_path)
    assert await engine.lookup(ID) is None
    assert await engine.cancel(ID) is None
    assert await engine.orders() == ()


async def test_cash_may_reach_zero_and_no_less(tmp_path):
    assert (await an_engine(tmp_path, start_cash_usd="500").submit(ENTRY, ID)).state is FILLED
    assert (await an_engine(tmp_path).account()).cash == 0


async def test_an_exit_needs_its_position(tmp_path):
    engine = an_engine(tmp_path)
    first = await engine.submit(EXIT, "x1")
    assert (first.state, first.detail) == (REJECTED, "no position of 100 ABCD to close")
    await engine.submit(ENTRY, ID)
    assert (await engine.submit(replace(EXIT, quantity=D(101)), "x2")).state is REJECTED
    assert (await engine.submit(replace(EXIT, reference_price=None), "x3")).detail == "no price is known"
    assert (await engine.submit(replace(EXIT, reference_price=D(6)), "x4")).price == 6
    assert (await engine.submit(EXIT, "x5")).state is REJECTED
    assert (await engine.account()).cash == 10100
    assert await engine.positions() == ()


@pytest.mark.parametrize(
    ("plan", "price", "leg", "fill_price"),
    [
        (ENTRY, "4.76", None, None),
        (ENTRY, "4.75", Leg.STOP, "4.75"),
        (ENTRY, "3", Leg.STOP, "3"),
        (ENTRY, "5.99", None, None),
        (ENTRY, "6", Leg.TARGET, "6"),
        (ENTRY, "9", Leg.TARGET, "6"),
        (SHORT, "5.99", None, None),
        (SHORT, "6", Leg.STOP, "6"),
        (SHORT, "7", Leg.STOP, "7"),
        (SHORT, "4.01", None, None),
        (SHORT, "3", Leg.TARGET, "4"),
    ],
    ids=lambda value: None,
)
async def test_stops_fill_at_the_price_seen_and_targets_at_their_own(tmp_path, plan, price, leg, fill_price):
    engine = an_engine(tmp_path)
    await engine.submit(plan, ID)
    touched = await engine.observe("ABCD", D(price), later(1))
    if leg is None:
        assert touched == ()
        assert (await engine.positions())[0].last_price == D(price)
    else:
        assert touched == (ID,)
        legs = (await engine.lookup(ID)).legs
        assert {each.leg: each.state for each in legs} == {
            leg: FILLED,
            Leg.TARGET if leg is Leg.STOP else Leg.STOP: CANCELLED,
        }
        found = await engine.lookup(triggered_order_id(ID, leg))
        assert (found.state, found.quantity, found.price) == (FILLED, 100, D(fill_price))
        assert found.detail == f"{leg} triggered"
        assert await engine.positions() == ()
    assert await engine.observe("ABCD", D(price), later(2)) == ()


async def test_an_older_price_a_strange_ticker_and_what_is_no_price_change_nothing(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    assert await engine.observe("ABCD", D(1), later(-1)) == ()
    assert await engine.observe("OTHER", D(1), NOW) == ()
    for price in ("NaN", "0", "-1", "Infinity"):
        assert await engine.observe("ABCD", D(price), NOW) == ()
    assert await engine.observe("ABCD", D(1), NOW.replace(tzinfo=None)) == ()
    assert (await engine.account()).equity == 10000


async def test_a_price_dated_in_the_future_does_not_blind_the_stop(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    assert await engine.observe("ABCD", D("5.5"), later(86_400)) == ()
    assert await engine.observe("ABCD", D(4), NOW) == (ID,)


async def test_slippage_and_spread_are_always_against_the_friend(tmp_path):
    engine = an_engine(tmp_path / "a", slippage_bps="100")
    assert (await engine.submit(ENTRY, ID)).price == D("5.05")
    assert (await engine.submit(EXIT, "x")).price == D("4.95")
    engine = an_engine(tmp_path / "b", spread_bps="100", slippage_bps="100")
    assert (await engine.submit(ENTRY, ID)).price == D("5.0753")
    assert (await engine.submit(EXIT, "x")).price == D("4.9252")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1", "0", "0.5"])
async def test_an_order_of_no_whole_shares_is_rejected(tmp_path, number):
    engine = an_engine(tmp_path)
    assert (await engine.submit(replace(ENTRY, quantity=D(number)), ID)).state is REJECTED
    assert (await engine.lookup(ID)).state is REJECTED
    assert await engine.positions() == ()


async def test_parts_of_a_share_trade_where_they_are_allowed(tmp_path):
    engine = an_engine(tmp_path, fractions=True)
    assert engine.capabilities().fractions
    assert (await engine.submit(replace(ENTRY, quantity=D("0.5")), ID)).quantity == D("0.5")


# Its file ---------------------------------------------------------------------------------------------------------


async def test_everything_is_the_same_after_a_restart(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    await engine.observe("ABCD", D("5.5"), NOW)
    before = (await engine.account(), await engine.positions(), await engine.orders(), await engine.lookup(ID))
    # No close(): kill -9 does not say goodbye.
    again = an_engine(tmp_path, start_cash_usd="777")
    await again.start()
    assert (await again.account(), await again.positions(), await again.orders(), await again.lookup(ID)) == before
    assert account_beside(tmp_path) == before[:2]
    assert await again.observe("ABCD", D(4), later(1)) == (ID,)
    await again.close()
    await engine.close()


async def test_the_file_is_private_and_an_engine_opens_it_again_after_its_close(tmp_path):
    engine = PaperEngine(tmp_path / "new", clock=Clock(), has_own_thread=True)
    await engine.start()
    await engine.submit(ENTRY, ID)
    await engine.close()
    assert stat.S_IMODE((tmp_path / "new" / STORE_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    with pytest.raises(Exception, match="closed"):
        await engine.lookup(ID)
    await engine.start()
    assert (await engine.lookup(ID)).state is FILLED
    await engine.close()
    await engine.close()


async def test_a_damaged_file_stops_the_start_and_is_left_as_it_is(tmp_path):
    path = tmp_path / STORE_FILE
    path.write_bytes(b"not a database, and long enough to be taken for one" * 20)
    with pytest.raises(StorageFailed, match="damaged"):
        await an_engine(tmp_path).start()
    assert path.read_bytes().startswith(b"not a database")


async def test_damage_after_an_unclean_stop_is_found_at_the_start(tmp_path):
    engine = an_engine(tmp_path)
    for number in range(200):
        await engine.submit(replace(ENTRY, quantity=D(1)), f"o{number}")
    await engine.close()
    path = tmp_path / STORE_FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'is_clean'")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'orders_legs'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.commit()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    with pytest.raises(StorageFailed, match="damaged"):
        await an_engine(tmp_path).start()


async def test_a_file_of_a_newer_version_is_not_touched(tmp_path):
    await an_engine(tmp_path).start()
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageFailed, match="newer version"):
        await an_engine(tmp_path).start()


async def test_what_another_process_changed_in_the_file_is_seen(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as connection:
        connection.execute("UPDATE fills SET quantity = '70'")
        connection.commit()
    assert [each.quantity for each in await engine.positions()] == [70]


def test_there_is_nothing_to_read_before_the_first_start(tmp_path):
    with pytest.raises(NotFound):
        account_beside(tmp_path)
    assert not (tmp_path / STORE_FILE).exists()


async def test_a_store_that_cannot_be_read_is_a_storage_fault(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    with closing(sqlite3.connect(tmp_path / STORE_FILE)) as connection:
        connection.execute("UPDATE fills SET quantity = 'many'")
        connection.commit()
    with pytest.raises(StorageFailed, match="cannot be read"):
        await engine.positions()


def test_an_order_with_its_fill_and_its_legs_is_one_commit_and_a_look_is_none(tmp_path):
    account = PaperAccount.open(tmp_path, PaperSettings(), Capabilities(stop_orders=True))
    before = account.commits
    account.submit(ENTRY, ID, NOW, ())
    assert account.commits - before == 1
    account.submit(ENTRY, ID, NOW, ())
    account.lookup(ID, NOW, ())
    account.catch_up(later(60), ())
    assert account.commits - before == 1
    account.observe("ABCD", D(4), NOW, NOW, ())
    assert account.commits - before == 2
    account.close()


# Legs -------------------------------------------------------------------------------------------------------------


async def test_a_filled_entry_has_its_stop_and_target_at_once(tmp_path):
    engine = an_engine(tmp_path)
    outcome = await engine.submit(ENTRY, ID)
    stop, target = outcome.leg(Leg.STOP), outcome.leg(Leg.TARGET)
    assert (stop.order_id, stop.state, stop.protects, stop.trigger_price) == (STOP_ID, ACCEPTED, 100, D("4.75"))
    assert (target.order_id, target.state, target.protects, target.trigger_price) == (TARGET_ID, ACCEPTED, 100, 6)
    assert [(each.order_id, each.side, each.quantity) for each in await engine.orders()] == [
        (STOP_ID, Side.SELL, 100),
        (TARGET_ID, Side.SELL, 100),
    ]


async def test_an_entry_without_a_stop_has_no_legs(tmp_path):
    engine = an_engine(tmp_path)
    assert (await engine.submit(BARE, ID)).legs == ()
    assert await engine.orders() == ()


async def test_an_exit_that_closes_the_position_cancels_the_legs(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    await engine.submit(EXIT, "x")
    assert [each.state for each in (await engine.lookup(ID)).legs] == [CANCELLED, CANCELLED]
    assert await engine.orders() == ()
    assert await engine.observe("ABCD", D(1), later(1)) == ()


async def test_an_exit_of_a_part_shrinks_the_legs_and_the_stop_sells_the_rest_only(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    await engine.submit(replace(EXIT, quantity=D(30)), "x")
    assert [each.protects for each in (await engine.lookup(ID)).legs] == [70, 70]
    await engine.observe("ABCD", D(4), later(1))
    assert (await engine.lookup(STOP_ID)).quantity == 70
    assert await engine.positions() == ()


async def test_cancel_releases_the_legs_and_leaves_the_position(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    outcome = await engine.cancel(ID)
    assert (outcome.state, [each.state for each in outcome.legs]) == (FILLED, [CANCELLED, CANCELLED])
    assert await engine.observe("ABCD", D(1), later(1)) == ()
    assert [each.quantity for each in await engine.positions()] == [100]
    assert (await engine.submit(EXIT, "x")).state is FILLED


async def test_one_leg_can_be_cancelled_alone(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    assert (await engine.cancel(TARGET_ID)).state is CANCELLED
    assert [each.state for each in (await engine.lookup(ID)).legs] == [ACCEPTED, CANCELLED]


async def test_two_entries_in_one_ticker_have_legs_each_and_old_shares_go_first(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    await engine.submit(replace(ENTRY, quantity=D(50), stop_price=D("4.5")), "cs-1-entry")
    await engine.submit(replace(EXIT, quantity=D(90)), "x")
    assert (await engine.lookup(ID)).leg(Leg.STOP).protects == 10
    assert (await engine.lookup("cs-1-entry")).leg(Leg.STOP).protects == 50
    assert await engine.observe("ABCD", D("4.7"), later(1)) == (ID,)
    assert [each.quantity for each in await engine.positions()] == [50]
    assert await engine.observe("ABCD", D("4.5"), later(2)) == ("cs-1-entry",)
    assert await engine.positions() == ()


# Orders that wait -------------------------------------------------------------------------------------------------


async def test_a_stop_as_an_order_of_its_own_waits_and_fills_at_the_price_seen(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(BARE, ID)
    assert (await engine.submit(STOP, "s")).state is ACCEPTED
    assert await engine.observe("ABCD", D("4.76"), later(1)) == ()
    assert await engine.observe("ABCD", D("4.1"), later(2)) == ("s",)
    found = await engine.lookup("s")
    assert (found.state, found.quantity, found.price, found.detail) == (FILLED, 100, D("4.1"), "stop triggered")


async def test_a_stop_that_the_price_has_passed_fills_at_once(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(BARE, ID)
    await engine.observe("ABCD", D("4.5"), later(0))
    late = replace(STOP, reference_price_at=later(-60))
    assert (await engine.submit(late, "s")).price == D("4.5")


async def test_a_stop_can_be_cancelled_and_placed_anew_for_other_shares(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(BARE, ID)
    await engine.submit(STOP, "s1")
    assert (await engine.cancel("s1")).state is CANCELLED
    assert (await engine.submit(replace(STOP, quantity=D(60)), "s2")).state is ACCEPTED
    assert [each.order_id for each in await engine.orders()] == ["s2"]


async def test_two_exits_for_the_same_shares_are_one(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(BARE, ID)
    await engine.submit(STOP, "s")
    assert (await engine.submit(EXIT, "x")).detail == "no position of 100 ABCD to close"
    assert (await engine.submit(STOP, "s2")).state is REJECTED


async def test_a_waiting_stop_ends_with_its_position_and_never_opens_another(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(BARE, ID)
    await engine.submit(replace(STOP, quantity=D(40)), "s")
    await engine.submit(replace(EXIT, quantity=D(60)), "x1")
    # An entry to the other side takes the rest of the position away from under the stop.
    await engine.submit(replace(BARE, side=Side.SELL, quantity=D(40)), "cs-1-entry")
    assert (await engine.lookup("s")).state is CANCELLED
    assert await engine.observe("ABCD", D(1), later(1)) == ()
    assert await engine.positions() == ()


async def test_a_limit_that_is_not_reached_waits_and_then_fills_at_its_own_price(tmp_path):
    engine = an_engine(tmp_path)
    plan = a_limit(ENTRY, "4.90", time_in_force=TimeInForce.GTC)
    first = await engine.submit(plan, ID)
    assert (first.state, first.quantity, first.legs) == (ACCEPTED, 0, ())
    assert [(each.order_id, each.limit_price, each.stop_price) for each in await engine.orders()] == [
        (ID, D("4.90"), None)
    ]
    assert await engine.observe("ABCD", D("4.91"), later(1)) == ()
    assert await engine.observe("ABCD", D("4.80"), later(2)) == (ID,)
    found = await engine.lookup(ID)
    assert (found.state, found.price, found.leg(Leg.STOP).protects) == (FILLED, D("4.90"), 100)


async def test_a_limit_that_is_reached_fills_at_the_market_and_never_beyond_itself(tmp_path):
    engine = an_engine(tmp_path, slippage_bps="100")
    assert (await engine.submit(a_limit(BARE, "5.10"), "a")).price == D("5.05")
    assert (await engine.submit(a_limit(BARE, "5.02"), "b")).price == D("5.02")
    assert (await engine.submit(a_limit(EXIT, "4.98"), "x")).price == D("4.98")


async def test_a_waiting_entry_holds_its_cash_and_gives_it_back(tmp_path):
    engine = an_engine(tmp_path, start_cash_usd="500")
    assert (await engine.submit(a_limit(ENTRY, "4.90"), ID)).state is ACCEPTED
    assert (await engine.submit(replace(ENTRY, ticker="OTHER", quantity=D(10)), "cs-1-entry")).state is REJECTED
    assert (await engine.cancel(ID)).state is CANCELLED
    assert (await engine.submit(replace(ENTRY, ticker="OTHER", quantity=D(10)), "cs-2-entry")).state is FILLED


@pytest.mark.parametrize(
    ("made_at", "now", "is_over"),
    [
        ("2026-01-05T15:00:00+00:00", "2026-01-05T20:59:00+00:00", False),
        ("2026-01-05T15:00:00+00:00", "2026-01-05T21:00:00+00:00", True),
        ("2026-01-05T15:00:00+00:00", "2026-01-06T15:00:00+00:00", True),
        ("2026-01-05T12:00:00+00:00", "2026-01-05T13:00:00+00:00", False),
        ("2026-01-05T12:00:00+00:00", "2026-01-05T21:00:00+00:00", True),
        ("2026-01-03T12:00:00+00:00", "2026-01-04T12:00:00+00:00", False),
        ("2026-01-03T12:00:00+00:00", "2026-01-05T20:00:00+00:00", False),
        ("2026-01-03T12:00:00+00:00", "2026-01-05T21:00:00+00:00", True),
        ("2026-11-27T16:00:00+00:00", "2026-11-27T18:00:00+00:00", True),
        ("2080-01-03T16:00:00+00:00", "2080-01-09T18:00:00+00:00", False),
    ],
)
async def test_an_order_for_the_day_ends_at_the_close_of_its_session(tmp_path, made_at, now, is_over):
    clock = Clock(NOW.fromisoformat(made_at))
    engine = an_engine(tmp_path, clock)
    plan = a_limit(ENTRY, "4.90", time_in_force=TimeInForce.DAY, reference_price_at=clock())
    await engine.submit(plan, "day")
    await engine.submit(replace(plan, time_in_force=TimeInForce.GTC), "gtc")
    clock.at = NOW.fromisoformat(now)
    assert (await engine.lookup("day")).state is (CANCELLED if is_over else ACCEPTED)
    assert (await engine.lookup("gtc")).state is ACCEPTED


# Latency, parts, rejects ------------------------------------------------------------------------------------------


async def test_with_latency_an_order_is_accepted_first_and_fills_at_the_price_of_later(tmp_path):
    clock = Clock()
    engine = an_engine(tmp_path, clock, latency_ms=500)
    assert (await engine.submit(ENTRY, ID)).state is ACCEPTED
    clock.passes(0.4)
    await engine.observe("ABCD", D("5.2"), clock())
    assert (await engine.lookup(ID)).state is ACCEPTED
    clock.passes(0.1)
    found = await engine.lookup(ID)
    assert (found.state, found.price, found.leg(Leg.STOP).protects) == (FILLED, D("5.2"), 100)


async def test_an_entry_that_became_too_dear_on_its_way_is_cancelled(tmp_path):
    clock = Clock()
    engine = an_engine(tmp_path, clock, latency_ms=500, start_cash_usd="510")
    await engine.submit(ENTRY, ID)
    clock.passes(0.4)
    await engine.observe("ABCD", D("5.2"), clock())
    clock.passes(0.1)
    found = await engine.lookup(ID)
    assert (found.state, found.detail) == (CANCELLED, "520.00 USD is more than the cash at hand")
    assert (await engine.account()).cash == 510


async def test_a_part_fills_first_and_its_legs_grow_with_the_rest(tmp_path):
    engine = an_engine(tmp_path, partial_percent="100")
    first = await engine.submit(ENTRY, ID)
    assert first.state is PARTLY
    assert 10 <= first.quantity <= 90
    assert first.quantity == first.quantity.to_integral_value()
    assert [each.protects for each in first.legs] == [first.quantity] * 2
    found = await engine.lookup(ID)
    assert (found.state, found.quantity, found.price) == (FILLED, 100, 5)
    assert [each.protects for each in found.legs] == [100, 100]
    assert [each.quantity for each in fills_of(tmp_path)] == [first.quantity, 100 - first.quantity]


async def test_a_stop_that_triggers_between_the_parts_ends_the_rest_of_its_entry(tmp_path):
    clock = Clock()
    engine = an_engine(tmp_path, clock, partial_percent="100", latency_ms=1000)
    await engine.submit(ENTRY, ID)
    clock.passes(1)
    part = (await engine.lookup(ID)).quantity
    assert await engine.observe("ABCD", D(4), clock()) == (ID,)
    found = await engine.lookup(ID)
    assert (found.state, found.quantity, found.detail) == (CANCELLED, part, "its stop was triggered")
    assert found.leg(Leg.STOP).quantity == part
    clock.passes(10)
    await engine.lookup(ID)
    assert await engine.positions() == ()


async def test_a_leg_that_was_cancelled_alone_does_not_come_back_with_the_rest(tmp_path):
    clock = Clock()
    engine = an_engine(tmp_path, clock, partial_percent="100", latency_ms=1000)
    await engine.submit(ENTRY, ID)
    clock.passes(1)
    await engine.lookup(ID)
    await engine.cancel(STOP_ID)
    clock.passes(1)
    found = await engine.lookup(ID)
    assert (found.state, found.leg(Leg.STOP).state, found.leg(Leg.TARGET).protects) == (FILLED, CANCELLED, 100)


async def test_cancel_between_the_parts_keeps_what_had_filled(tmp_path):
    clock = Clock()
    engine = an_engine(tmp_path, clock, partial_percent="100", latency_ms=1000)
    await engine.submit(ENTRY, ID)
    clock.passes(1)
    part = (await engine.lookup(ID)).quantity
    found = await engine.cancel(ID)
    assert (found.state, found.quantity) == (CANCELLED, part)
    assert [each.quantity for each in await engine.positions()] == [part]


async def test_every_order_is_rejected_at_a_hundred_percent_and_none_at_zero(tmp_path):
    assert (await an_engine(tmp_path / "a", reject_percent="100").submit(ENTRY, ID)).detail.startswith("rejected by")
    engine = an_engine(tmp_path / "b", reject_percent="40")
    states = [(await engine.submit(replace(BARE, quantity=D(1)), f"o{n}")).state for n in range(200)]
    assert 60 <= states.count(REJECTED) <= 100
    again = an_engine(tmp_path / "c", reject_percent="40")
    assert [(await again.submit(replace(BARE, quantity=D(1)), f"o{n}")).state for n in range(200)] == states
    other = an_engine(tmp_path / "d", reject_percent="40", seed=2)
    assert [(await other.submit(replace(BARE, quantity=D(1)), f"o{n}")).state for n in range(200)] != states


async def test_events_name_what_filled_by_itself(tmp_path):
    clock = Clock()
    engine = PaperEngine(tmp_path, PaperSettings.model_validate({"latency_ms": 20}), clock=clock, has_own_thread=True)
    assert engine.capabilities().events
    hints = engine.events()
    waiting = asyncio.ensure_future(anext(hints))
    await engine.submit(ENTRY, ID)
    clock.passes(1)
    async with asyncio.timeout(5):
        assert (await waiting).order_id == ID
    ending = asyncio.ensure_future(anext(hints, None))
    await engine.close()
    async with asyncio.timeout(5):
        assert await ending is None


def test_it_has_no_events_where_nothing_happens_by_itself(tmp_path):
    can = an_engine(tmp_path).capabilities()
    assert (can.brackets, can.stop_orders, can.cancels, can.shorts, can.idempotent) == (True,) * 5
    assert (can.quotes, can.fractions, can.events, can.extended_hours, can.symbols) == (False,) * 5


# Made from a config -----------------------------------------------------------------------------------------------


def a_context(path: Path) -> EngineContext:
    return EngineContext(data=path / "data", home=path, user="alice", clock=Clock(), environ={})


async def test_it_is_made_without_touching_the_disk(tmp_path):
    engine = make(PaperSettings(), a_context(tmp_path))
    assert list(tmp_path.iterdir()) == []
    await engine.start()
    assert (tmp_path / "data" / STORE_FILE).exists()
    await engine.close()


async def test_a_source_that_is_missing_makes_it_unusable(tmp_path):
    wants = PaperSettings(price_source="engine", quotes_from="alpaca")
    with pytest.raises(EngineUnusable, match="no engine gives quotes"):
        make(wants, a_context(tmp_path))
    wants = PaperSettings.model_validate({"price_source": "quotes_file", "quotes_file": "prices.csv"})
    engine = make(wants, a_context(tmp_path))
    with pytest.raises(EngineUnusable, match=r"prices\.csv"):
        await engine.start()
    await engine.close()


@pytest.mark.parametrize("source", ["quotes_file", "engine"])
def test_a_source_must_be_named(source):
    with pytest.raises(ValueError, match="names none"):
        PaperSettings.model_validate({"price_source": source})


async def test_a_turn_is_not_written_over_what_another_process_wrote(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(ENTRY, ID)
    store = PaperStore.open(tmp_path / STORE_FILE)
    turn_of_before = store.standing()
    await engine.submit(EXIT, "x")
    turn = Turn(turn_of_before)
    turn.mark("ABCD", D(9), later(1))
    assert store.write(turn) is False
    store.close()


async def test_covering_a_short_pays_back_and_ends_its_legs(tmp_path):
    engine = an_engine(tmp_path)
    await engine.submit(SHORT, ID)
    assert (await engine.account()).cash == 10500
    assert (await engine.submit(replace(COVER, reference_price=D("4.5")), "x")).state is FILLED
    assert (await engine.account()).cash == 10050
    assert await engine.orders() == ()


def test_order_ids_are_short_deterministic_and_differ_by_signal_user_and_leg():
    ids = {
        order_id_from(signal, user, leg)
        for signal in ("0" * 32, "1" * 32)
        for user in ("alice", "bob")
        for leg in (Leg.ENTRY, Leg.EXIT)
    }
    assert len(ids) == 8
    assert all(len(each) <= 48 for each in ids)
    assert order_id_from("0" * 32, "alice", Leg.ENTRY, 2) == ID
    assert order_id_from("0" * 32, "alice", Leg.EXIT, 2) != order_id_from("0" * 32, "alice", Leg.EXIT)
    assert len(triggered_order_id(ID, Leg.TARGET)) <= 48
