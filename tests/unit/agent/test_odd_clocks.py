"""A clock that was set, and an engine that lies once: neither leaves shares without a stop or a wish undone."""

from datetime import timedelta

import pytest
from agent_samples import D, a_close, a_signal
from desk_samples import ACCEPTED, BRACKETS, CANCELLED, STOP_ORDERS, WATCHED, Broker, Clock, Watched, a_quote

from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineSilent
from subscriber_agent.journal import Journal
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.market import Quote

BACK_S = -600


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


async def tended(watched, times=4, *, every_s=5):
    for _ in range(times):
        watched.clock.passes(every_s)
        await watched.desk.tend()


def is_stopped(engine, shares):
    return [each.rest for each in engine.there.values() if each.plan.leg is Leg.STOP and each.state is ACCEPTED] == [
        D(shares)
    ]


async def test_a_clock_set_back_does_not_put_off_a_missing_stop(journal):
    engine = Broker(can=BRACKETS)
    engine.legs_missing = True
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal()) == ["FILLED"]
    watched.clock.passes(BACK_S)
    await tended(watched)
    assert is_stopped(engine, 99)


async def test_a_clock_set_back_does_not_let_an_old_entry_fill(journal):
    engine = Broker(can=BRACKETS)
    engine.fills_now = 0
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal()) == ["ACCEPTED"]
    watched.clock.passes(BACK_S)
    await tended(watched, 1)
    assert engine.order_of(Leg.ENTRY).state is CANCELLED


async def test_a_watch_goes_blind_as_fast_after_the_clock_was_set_back(journal):
    clock = Clock()
    engine = Broker(can=WATCHED, clock=clock)
    engine.price = a_quote("5", clock)
    watched = Watched(journal, engine, clock=clock)
    assert await watched.settled(a_signal()) == ["FILLED"]
    for _ in range(30):
        clock.passes(60)
        engine.price = a_quote("5", clock)
        await watched.desk.tend()
    # The market's own times go on, and no price is of now by the clock that was set.
    true_time = clock()
    clock.passes(BACK_S)
    for _ in range(26):
        true_time += timedelta(seconds=5)
        engine.price = Quote(D(4), D("4.02"), D(4), true_time)
        await tended(watched, 1)
    assert engine.held() == {}
    assert len(watched.of("unprotected")) == 1


async def test_one_look_that_shows_nothing_does_not_end_a_flatten(journal):
    engine = Broker(can=BRACKETS)
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal()) == ["FILLED"]
    journal.request_flatten("all", watched.clock())
    there = dict(engine.there)
    engine.there.clear()
    await tended(watched, 1)
    engine.there.update(there)
    assert watched.of("all_closed") == []
    await tended(watched)
    assert engine.held() == {}
    assert len(watched.of("all_closed")) == 1


async def test_stops_and_exits_go_through_an_open_breaker(journal):
    engine = Broker(can=STOP_ORDERS)
    engine.fills_now = 0
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal()) == ["ACCEPTED"]
    breaker = Breaker()
    for _ in range(20):
        breaker = breaker.failed(watched.clock())
    journal.set_breaker(breaker, engine.name)
    engine.fills(engine.order_of(Leg.ENTRY), 40)
    await tended(watched, 1)
    assert is_stopped(engine, 40)
    journal.set_breaker(breaker, engine.name)
    engine.fills_now = None
    assert await watched.settled(a_close(news="news-2")) == ["FILLED"]
    assert engine.held() == {}


async def test_what_the_friend_bought_beside_us_stays_when_our_stop_was_faster_than_our_exit(journal):
    engine = Broker(can=BRACKETS)
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal()) == ["FILLED"]
    engine.foreign = {"ABCD": D(70)}
    engine.moves("ABCD", D("4.7"))
    assert await watched.settled(a_close(news="news-2")) == ["ABANDONED"]
    await tended(watched)
    assert engine.held() == {"ABCD": D(70)}


async def test_an_engine_that_was_silent_for_ten_minutes_finds_its_stop_right_and_its_entry_ended(journal):
    engine = Broker(can=STOP_ORDERS)
    engine.fills_now = 40
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal()) == ["PARTLY_FILLED"]
    engine.trouble = ConnectionError("away")
    for _ in range(60):
        watched.clock.passes(10)
        with pytest.raises(EngineSilent):
            await watched.desk.tend()
    engine.fills(engine.order_of(Leg.ENTRY), 30)
    engine.trouble = None
    await tended(watched)
    assert engine.order_of(Leg.ENTRY).state is CANCELLED
    assert is_stopped(engine, 70)
