"""What a restart rebuilds from the journal is what was running: book, ledger, circuit."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_samples import D, a_close, a_signal
from desk_samples import Clock, Paper, Watched
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.journal import Journal
from subscriber_agent.own_book import OwnBook

TICKERS = ("AAAA", "BBBB", "CCCC")
RISK = {
    "cooldown_s": 0,
    "max_orders_per_minute": 60,
    "max_hold_s_by_catalyst": {"fda": 3000},
    "daily_loss_usd": 60,
    "flatten_on_breach": True,
}
# A buy, a close, a price alone, time that passes, a look at the clock, the friend's own flatten.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "close", "price", "wait", "tend", "flatten"]),
        st.sampled_from(TICKERS),
        st.integers(380, 700).map(lambda cents: D(cents) / 100),
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=25, deadline=None)
def test_book_and_ledger_rebuilt_from_the_journal_equal_the_running_ones(steps):
    with TemporaryDirectory() as folder:
        asyncio.run(_run(folder, steps))


async def _run(folder, steps):
    path, clock, engine = Path(folder) / "journal.sqlite", Clock(), Paper()
    with Journal.open(path) as journal:
        watched = Watched(journal, engine, clock=clock, risk=RISK)
        for number, step in enumerate(steps):
            await _step(watched, number, *step)
        await watched.desk.tend()
        running, own = watched.desk._keeper.refresh(), watched.desk._situation.own()
    with Journal.open(path) as journal:
        assert OwnBook(journal).positions() == own
        assert {ticker: each.quantity for ticker, each in own.items()} == engine.held()
        assert {ticker: each.quantity for ticker, each in own.items()} == journal.shares()
        keeper = LedgerKeeper(journal, NYSE)
        assert keeper.ledger == running
        assert {ticker: each.quantity for ticker, each in keeper.ledger.trades.items()} == engine.held()


async def _step(watched, number, what, ticker, price):
    now = watched.clock()
    at = {"published_at": now, "reference_price": price, "reference_price_at": now}
    match what:
        case "buy":
            buy = a_signal(f"n{number}", ticker=ticker, stop_price=price - D("0.3"), target_price=price + 1, **at)
            await watched.settled(buy)
        case "close":
            await watched.settled(a_close(news=f"n{number}", ticker=ticker, **at))
        case "price":
            await watched.settled(a_signal(f"n{number}", ticker=ticker, confidence=D(0), **at))
        case "wait":
            watched.clock.passes(1000)
        case "flatten":
            watched.journal.request_flatten("", now)
        case _:
            await watched.desk.tend()
