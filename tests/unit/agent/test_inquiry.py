"""What an engine is asked: at once where it takes that, in turn elsewhere; one look that fails is one fault."""

import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest
from agent_samples import D, a_signal
from desk_samples import Broker, Watched, a_quote, booked

from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineSilent
from subscriber_agent.inquiry import MOST_AT_ONCE, all_answered, answered
from subscriber_agent.journal import Journal
from subscriber_agent.reconciling import asked
from subscriber_agent.risk.market import Capabilities, Symbol

AT_ONCE = Capabilities(quotes=True, symbols=True, concurrent=True)
IN_TURN = Capabilities(quotes=True, symbols=True)
FOUR = ["account", "positions", "quote", "symbol"]


class Slow(Broker):
    """A broker that says how many questions were under way together, and fails over those that a test names.

    With `is_met` every question waits until four are there.
    """

    def __init__(self, can, *, is_met=False):
        super().__init__(can=can, symbol=Symbol(False, True, True, False))
        self.price = a_quote(5, self.clock)
        self.fails, self.hangs = set(), set()
        self.under_way = self.most = 0
        self.begun, self.ended = [], []
        self._meeting = asyncio.Barrier(4) if is_met else None

    async def account(self):
        return await self._timed("account", super().account())

    async def positions(self):
        return await self._timed("positions", super().positions())

    async def orders(self):
        return await self._timed("orders", super().orders())

    async def quote(self, ticker):
        return await self._timed("quote", super().quote(ticker), ticker)

    async def symbol(self, ticker):
        return await self._timed("symbol", super().symbol(ticker))

    async def lookup(self, order_id):
        return await self._timed("lookup", super().lookup(order_id), order_id)

    async def _timed(self, name, call, about=None):
        self.begun.append(name)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self._meeting is not None:
                await self._meeting.wait()
            await asyncio.sleep(60 if name in self.hangs else 0)
            answer = await call
            if {name, about} & self.fails:
                raise ConnectionError(f"{name} broke off")
            return answer
        finally:
            call.close()
            self.under_way -= 1
            self.ended.append(name)


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


def _handover(watched):
    return watched.desk._handover


async def _gathered(watched):
    return await _handover(watched).gathered(watched.desk._rules, "ABCD")


async def test_the_four_questions_of_a_decision_are_asked_at_once(journal):
    watched = Watched(journal, Slow(AT_ONCE, is_met=True))
    async with asyncio.timeout(5):
        gathered = await _gathered(watched)
    assert (gathered.account.cash, gathered.quote, gathered.symbol) == (
        D(10000),
        watched.engine.price,
        watched.engine.word,
    )
    assert watched.engine.begun == FOUR


async def test_an_engine_that_does_not_say_so_is_asked_in_turn(journal):
    watched = Watched(journal, Slow(IN_TURN))
    before = asyncio.all_tasks()
    await _gathered(watched)
    assert (watched.engine.begun, watched.engine.ended, watched.engine.most) == (FOUR, FOUR, 1)
    assert asyncio.all_tasks() == before


async def test_in_turn_nothing_is_asked_after_a_silence(journal):
    watched = Watched(journal, Slow(IN_TURN))
    watched.engine.fails = {"positions"}
    with pytest.raises(EngineSilent):
        await _gathered(watched)
    assert watched.engine.begun == ["account", "positions"]


@pytest.mark.parametrize("fails", [{"symbol"}, {"account", "quote"}, set(FOUR)], ids=["one", "two", "all"])
@pytest.mark.parametrize("can", [AT_ONCE, IN_TURN], ids=["at once", "in turn"])
async def test_a_look_that_fails_is_one_fault_however_many_of_its_questions_do(journal, can, fails):
    watched = Watched(journal, Slow(can))
    watched.engine.fails = fails
    for count in (1, 2):
        with pytest.raises(EngineSilent, match="broke off"):
            await _gathered(watched)
        assert journal.breaker("broker").failures == count
    assert len(watched.of("engine_fault")) == 1


