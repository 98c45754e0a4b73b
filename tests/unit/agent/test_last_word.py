"""What commands beside the agent know of the account: the engine's last word, and our own executions since."""

from datetime import timedelta

import pytest
from agent_samples import NOW, D, a_config, a_signal
from desk_samples import BRACKETS, Broker, Clock, Watched

from subscriber_agent.accounting.book import Leg
from subscriber_agent.cli.account import book_now
from subscriber_agent.explaining import explained_by_journal
from subscriber_agent.journal import Journal, ReconcileState
from subscriber_agent.last_word import last_word
from subscriber_agent.risk.codes import Code

RISK = {"max_price_move_percent": 0}


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


async def test_the_engines_last_word_is_kept_and_brought_up_to_date_with_our_own_fills(journal):
    clock = Clock()
    watched = Watched(journal, Broker(clock=clock), clock=clock, risk=RISK)
    await watched.desk.tend()
    clock.passes(1)
    await watched.settled(a_signal())
    clock.passes(1)
    watched.engine.moves("ABCD", D("4.7"))
    word = last_word(journal, watched.config)
    assert (word.is_heard, word.engine.name) == (True, "broker")
    assert [(each.ticker, each.quantity) for each in word.gathered.holdings] == [("ABCD", 100)]
    assert word.gathered.account.cash == 9500
    await watched.desk.tend()
    assert last_word(journal, watched.config).gathered.holdings == ()
    assert [each.leg for each in journal.fills()] == [Leg.ENTRY, Leg.STOP]


async def test_the_equity_curve_follows_the_engines_word(journal):
    clock = Clock()
    watched = Watched(journal, Broker(clock=clock), clock=clock, risk=RISK)
    await watched.desk.tend()
    await watched.settled(a_signal())
    await watched.desk.tend()
    watched.engine.moves("ABCD", D("5.5"))
    clock.passes(61)
    await watched.desk.tend()
    await watched.desk.tend()
    assert [(each.equity, each.engine) for each in journal.equity()] == [
        (10000, "broker"),
        (10000, "broker"),
        (10050, "broker"),
    ]


def test_before_the_engine_spoke_a_paper_account_is_worth_what_it_starts_with(journal, tmp_path):
    config = a_config(tmp_path, engine={"paper": {"start_cash_usd": 777}})
    word = last_word(journal, config)
    assert (word.is_heard, word.gathered.account.cash, book_now(journal, config, NOW).equity) == (False, 777, 777)
    real = a_config(tmp_path, engine={"kind": "alpaca"})
    assert last_word(journal, real).gathered.account.cash is None


async def test_a_signal_is_explained_by_the_account_of_the_engine_that_spoke(journal):
    clock = Clock()
    watched = Watched(journal, Broker(clock=clock), clock=clock, risk=RISK)
    await watched.settled(a_signal())
    await watched.desk.tend()
    watched.receive(a_signal("two"))
    (stored,) = journal.undecided()
    explained = explained_by_journal(stored, journal, watched.config, clock())
    assert explained.decision.code is Code.ALREADY_IN_POSITION
    assert any("stop" in each.name for each in explained.decision.checks)


# What does not agree --------------------------------------------------------------------------------------------------


async def test_a_ticker_with_an_order_under_way_is_not_compared_and_another_one_is(journal):
    watched = Watched(journal, Broker(can=BRACKETS), risk=RISK)
    watched.engine.loses_answers = True
    assert await watched.settled(a_signal()) == ["UNKNOWN"]
    watched.engine.loses_answers = False
    assert await watched.settled(a_signal("two", ticker="BBBB")) == ["FILLED"]
    watched.engine.foreign["CCCC"] = D(1)
    assert await watched.settled(a_signal("three", ticker="DDDD")) == ["LEDGER_MISMATCH"]


async def test_open_differences_refuse_entries_until_they_are_resolved(journal):
    watched = Watched(journal, Broker(), risk=RISK)
    journal.note_differences([{"kind": "ORDER_UNKNOWN"}], NOW)
    assert await watched.settled(a_signal()) == ["LEDGER_MISMATCH"]
    journal.end_reconcile(ReconcileState.RESOLVED, NOW + timedelta(seconds=1))
    assert await watched.settled(a_signal("two", ticker="BBBB")) == ["FILLED"]


async def test_what_is_none_of_ours_counts_for_exposure_and_is_not_held_too_long(journal):
    clock = Clock()
    watched = Watched(journal, Broker(clock=clock), clock=clock, risk={**RISK, "max_hold_s_by_catalyst": {"*": 60}})
    watched.engine.foreign["ZZZZ"] = D(10)
    clock.passes(4000)
    await watched.desk.tend()
    book = book_now(journal, watched.config, clock())
    assert (book.exposure, book.positions["ZZZZ"].opened_by, book.closable("ZZZZ")) == (50, "", 0)
    assert watched.engine.handed_over == []
