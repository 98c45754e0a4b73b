"""Shares in the agent's log belong to one account at one engine: another engine never trades for them."""

import pytest
from agent_samples import NOW, D, a_position, a_signal
from desk_samples import Broker, Paper, Watched

from signal_contract.errors import EngineUnusable, StorageFailed
from subscriber_agent.accounting.book import Leg
from subscriber_agent.bound import Bound, bind, bound_to, check_bound, leave, what_is_left
from subscriber_agent.journal import Journal
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.protection import ProtectionState

PAPER = Bound("paper", is_paper=True)


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


class Account(Broker):
    """A broker that says which account it opened."""

    def __init__(self, mark, **options):
        super().__init__(**options)
        self.account_ref = mark


async def test_shares_of_a_paper_account_are_never_looked_for_at_a_broker(journal):
    paper = Watched(journal)
    bind(journal, paper.engine)
    await paper.settled(a_signal())
    friends = Broker(a_position("ABCD", 100), clock=paper.clock)
    with pytest.raises(EngineUnusable, match="ABCD at paper"):
        bind(journal, friends)
    assert friends.asked == []
    assert bound_to(journal) == PAPER


async def test_a_journal_of_an_earlier_version_is_about_paper(journal):
    await Watched(journal).settled(a_signal())
    journal._db.run("DELETE FROM meta WHERE key LIKE '%snapshot%'")
    with pytest.raises(EngineUnusable):
        check_bound(journal, Broker())
    check_bound(journal, Paper())


def test_with_nothing_held_the_engine_may_change(journal):
    bind(journal, Paper())
    bind(journal, Broker())
    assert bound_to(journal) == Bound("broker", is_paper=False)


async def test_an_order_whose_end_is_not_known_holds_the_engine_too(journal):
    engine = Paper()
    engine.loses_answers = True
    watched = Watched(journal, engine)
    await watched.settled(a_signal())
    journal._db.run("DELETE FROM fills")
    assert what_is_left(journal) == ("ABCD",)
    with pytest.raises(EngineUnusable):
        bind(journal, Broker())


async def test_other_keys_that_open_another_account_are_another_engine(journal):
    engine = Account("one", clock=None)
    watched = Watched(journal, engine)
    bind(journal, engine)
    assert await watched.settled(a_signal()) == ["FILLED"]
    with pytest.raises(EngineUnusable, match="another account"):
        bind(journal, Account("two"))
    bind(journal, Account(""))
    assert bound_to(journal).account == "one"
    with pytest.raises(EngineUnusable):
        bind(journal, Account("two"))


async def test_what_is_left_behind_is_nobodys_to_close(journal):
    paper = Watched(journal)
    await paper.settled(a_signal())
    fills = leave(journal, paper.clock(), "0" * 16, "moved")
    assert [(each.ticker, each.leg, each.quantity) for each in fills] == [("ABCD", Leg.ADJUST, 100)]
    friends = Broker(a_position("ABCD", 100), clock=paper.clock)
    bind(journal, friends)
    real = Watched(journal, friends, clock=paper.clock)
    journal.request_flatten("all", paper.clock())
    for _ in range(6):
        paper.clock.passes(5)
        await real.desk.tend()
    assert friends.held() == {"ABCD": D(100)}
    assert friends.handed_over == []
    assert {each.state for each in journal.protections(is_open=False)} == {ProtectionState.CLOSED}
    assert journal.loosenings(1)[0].body["reason"] == "moved"


def test_a_note_that_cannot_be_read_stops_the_start(journal):
    journal.set_meta("engine_bound", '{"engine": 1}')
    with pytest.raises(StorageFailed):
        bind(journal, Paper())


def test_before_its_first_word_the_breaker_is_that_of_the_engine_that_was_made_ready(journal):
    broker = Broker()
    bind(journal, broker)
    journal.set_breaker(Breaker().failed(NOW), broker.name)
    assert journal.breaker().failures == 1
