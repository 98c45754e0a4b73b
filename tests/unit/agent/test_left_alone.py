"""What the friend holds by himself in the agent's account: never traded, never a difference, never opened in."""

from datetime import timedelta

import pytest
from agent_samples import NOW, D, a_position, a_signal
from desk_samples import Broker, Watched

from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.accounting.differences import differences
from subscriber_agent.journal import Journal
from subscriber_agent.left_alone import leave_alone, left_alone, take_back
from subscriber_agent.reconciling import asked, ours_from


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


def left(journal, ticker):
    leave_alone(journal, ticker, "held since 2020", "0" * 16, NOW)


async def kinds(journal, engine):
    look = await asked(engine, lambda: NOW + timedelta(hours=1))
    found = differences(ours_from(journal, look.theirs.orders), look.theirs, look.at)
    return [(each.kind.value, each.ticker) for each in found if each.kind.is_position]


async def test_what_is_left_alone_lets_other_entries_through_and_none_in_its_own_ticker(journal):
    engine = Broker(a_position("TSLA", 7))
    watched = Watched(journal, engine)
    assert await watched.settled(a_signal("one")) == ["LEDGER_MISMATCH"]
    left(journal, "TSLA")
    assert await watched.settled(a_signal("two", ticker="MSFT")) == ["FILLED"]
    assert await watched.settled(a_signal("three", ticker="TSLA")) == ["ALREADY_IN_POSITION"]
    assert await kinds(journal, engine) == []
    assert journal.loosenings(1)[0].type == "ticker_left_alone"


async def test_after_he_sold_it_nothing_is_opened_in_it_either(journal):
    left(journal, "TSLA")
    assert await Watched(journal, Broker()).settled(a_signal(ticker="TSLA")) == ["LEDGER_MISMATCH"]


async def test_taken_back_it_differs_again(journal):
    engine = Broker(a_position("TSLA", 7))
    left(journal, "TSLA")
    take_back(journal, "TSLA")
    assert left_alone(journal) == frozenset()
    assert await kinds(journal, engine) == [("POSITION_UNKNOWN", "TSLA")]
    with pytest.raises(NotFound):
        take_back(journal, "TSLA")


async def test_a_flatten_closes_ours_and_leaves_his(journal):
    engine = Broker(a_position("TSLA", 7))
    watched = Watched(journal, engine)
    left(journal, "TSLA")
    assert await watched.settled(a_signal()) == ["FILLED"]
    journal.request_flatten("all", watched.clock())
    await watched.desk.tend()
    await watched.desk.tend()
    assert engine.held() == {"TSLA": D(7)}
    assert len(watched.of("all_closed")) == 1


async def test_what_the_agent_holds_cannot_be_left_alone(journal):
    watched = Watched(journal, Broker())
    assert await watched.settled(a_signal()) == ["FILLED"]
    with pytest.raises(Conflict, match="holds ABCD itself"):
        left(journal, "ABCD")


async def test_an_order_under_way_cannot_be_left_alone(journal):
    engine = Broker()
    engine.fills_now = 0
    assert await Watched(journal, engine).settled(a_signal()) == ["ACCEPTED"]
    with pytest.raises(Conflict):
        left(journal, "ABCD")


async def test_shares_of_ours_that_are_more_at_the_engine_still_differ(journal):
    engine = Broker()
    assert await Watched(journal, engine).settled(a_signal()) == ["FILLED"]
    journal.set_meta("left_alone", '["ABCD"]')
    engine.foreign = {"ABCD": D(7)}
    assert await kinds(journal, engine) == [("QUANTITY_DIFFERS", "ABCD")]


@pytest.mark.parametrize("note", ["{", '{"a": 1}', "[1]"])
def test_a_note_that_cannot_be_read_is_no_leave(journal, note):
    journal.set_meta("left_alone", note)
    with pytest.raises(StorageFailed):
        left_alone(journal)
