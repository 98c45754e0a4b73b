"""The paper engine with prices of its own: a file that is read as time passes, or another engine's quotes."""

import asyncio
from dataclasses import replace

import pytest
from agent_samples import NOW, D
from paper_samples import BARE, ENTRY, EXIT, ID, Clock, a_limit, an_engine, close_all, fills_of

from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineSilent, OutcomeState
from subscriber_agent.risk.market import Quote

_LINES = """ts,ticker,price
2026-01-02T14:29:00Z,ABCD,5.10
2026-01-02T14:31:00Z,OTHER,1.00
2026-01-02T14:31:00Z,ABCD,5.30
a line that is none
2026-01-02T14:32:00Z,ABCD,4.50
2026-01-02T14:33:00Z,ABCD,5.60
"""


@pytest.fixture(autouse=True)
async def _closed():
    yield
    await close_all()


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(_LINES)
    return {"price_source": "quotes_file", "quotes_file": str(path)}


class Broker:
    """Another engine's quotes: what a test sets, or a trouble."""

    def __init__(self, **quotes):
        self.quotes = quotes
        self.trouble = None
        self.asked = 0

    async def __call__(self, ticker):
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return self.quotes.get(ticker)


def a_quote(bid, ask, last=None, at=NOW):
    return Quote(*(None if each is None else D(each) for each in (bid, ask, last)), at)


FROM_ENGINE = {"price_source": "engine", "quotes_from": "alpaca"}


async def test_an_order_fills_at_the_files_price_and_not_at_the_signals(tmp_path, prices):
    engine = an_engine(tmp_path, **prices)
    assert engine.capabilities().quotes
    assert (await engine.submit(ENTRY, ID)).price == D("5.10")
    quote = await engine.quote("ABCD")
    assert (quote.bid, quote.ask, quote.last) == (D("5.10"),) * 3


async def test_nothing_is_known_before_its_moment_and_every_price_counts_when_it_comes(tmp_path, prices):
    clock = Clock()
    engine = an_engine(tmp_path, clock, **prices)
    await engine.submit(ENTRY, ID)
    assert await engine.quote("OTHER") is None
    clock.passes(60)
    assert [each.last_price for each in await engine.positions()] == [D("5.30")]
    # Both later prices come in one look: the stop lies between them and is not jumped over.
    clock.passes(600)
    found = await engine.lookup(ID)
    assert (found.leg(Leg.STOP).state, found.leg(Leg.STOP).price) == (OutcomeState.FILLED, D("4.50"))
    assert await engine.positions() == ()


async def test_a_price_on_the_wire_is_not_the_markets(tmp_path, prices):
    engine = an_engine(tmp_path, **prices)
    await engine.submit(ENTRY, ID)
    assert await engine.observe("ABCD", D(1), NOW) == ()
    assert [each.quantity for each in await engine.positions()] == [100]


async def test_observe_brings_the_market_up_and_names_what_it_triggered(tmp_path, prices):
    clock = Clock()
    engine = an_engine(tmp_path, clock, **prices)
    await engine.submit(ENTRY, ID)
    clock.passes(600)
    assert await engine.observe("ABCD", D("5"), clock()) == (ID,)


async def test_a_restart_reads_the_file_again_and_comes_to_the_same(tmp_path, prices):
    clock = Clock()
    first = an_engine(tmp_path, clock, **prices)
    await first.submit(ENTRY, ID)
    clock.passes(60)
    before = await first.positions()
    again = an_engine(tmp_path, clock, **prices)
    assert await again.positions() == before
    clock.passes(60)
    await again.positions()
    assert [each.price for each in fills_of(tmp_path)] == [D("5.10"), D("4.50")]


async def test_an_entry_without_a_quote_is_rejected_and_an_exit_waits_for_one(tmp_path):
    broker = Broker(ABCD=a_quote("4.99", "5.01"))
    engine = an_engine(tmp_path, quotes=broker, **FROM_ENGINE)
    strange = await engine.submit(replace(ENTRY, ticker="OTHER"), "cs-1-entry")
    assert (strange.state, strange.detail) == (OutcomeState.REJECTED, "no price is known")
    await engine.submit(ENTRY, ID)
    again = an_engine(tmp_path, quotes=broker, **FROM_ENGINE)
    broker.quotes.clear()
    assert (await again.submit(EXIT, "x")).state is OutcomeState.ACCEPTED
    broker.quotes["ABCD"] = a_quote("4.80", "4.82")
    found = await again.lookup("x")
    assert (found.state, found.price) == (OutcomeState.FILLED, D("4.80"))