async def test_our_own_trouble_beside_a_silence_stops_the_agent_and_is_no_fault(journal):
    watched = Watched(journal, Slow(AT_ONCE))
    watched.engine.fails = {"account"}

    async def full():
        raise StorageFailed("no space left")

    watched.engine.positions = full
    with pytest.raises(StorageFailed):
        await _gathered(watched)
    assert journal.breaker("broker").failures == 0


async def test_a_look_that_is_given_up_leaves_no_question_under_way_and_is_no_fault(journal):
    watched = Watched(journal, Slow(AT_ONCE))
    watched.engine.hangs = {"account", "symbol"}
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _gathered(watched)
    assert (watched.engine.under_way, sorted(watched.engine.ended)) == (0, sorted(FOUR))
    assert asyncio.all_tasks() == before
    assert journal.breaker("broker").failures == 0
    watched.engine.hangs = set()
    assert await watched.settled(a_signal()) == ["FILLED"]


async def test_a_look_that_is_given_up_before_it_began_asks_nothing(journal):
    engine = Slow(AT_ONCE)
    look = asyncio.ensure_future(_gathered(Watched(journal, engine)))
    await asyncio.sleep(0)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert engine.begun == []


async def test_each_question_has_a_time_limit_of_its_own():
    async def hangs():
        await asyncio.sleep(60)

    async def says():
        return "here"

    questions = [partial(answered, each, str, timeout_s=0.01) for each in (hangs, says)]
    silent, said = await all_answered(questions, is_at_once=True)
    assert (str(silent), said) == ("no answer within 0 s", "here")


async def test_a_cancellation_that_a_library_lets_out_is_no_answer():
    async def slips():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await all_answered([slips], is_at_once=True)


# Orders and prices ------------------------------------------------------------------------------------------------


def _held(journal, engine, *tickers):
    return [booked(journal, engine, each).order_id for each in tickers]


async def test_orders_are_looked_up_four_at_a_time_and_booked_one_by_one(journal):
    watched = Watched(journal, Slow(AT_ONCE))
    ids = _held(journal, watched.engine, *"ABCDEF")
    for ticker in "ABCDEF":
        watched.engine.moves(ticker, D("4.7"))
    found = await _handover(watched).look([*ids, ids[0]], watched.desk._rules)
    assert [(each.ticker, each.leg) for each in found] == [(each, Leg.STOP) for each in "ABCDEF"]
    assert (watched.engine.most, watched.engine.begun.count("lookup")) == (MOST_AT_ONCE, 6)


async def test_what_was_said_beside_a_silence_is_booked_and_the_silence_counts_once(journal):
    watched = Watched(journal, Slow(AT_ONCE))
    ids = _held(journal, watched.engine, *"ABC")
    for ticker in "ABC":
        watched.engine.moves(ticker, D("4.7"))
    watched.engine.fails = {ids[0], ids[2]}
    with pytest.raises(EngineSilent):
        await _handover(watched).look(ids, watched.desk._rules)
    assert [each.ticker for each in journal.fills() if each.leg is Leg.STOP] == ["B"]
    assert journal.breaker("broker").failures == 1
    watched.engine.fails = set()
    assert len(await _handover(watched).look(ids, watched.desk._rules)) == 2


@pytest.mark.parametrize("can", [AT_ONCE, IN_TURN], ids=["at once", "in turn"])
async def test_a_silence_about_one_ticker_leaves_the_others_their_prices(journal, can):
    watched = Watched(journal, Slow(can))
    watched.engine.fails = {"A"}
    found = await _handover(watched).quotes(["A", "B", "C"], watched.desk._rules)
    assert sorted(found) == ["B", "C"]
    assert (watched.engine.most, journal.breaker("broker").failures) == (3 if can.concurrent else 1, 1)


@pytest.mark.parametrize("can", [AT_ONCE, IN_TURN], ids=["at once", "in turn"])
async def test_a_comparison_asks_at_once_as_well(can):
    engine = Slow(can)
    await asked(engine, lambda: datetime.now(UTC))
    assert engine.most == (3 if can.concurrent else 1)
    engine.fails = {"orders"}
    with pytest.raises(EngineSilent, match="orders broke off"):
        await asked(engine, lambda: datetime.now(UTC))
