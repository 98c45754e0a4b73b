"""Looking after what is open gives way to a live signal: at its questions, never at its orders, and not for ever."""

import asyncio

import pytest
from agent_samples import a_signal
from desk_samples import WATCHED, Broker, Clock, Watched, a_quote

from subscriber_agent.giving_way import GaveWay, GivingWay
from subscriber_agent.journal import Journal
from subscriber_agent.rhythm import Rhythm

RISK = {"max_price_move_percent": 0}


class Thoughtful(Broker):
    """Thinks about the question named in `over` until it is given up."""

    over = ""
    given_up = 0

    def __init__(self, *foreign, **how):
        super().__init__(*foreign, **how)
        self.is_asked = asyncio.Event()

    async def _thought_about(self, question):
        if self.over == question:
            self.is_asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1

    async def account(self):
        await self._thought_about("account")
        return await super().account()

    async def quote(self, ticker):
        await self._thought_about("quote")
        return await super().quote(ticker)

    async def lookup(self, order_id):
        await self._thought_about("lookup")
        return await super().lookup(order_id)


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


async def _broken_off(looking, watched):
    """Ask for the turn once the engine thinks about it; the looking, and whether it may be broken off."""
    watched.engine.is_asked.clear()
    task = asyncio.ensure_future(looking)
    async with asyncio.timeout(10):
        await watched.engine.is_asked.wait()
    is_taken = watched.desk.give_way()
    await asyncio.wait([task], timeout=10 if is_taken else 0.2)
    return task, is_taken


@pytest.mark.parametrize("over", ["account", "lookup"])
async def test_a_question_is_broken_off_is_no_fault_and_is_asked_again(journal, over):
    clock = Clock()
    watched = Watched(journal, Thoughtful(clock=clock), clock=clock, risk=RISK)
    await watched.settled(a_signal())
    watched.engine.over = over
    task, is_taken = await _broken_off(watched.desk.tend(), watched)
    assert is_taken
    with pytest.raises(GaveWay):
        task.result()
    assert watched.engine.given_up >= 1
    assert journal.breaker("broker").failures == 0
    watched.engine.over = ""
    await watched.desk.tend()


async def test_the_prices_that_our_own_stops_wait_for_are_not_given_up(journal):
    clock = Clock()
    watched = Watched(journal, Thoughtful(can=WATCHED, quote=a_quote("5", clock), clock=clock), clock=clock)
    assert await watched.settled(a_signal()) == ["FILLED"]
    watched.engine.over = "quote"
    for looking in (watched.desk.watch, watched.desk.tend):
        task, is_taken = await _broken_off(looking(), watched)
        assert (is_taken, task.done()) == (False, False)
        task.cancel()
        await asyncio.wait([task])


async def test_a_wish_to_close_everything_does_not_give_way(journal):
    clock = Clock()
    watched = Watched(journal, Thoughtful(clock=clock), clock=clock, risk=RISK)
    assert await watched.settled(a_signal()) == ["FILLED"]
    journal.request_flatten("enough", clock())
    watched.engine.over = "account"
    task, is_taken = await _broken_off(watched.desk.tend(), watched)
    assert (is_taken, task.done()) == (False, False)
    task.cancel()
    await asyncio.wait([task])


async def test_nobody_gives_way_who_was_not_asked_in_time_or_is_not_looking_after_anything(journal):
    clock = Clock()
    watched = Watched(journal, Broker(clock=clock), clock=clock, risk=RISK)
    assert not watched.desk.give_way()
    await watched.desk.tend()
    assert not watched.desk.give_way()


async def test_what_comes_after_a_block_is_not_broken_off_by_what_was_asked_in_it():
    way = GivingWay()

    async def question():
        return [1]

    with way.allowed():
        assert way.ask()
    assert not way.ask()
    assert await way.unless_asked(question()) == [1]
    with way.allowed():
        assert await way.unless_asked(question()) == [1]


def test_it_does_not_give_way_again_and_again():
    rhythm = Rhythm(through_at=100.0)
    assert rhythm.may_give_way(109.9)
    assert not rhythm.may_give_way(110.0)
    assert not Rhythm().may_give_way(0.0)