async def test_buyers_pay_the_ask_and_sellers_get_the_bid(tmp_path):
    engine = an_engine(tmp_path, quotes=Broker(ABCD=a_quote("4.90", "5.10")), **FROM_ENGINE)
    assert (await engine.submit(ENTRY, ID)).price == D("5.10")
    assert (await engine.submit(EXIT, "x")).price == D("4.90")


@pytest.mark.parametrize(
    ("quote", "price"),
    [
        (a_quote(None, None, "5"), "5"),
        (a_quote("6", "5", "5.5"), "5.5"),
        (a_quote("5", None, None), None),
        (a_quote("NaN", "5.1", None), None),
        (a_quote("0", "5.1", "5.05"), "5.05"),
        (a_quote(None, None, "-1"), None),
        (a_quote("4.9", "5", "5", at=NOW.replace(tzinfo=None)), None),
        (None, None),
    ],
    ids=["last only", "crossed", "bid only", "no number", "no bid", "negative", "naive time", "none"],
)
async def test_a_quote_that_says_nothing_is_no_price(tmp_path, quote, price):
    outcome = await an_engine(tmp_path, quotes=Broker(ABCD=quote), **FROM_ENGINE).submit(ENTRY, ID)
    assert outcome.price == (None if price is None else D(price))


@pytest.mark.parametrize("trouble", [EngineSilent("away"), TimeoutError()])
async def test_a_silent_source_is_no_price_and_no_fault(tmp_path, trouble):
    broker = Broker(ABCD=a_quote("5", "5"))
    engine = an_engine(tmp_path, quotes=broker, **FROM_ENGINE)
    await engine.submit(ENTRY, ID)
    broker.trouble = trouble
    assert [each.quantity for each in await engine.positions()] == [100]
    assert (await engine.lookup(ID)).leg(Leg.STOP).state is OutcomeState.ACCEPTED


async def test_a_quote_triggers_the_stop_whoever_asks(tmp_path):
    broker = Broker(ABCD=a_quote("5", "5"))
    engine = an_engine(tmp_path, quotes=broker, **FROM_ENGINE)
    await engine.submit(ENTRY, ID)
    hints = engine.events()
    broker.quotes["ABCD"] = a_quote("4.60", "4.62")
    assert await engine.positions() == ()
    async with asyncio.timeout(5):
        assert (await anext(hints)).order_id == ID
    await hints.aclose()


async def test_only_what_is_watched_is_asked_for(tmp_path):
    broker = Broker(ABCD=a_quote("5", "5"))
    engine = an_engine(tmp_path, quotes=broker, **FROM_ENGINE)
    await engine.account()
    assert broker.asked == 0
    await engine.submit(BARE, ID)
    await engine.account()
    assert broker.asked == 2


async def test_a_limit_waits_for_the_quote_that_reaches_it(tmp_path):
    broker = Broker(ABCD=a_quote("4.99", "5.01"))
    engine = an_engine(tmp_path, quotes=broker, **FROM_ENGINE)
    assert (await engine.submit(a_limit(ENTRY, "5.00"), ID)).state is OutcomeState.ACCEPTED
    broker.quotes["ABCD"] = a_quote("4.98", "5.00")
    assert (await engine.lookup(ID)).price == D("5.00")


async def test_two_questions_at_once_both_have_the_price(tmp_path):
    broker = Broker(ABCD=a_quote("5", "5"))
    engine = an_engine(tmp_path, quotes=broker, quote_every_s=60, **FROM_ENGINE)
    outcomes = await asyncio.gather(engine.submit(BARE, "a"), engine.submit(BARE, "b"))
    assert [each.state for each in outcomes] == [OutcomeState.FILLED] * 2
    assert broker.asked == 1
