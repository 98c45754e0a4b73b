"""The Alpaca engine with the real alpaca-py, over real sockets, against a stand-in that can misbehave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alpaca_stand_in import KEY_ID, SECRET, StandIn

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.alpaca.engine import KEEP_OPEN_S, AlpacaEngine, make
from subscriber_agent.engines.alpaca.keys import AlpacaKeys
from subscriber_agent.engines.alpaca.sdk import Lost, Refused
from subscriber_agent.engines.alpaca.settings import AlpacaSettings
from subscriber_agent.engines.alpaca.stream import Beats
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import EngineEvent, Outcome, OutcomeState, order_id_from, triggered_order_id
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

REGULAR = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
PRE = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
EVENING = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)
NIGHT = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
NEXT_DAY = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
ENTRY_ID = order_id_from("s-1", "alice", Leg.ENTRY)
EXIT_ID = order_id_from("s-1", "alice", Leg.EXIT)
STOP_ID = order_id_from("s-1", "alice", Leg.STOP)
FAST = Beats(every_s=0.2, patience_s=0.6, missed_s=0.6, open_s=2, pause_s=0.02, longest_pause_s=0.05, steady_s=9)

ENTRY = OrderPlan(
    ticker="ACME",
    side=Side.BUY,
    leg=Leg.ENTRY,
    quantity=Decimal(10),
    order_type=OrderType.LIMIT,
    limit_price=Decimal("10.10"),
    stop_price=Decimal("9.50"),
    target_price=Decimal("11.20"),
    time_in_force=TimeInForce.DAY,
    reference_price=Decimal(10),
    reference_price_at=REGULAR,
    catalyst="fda",
)
EXIT = replace(
    ENTRY,
    side=Side.SELL,
    leg=Leg.EXIT,
    order_type=OrderType.MARKET,
    limit_price=None,
    stop_price=None,
    target_price=None,
)
STOP = replace(EXIT, leg=Leg.STOP, order_type=OrderType.STOP, stop_price=Decimal("9.50"), time_in_force=TimeInForce.GTC)


class Clock:
    now = REGULAR

    def __call__(self) -> datetime:
        return self.now


@pytest_asyncio.fixture
async def alpaca() -> AsyncIterator[StandIn]:
    broker = StandIn()
    await broker.start()
    yield broker
    await broker.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


Start = Callable[..., Awaitable[AlpacaEngine]]


@pytest_asyncio.fixture
async def start(alpaca: StandIn, clock: Clock, tmp_path: Path) -> AsyncIterator[Start]:
    """`await start(**settings)`: an engine that is up."""
    engines: list[AlpacaEngine] = []

    async def started(**values: Any) -> AlpacaEngine:
        engine = engine_for(alpaca, clock, tmp_path, **values)
        engines.append(engine)
        await engine.start()
        return engine

    yield started
    for engine in engines:
        await engine.close()


def engine_for(
    alpaca: StandIn,
    clock: Clock,
    tmp_path: Path,
    *,
    only_looks: bool = False,
    keep_open_s: float = KEEP_OPEN_S,
    **values: Any,
) -> AlpacaEngine:
    settings = AlpacaSettings(
        **{"trading_url": alpaca.url, "data_url": alpaca.url, "timeout_s": "0.5", "settle_s": "0", **values}
    )
    context = EngineContext(tmp_path, tmp_path, "alice", clock, {}, only_looks)
    return AlpacaEngine(settings, AlpacaKeys(KEY_ID, SECRET), context, beats=FAST, keep_open_s=keep_open_s)


def posts(alpaca: StandIn) -> list[Any]:
    return alpaca.asked("POST", "/v2/orders")


# -- entries and their legs ---------------------------------------------------------------------------------------


async def test_an_entry_goes_out_as_a_bracket_until_cancelled_with_exact_prices(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    assert posts(alpaca) == [
        {
            "symbol": "ACME",
            "qty": "10",
            "side": "buy",
            "type": "limit",
            "time_in_force": "gtc",
            "client_order_id": ENTRY_ID,
            "limit_price": "10.1",
            "order_class": "bracket",
            "stop_loss": {"stop_price": "9.5"},
            "take_profit": {"limit_price": "11.2"},
        }
    ]


@pytest.mark.parametrize("nests", [True, False], ids=["nested", "flat"])
async def test_after_the_fill_the_held_stop_of_a_bracket_protects(start: Start, alpaca: StandIn, nests: bool) -> None:
    alpaca.nests_by_client_id = nests
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    outcome = await engine.lookup(ENTRY_ID)
    assert outcome is not None
    assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, 10, 10)
    stop, target = outcome.leg(Leg.STOP), outcome.leg(Leg.TARGET)
    assert alpaca.legs(ENTRY_ID)["stop"]["status"] == "held"
    assert stop is not None
    assert (stop.state, stop.protects, stop.trigger_price) == (OutcomeState.ACCEPTED, 10, Decimal("9.5"))
    assert stop.order_id == alpaca.legs(ENTRY_ID)["stop"]["id"]
    assert target is not None
    assert (target.state, target.trigger_price) == (OutcomeState.ACCEPTED, Decimal("11.2"))


async def test_a_stop_alone_is_a_one_triggers_other_order(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    await engine.submit(replace(ENTRY, target_price=None), ENTRY_ID)
    outcome = await engine.lookup(ENTRY_ID)
    assert posts(alpaca)[0]["order_class"] == "oto"
    assert outcome is not None
    assert [(each.leg, each.state) for each in outcome.legs] == [(Leg.STOP, OutcomeState.ACCEPTED)]


async def test_an_entry_that_filled_in_part_has_no_leg_yet(start: Start, alpaca: StandIn) -> None:
    alpaca.fills_at_once = False
    engine = await start()
    assert (await engine.submit(ENTRY, ENTRY_ID)).state is OutcomeState.ACCEPTED
    await alpaca.fill(alpaca.order(ENTRY_ID), "4", "10.05")
    assert await engine.lookup(ENTRY_ID) == Outcome(OutcomeState.PARTLY_FILLED, Decimal(4), Decimal("10.05"))


async def test_a_cancelled_entry_keeps_what_had_filled(start: Start, alpaca: StandIn) -> None:
    alpaca.fills_at_once = False
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    await alpaca.fill(alpaca.order(ENTRY_ID), "4", "10.05")
    outcome = await engine.cancel(ENTRY_ID)
    assert outcome is not None
    assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.CANCELLED, 4, Decimal("10.05"))
    assert all(each.state.is_final for each in outcome.legs)


@pytest.mark.parametrize("as_new_order", [False, True], ids=["same", "replaced"])
async def test_a_triggered_stop_shows_its_fill_and_ends_the_target(
    start: Start, alpaca: StandIn, as_new_order: bool
) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    await alpaca.trigger_stop(ENTRY_ID, "9.40", as_new_order=as_new_order)
    outcome = await engine.lookup(ENTRY_ID)
    assert outcome is not None
    stop, target = outcome.leg(Leg.STOP), outcome.leg(Leg.TARGET)
    assert stop is not None
    assert target is not None
    assert (stop.state, stop.quantity, stop.price) == (OutcomeState.FILLED, 10, Decimal("9.4"))
    assert stop.trigger_price == Decimal("9.5")
    assert as_new_order or target.state is OutcomeState.CANCELLED


async def test_cancel_releases_the_legs_so_that_an_exit_goes_through(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    refused = await engine.submit(EXIT, order_id_from("s-0", "alice", Leg.EXIT))
    assert (refused.state, refused.detail) == (OutcomeState.REJECTED, "insufficient qty available for order")
    released = await engine.cancel(ENTRY_ID)
    assert released is not None
    assert released.state is OutcomeState.FILLED
    assert [each.state for each in released.legs] == [OutcomeState.CANCELLED] * 2
    await engine.submit(EXIT, EXIT_ID)
    assert await engine.lookup(EXIT_ID) == Outcome(OutcomeState.FILLED, Decimal(10), Decimal(10))
    assert await engine.positions() == ()


async def test_a_stop_order_of_its_own_works_until_cancelled(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    alpaca.held["ACME"] = (Decimal(10), Decimal(10))
    outcome = await engine.submit(STOP, STOP_ID)
    assert outcome.state is OutcomeState.ACCEPTED
    body = posts(alpaca)[0]
    assert (body["type"], body["stop_price"], body["time_in_force"]) == ("stop", "9.5", "gtc")
    ended = await engine.cancel(STOP_ID)
    assert ended is not None
    assert ended.state is OutcomeState.CANCELLED


async def test_cancel_of_an_order_that_never_was_is_no_fault(start: Start) -> None:
    assert await (await start()).cancel(ENTRY_ID) is None


# -- sent once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [429, 500, 503, 504, "hang", "drop", "garbage", "list"], ids=str)
async def test_an_order_without_a_clear_answer_is_sent_once_and_found(
    start: Start, alpaca: StandIn, kind: int | str
) -> None:
    engine = await start()
    alpaca.fail_next("POST", "/v2/orders", kind, after_accepting=True)
    outcome = await engine.submit(ENTRY, ENTRY_ID)
    assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 10)
    assert len(posts(alpaca)) == 1


@pytest.mark.parametrize("kind", [429, 500, 504, "hang", "drop"], ids=str)
async def test_an_order_that_never_arrived_is_unknown_and_never_sent_again(
    start: Start, alpaca: StandIn, kind: int | str
) -> None:
    engine = await start(settle_s="60")
    alpaca.fail_next("POST", "/v2/orders", kind)
    assert (await engine.submit(ENTRY, ENTRY_ID)).state is OutcomeState.UNKNOWN
    assert len(posts(alpaca)) == 1
    assert alpaca.orders == {}


async def test_a_lost_order_is_not_there_for_certain_only_after_a_while(start: Start, alpaca: StandIn) -> None:
    engine = await start(settle_s="3")
    alpaca.fail_next("POST", "/v2/orders", 504)
    assert (await engine.submit(ENTRY, ENTRY_ID)).state is OutcomeState.UNKNOWN
    assert await engine.lookup(ENTRY_ID) is None


async def test_a_second_hand_over_of_the_same_id_orders_nothing(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    assert (await engine.submit(ENTRY, ENTRY_ID)).state is OutcomeState.FILLED
    assert len(posts(alpaca)) == 1


async def test_an_id_that_alpaca_knows_from_before_a_restart_is_looked_up(start: Start, alpaca: StandIn) -> None:
    await (await start()).submit(ENTRY, ENTRY_ID)
    outcome = await (await start()).submit(ENTRY, ENTRY_ID)
    assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 10)
    assert len(alpaca.orders) == 3
    assert alpaca.held["ACME"][0] == 10


async def test_an_exit_that_is_handed_over_again_is_looked_up_though_nothing_is_left_to_close(
    start: Start, alpaca: StandIn
) -> None:
    alpaca.held["ACME"] = (Decimal(10), Decimal(10))
    await (await start()).submit(EXIT, EXIT_ID)
    outcome = await (await start()).submit(EXIT, EXIT_ID)
    assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 10)
    assert len(posts(alpaca)) == 1


async def test_an_entry_that_is_handed_over_again_after_the_close_is_looked_up(
    start: Start, alpaca: StandIn, clock: Clock
) -> None:
    await (await start()).submit(ENTRY, ENTRY_ID)
    clock.now = NIGHT
    assert (await (await start()).submit(ENTRY, ENTRY_ID)).state is OutcomeState.FILLED
    assert len(posts(alpaca)) == 1


async def test_a_refusal_of_ours_is_unknown_while_alpaca_does_not_answer(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    alpaca.fail_next("GET", "/v2/orders:by", 500, times=9)
    outcome = await engine.submit(replace(ENTRY, limit_price=Decimal("10.105")), ENTRY_ID)
    assert outcome.state is OutcomeState.UNKNOWN
    assert posts(alpaca) == []


async def test_a_closed_engine_can_be_started_again(start: Start) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    await engine.close()
    await engine.start()
    outcome = await engine.lookup(ENTRY_ID)
    assert outcome is not None
    assert outcome.state is OutcomeState.FILLED


async def test_an_answer_about_another_order_is_not_believed(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    alpaca.order(ENTRY_ID)["client_order_id"] = EXIT_ID
    other = replace(ENTRY, ticker="SPY", quantity=Decimal(1), limit_price=None, order_type=OrderType.MARKET)
    outcome = await engine.submit(other, EXIT_ID)
    # Alpaca knows the id from an order for another ticker: what is found is shown as it is, and nothing is sent.
    assert outcome.state is OutcomeState.FILLED
    assert [each["symbol"] for each in alpaca.orders.values()] == ["ACME"] * 3


async def test_a_fill_of_more_than_was_ordered_is_told_as_it_is(start: Start, alpaca: StandIn) -> None:
    alpaca.fills_at_once = False
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    await alpaca.fill(alpaca.order(ENTRY_ID), "15", "10")
    outcome = await engine.lookup(ENTRY_ID)
    assert outcome is not None
    assert (outcome.state, outcome.quantity) == (OutcomeState.FILLED, 15)
    assert outcome.detail == "Alpaca filled 15 where 10 were ordered"


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ticker": "NONE"}, 'asset "NONE" not found'),
        ({"quantity": Decimal(5000)}, "insufficient buying power"),
    ],
    ids=["unknown_ticker", "funds"],
)
async def test_what_alpaca_refuses_is_rejected_with_its_words(
    start: Start, alpaca: StandIn, change: dict[str, Any], words: str
) -> None:
    engine = await start()
    outcome = await engine.submit(replace(ENTRY, **change), ENTRY_ID)
    assert (outcome.state, outcome.detail) == (OutcomeState.REJECTED, words)
    assert await engine.submit(replace(ENTRY, **change), ENTRY_ID) == outcome
    assert await engine.lookup(ENTRY_ID) == outcome
    assert len(posts(alpaca)) == 1


@pytest.mark.parametrize(
    ("change", "now"),
    [
        ({"limit_price": Decimal("10.105")}, REGULAR),
        ({"stop_price": Decimal("9.999")}, REGULAR),
        ({"stop_price": Decimal("10.10")}, REGULAR),
        ({"quantity": Decimal("1.5")}, REGULAR),
        ({}, PRE),
        ({}, NIGHT),
        ({"extended_hours": True}, NIGHT),
        ({"extended_hours": True, "order_type": OrderType.MARKET}, PRE),
    ],
    ids=["limit_tick", "stop_tick", "stop_at_limit", "fraction", "pre", "night", "extended_night", "extended_market"],
)
async def test_what_alpaca_would_refuse_or_keep_for_the_open_is_not_sent(
    start: Start, alpaca: StandIn, clock: Clock, change: dict[str, Any], now: datetime
) -> None:
    engine = await start()
    clock.now = now
    assert (await engine.submit(replace(ENTRY, **change), ENTRY_ID)).state is OutcomeState.REJECTED
    assert posts(alpaca) == []


@pytest.mark.parametrize("side", [Side.SELL, Side.BUY], ids=["long", "short"])
async def test_an_exit_with_nothing_to_close_is_not_sent(start: Start, alpaca: StandIn, side: Side) -> None:
    engine = await start()
    alpaca.held["ACME"] = (Decimal(3) * side.sign * -1, Decimal(10))
    outcome = await engine.submit(replace(EXIT, side=side), EXIT_ID)
    assert outcome.state is OutcomeState.REJECTED
    assert "no position of 10 ACME to close" in outcome.detail
    assert posts(alpaca) == []


async def test_an_exit_goes_out_when_alpaca_does_not_say_what_is_held(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    alpaca.held["ACME"] = (Decimal(10), Decimal(10))
    alpaca.fail_next("GET", "/v2/positions/", 500, times=5)
    await engine.submit(EXIT, EXIT_ID)
    assert alpaca.held == {}


async def test_refused_keys_are_a_fault_later_and_nothing_is_ordered(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    alpaca.keys_accepted = False
    with pytest.raises(Refused):
        await engine.submit(ENTRY, ENTRY_ID)
    alpaca.keys_accepted = True
    assert await engine.lookup(ENTRY_ID) is None


# -- outside the regular session ----------------------------------------------------------------------------------


async def test_an_entry_in_the_pre_market_is_a_limit_order_for_the_day_without_legs(
    start: Start, alpaca: StandIn, clock: Clock
) -> None:
    clock.now = PRE
    engine = await start()
    await engine.submit(replace(ENTRY, extended_hours=True), ENTRY_ID)
    body = posts(alpaca)[0]
    assert (body["type"], body["time_in_force"], body["extended_hours"]) == ("limit", "day", True)
    assert "order_class" not in body


@pytest.mark.parametrize(
    ("now", "settings", "expected"),
    [
        (REGULAR, {}, ("market", None)),
        (PRE, {}, ("limit", "9.9")),
        (EVENING, {"exit_band_percent": "2"}, ("limit", "9.8")),
        (PRE, {"extended_hours": "false"}, ("market", None)),
        (NIGHT, {}, ("market", None)),
    ],
    ids=["regular", "pre", "after", "switched_off", "night"],
)
async def test_an_exit_is_a_market_order_or_a_limit_at_the_quote_and_a_band(
    start: Start, alpaca: StandIn, clock: Clock, now: datetime, settings: dict[str, str], expected: tuple[str, str]
) -> None:
    engine = await start(**settings)
    clock.now = now
    alpaca.held["ACME"] = (Decimal(10), Decimal(10))
    await engine.submit(EXIT, EXIT_ID)
    body = posts(alpaca)[0]
    assert (body["type"], body.get("limit_price")) == expected
    assert body.get("extended_hours", False) is (expected[0] == "limit")


async def test_an_exit_without_a_quote_waits_for_the_open(start: Start, alpaca: StandIn, clock: Clock) -> None:
    engine = await start()
    clock.now = PRE
    alpaca.held["ACME"] = (Decimal(10), Decimal(10))
    alpaca.fail_next("GET", "/v2/stocks", 500, times=5)
    await engine.submit(EXIT, EXIT_ID)
    assert posts(alpaca)[0]["type"] == "market"


async def test_what_has_not_filled_is_withdrawn_at_the_end_of_its_day(
    start: Start, alpaca: StandIn, clock: Clock
) -> None:
    alpaca.fills_at_once = False
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    await engine._day_end.tick()
    assert alpaca.order(ENTRY_ID)["status"] == "new"
    clock.now = EVENING
    await engine._day_end.tick()
    assert alpaca.order(ENTRY_ID)["status"] == "canceled"


async def test_an_entry_of_an_earlier_day_is_withdrawn_at_the_start(
    start: Start, alpaca: StandIn, clock: Clock, until: Any
) -> None:
    alpaca.fills_at_once = False
    await (await start()).submit(ENTRY, ENTRY_ID)
    alpaca.order(ENTRY_ID)["submitted_at"] = "2026-03-02T15:00:00.123456789Z"
    clock.now = NEXT_DAY
    await start()
    await until(lambda: alpaca.order(ENTRY_ID)["status"] == "canceled", what="the entry is withdrawn")


async def test_who_only_looks_withdraws_nothing(start: Start, alpaca: StandIn, clock: Clock, tmp_path: Path) -> None:
    """`doctor` and `engine show --check` start the engine as well: that must not touch an order."""
    alpaca.fills_at_once = False
    await (await start()).submit(ENTRY, ENTRY_ID)
    alpaca.order(ENTRY_ID)["submitted_at"] = "2026-03-02T15:00:00.123456789Z"
    clock.now = NEXT_DAY
    looking = engine_for(alpaca, clock, tmp_path, only_looks=True)
    await looking.start()
    assert not looking._attending
    await looking.close()
    assert alpaca.order(ENTRY_ID)["status"] == "new"


async def test_the_stop_of_a_filled_entry_outlives_its_day(start: Start, alpaca: StandIn, clock: Clock) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    clock.now = EVENING
    await engine._day_end.tick()
    assert alpaca.legs(ENTRY_ID)["limit"]["status"] == "new"
    assert alpaca.legs(ENTRY_ID)["stop"]["status"] == "held"


# -- what it says -------------------------------------------------------------------------------------------------


async def test_positions_are_signed_and_working_orders_carry_our_names(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    await engine.submit(ENTRY, ENTRY_ID)
    alpaca.held["PENY"] = (Decimal(-7), Decimal("0.5"))
    assert [(each.ticker, each.quantity) for each in await engine.positions()] == [("ACME", 10), ("PENY", -7)]
    working = await engine.orders()
    names = [triggered_order_id(ENTRY_ID, leg) for leg in (Leg.STOP, Leg.TARGET)]
    assert [(each.order_id, each.ticker, each.side) for each in working] == [(n, "ACME", Side.SELL) for n in names]
    assert [each.stop_price for each in working] == [Decimal("9.5"), None]


@pytest.mark.parametrize(
    "change",
    [{"trading_blocked": True}, {"account_blocked": True}, {"trade_suspended_by_user": True}, {"status": "INACTIVE"}],
    ids=lambda change: next(iter(change)),
)
async def test_a_blocked_account_says_so(start: Start, alpaca: StandIn, change: dict[str, Any]) -> None:
    engine = await start()
    assert (await engine.account()).is_blocked is False
    alpaca.account |= change
    assert (await engine.account()).is_blocked is True


async def test_quotes_are_exact_and_an_empty_side_is_none(start: Start, alpaca: StandIn) -> None:
    engine = await start()
    alpaca.quotes["ACME"] = ("10.01", "0")
    quote = await engine.quote("ACME")
    assert quote is not None
    assert (quote.bid, quote.ask, quote.last) == (Decimal("10.01"), None, Decimal("10.01"))
    assert quote.at == datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC)
    assert await engine.quote("NONE") is None


async def test_flags_of_a_ticker_are_asked_once_an_hour_and_an_unknown_one_is_not_tradable(
    start: Start, alpaca: StandIn
) -> None:
    engine = await start()
    alpaca.add_asset("HARD", "5", easy_to_borrow=False)
    symbol = await engine.symbol("HARD")
    assert symbol is not None
    assert (symbol.is_tradable, symbol.is_shortable) == (True, False)
    await engine.symbol("HARD")
    assert len(alpaca.asked("GET", "/v2/assets/HARD")) == 1
    unknown = await engine.symbol("NONE")
    assert unknown is not None
    assert unknown.is_tradable is False


@pytest.mark.parametrize(("seconds", "is_halted"), [(30, False), (90, None), (-60, None)])
async def test_only_a_trade_of_a_moment_ago_says_that_a_ticker_is_not_halted(
    start: Start, alpaca: StandIn, clock: Clock, seconds: int, is_halted: bool | None
) -> None:
    engine = await start()
    clock.now = datetime(2026, 3, 2, 15, 0, tzinfo=UTC) + timedelta(seconds=seconds)
    alpaca.quotes["ACME"] = ("10.01", "10.03")
    symbol = await engine.symbol("ACME")
    assert symbol is not None
    assert symbol.is_halted is is_halted


@pytest.mark.parametrize("kind", [429, 500, "drop", "garbage"], ids=str)
async def test_a_read_that_fails_once_is_tried_once_more(start: Start, alpaca: StandIn, kind: int | str) -> None:
    engine = await start()
    alpaca.fail_next("GET", "/v2/account", kind)
    assert (await engine.account()).cash == 10_000


@pytest.mark.parametrize("kind", [500, "hang", "garbage"], ids=str)
async def test_an_alpaca_that_does_not_answer_is_a_fault(start: Start, alpaca: StandIn, kind: int | str) -> None:
    engine = await start()
    alpaca.fail_next("GET", "/v2/account", kind, times=9)
    with pytest.raises((Refused, Lost)):
        await engine.account()


# -- the start ----------------------------------------------------------------------------------------------------


async def test_refused_keys_are_named_at_the_start(alpaca: StandIn, clock: Clock, tmp_path: Path) -> None:
    alpaca.keys_accepted = False
    engine = engine_for(alpaca, clock, tmp_path)
    with pytest.raises(EngineUnusable, match="refuses these keys") as caught:
        await engine.start()
    await engine.close()
    assert SECRET not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


async def test_a_feed_without_a_subscription_is_named_at_the_start(
    alpaca: StandIn, clock: Clock, tmp_path: Path
) -> None:
    alpaca.feed_accepted = False
    engine = engine_for(alpaca, clock, tmp_path, feed="sip")
    with pytest.raises(EngineUnusable, match="feed sip"):
        await engine.start()
    await engine.close()


async def test_an_alpaca_that_is_down_does_not_stop_the_start(start: Start, alpaca: StandIn) -> None:
    alpaca.fail_next("GET", "/v2/account", 500, times=2)
    engine = await start()
    assert (await engine.account()).cash == 10_000


async def test_neither_the_log_nor_a_fault_holds_a_key(
    start: Start, alpaca: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    engine = await start()
    events = engine.events()
    await anext(events)
    alpaca.fail_next("POST", "/v2/orders", "drop", after_accepting=True)
    await engine.submit(ENTRY, ENTRY_ID)
    await events.aclose()  # type: ignore[attr-defined]
    assert SECRET not in caplog.text
    assert KEY_ID not in caplog.text
    assert SECRET not in repr(engine.__dict__)


def test_make_reads_the_keys_and_asks_nobody(tmp_path: Path) -> None:
    context = EngineContext(
        tmp_path, tmp_path, "alice", environ={"APCA_API_KEY_ID": KEY_ID, "APCA_API_SECRET_KEY": SECRET}
    )
    engine = make(AlpacaSettings(), context)
    assert (engine.name, engine.is_paper) == ("alpaca", True)
    assert make(AlpacaSettings(endpoint="live"), context).is_paper is False


# -- trade updates ------------------------------------------------------------------------------------------------


class Heard:
    """Collects events in the background."""

    def __init__(self, engine: AlpacaEngine) -> None:
        self.all: list[EngineEvent] = []
        self.task = asyncio.create_task(self._listen(engine))

    async def _listen(self, engine: AlpacaEngine) -> None:
        async for event in engine.events():
            self.all.append(event)

    def ids(self) -> list[str]:
        return [each.order_id for each in self.all]

    def gaps(self) -> list[str]:
        return [each.detail for each in self.all if each.is_gap]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest_asyncio.fixture
async def heard(start: Start, alpaca: StandIn, until: Any) -> AsyncIterator[tuple[AlpacaEngine, Heard]]:
    engine = await start()
    ears = Heard(engine)
    await until(lambda: ears.gaps() == ["the trade updates are connected"], what="connected")
    yield engine, ears
    await ears.stop()


async def test_updates_name_the_entry_also_for_its_legs(
    heard: tuple[AlpacaEngine, Heard], alpaca: StandIn, until: Any
) -> None:
    engine, ears = heard
    await engine.submit(ENTRY, ENTRY_ID)
    await until(lambda: ears.ids().count(ENTRY_ID) >= 2, what="new and fill")
    before = len(ears.all)
    await alpaca.trigger_stop(ENTRY_ID, "9.40", as_new_order=True)
    await until(lambda: len(ears.all) > before, what="the stop's fill")
    assert set(ears.ids()[before:]) == {ENTRY_ID}


async def test_an_update_about_an_order_of_nobody_is_a_gap(
    heard: tuple[AlpacaEngine, Heard], alpaca: StandIn, until: Any
) -> None:
    _, ears = heard
    await alpaca.tell("fill", {"id": "x", "client_order_id": "by hand", "status": "filled"})
    await until(lambda: ears.gaps()[1:] == ["filled"], what="the update")


async def test_an_update_that_cannot_be_read_is_a_gap_and_no_end(
    heard: tuple[AlpacaEngine, Heard], alpaca: StandIn, until: Any
) -> None:
    _, ears = heard
    await alpaca.send(b"\xff not json")
    await until(lambda: "an update that cannot be read" in ears.gaps(), what="the gap")
    assert alpaca.connections == 1


async def test_events_end_when_the_engine_is_closed(heard: tuple[AlpacaEngine, Heard], until: Any) -> None:
    engine, ears = heard
    await engine.close()
    await until(ears.task.done, what="the events have ended")
    assert ears.task.exception() is None


async def test_a_lost_stream_is_made_again_and_each_end_is_a_gap(
    heard: tuple[AlpacaEngine, Heard], alpaca: StandIn, until: Any
) -> None:
    engine, ears = heard
    await alpaca.drop_streams()
    await until(lambda: ears.gaps().count("the trade updates are connected") == 2, what="connected again")
    assert "cut off" in ears.gaps()[1]
    await engine.submit(ENTRY, ENTRY_ID)
    await until(lambda: ENTRY_ID in ears.ids(), what="updates flow again")


async def test_a_stream_that_answers_nothing_is_made_again(
    heard: tuple[AlpacaEngine, Heard], alpaca: StandIn, until: Any
) -> None:
    _, ears = heard
    alpaca.answers_listen = False
    await until(lambda: any("answers nothing" in each for each in ears.gaps()), what="noticed")


async def test_a_stream_that_says_nothing_about_our_order_is_made_again(
    heard: tuple[AlpacaEngine, Heard], alpaca: StandIn, until: Any
) -> None:
    engine, ears = heard
    alpaca.gives_updates = alpaca.fills_at_once = False
    await engine.submit(ENTRY, ENTRY_ID)
    await until(lambda: any("nothing about an order" in each for each in ears.gaps()), what="noticed")


async def test_refused_keys_at_the_stream_are_tried_again_with_pauses(
    start: Start, alpaca: StandIn, until: Any
) -> None:
    engine = await start()
    alpaca.keys_accepted = False
    ears = Heard(engine)
    await until(lambda: sum("does not accept the keys" in each for each in ears.gaps()) >= 2, what="two tries")
    alpaca.keys_accepted = True
    await until(lambda: "the trade updates are connected" in ears.gaps(), what="connected at last")
    await ears.stop()
