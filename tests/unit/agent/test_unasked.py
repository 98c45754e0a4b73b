"""What takes no word of the engine: the same decision as ever, many in one commit, in the order of the stream."""

import asyncio
import threading
import time
from contextlib import aclosing, closing
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from agent_samples import (
    NOW,
    D,
    a_close,
    a_config,
    a_position,
    a_revision,
    a_short,
    a_signal,
    an_arrival,
    some_limits,
)
from desk_samples import Broker, Clock, Paper, Watched, booked
from hypothesis import given, settings
from hypothesis import strategies as st
from test_risk_properties import books, entries, limits, money, worlds

from signal_contract.errors import StorageFailed
from signal_contract.model import Action, Classifier, ClassifierMode, Event, Session
from signal_contract.model import Market as SignalMarket
from subscriber_agent.accounting.book import WorkingEntry
from subscriber_agent.desk import Desk
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import EngineSilent, Holding
from subscriber_agent.journal import Journal
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decide import decide, decide_unasked
from subscriber_agent.risk.decision import Verdict
from subscriber_agent.risk.market import Capabilities, Health, Market, Quote, Symbol, TradingState
from subscriber_agent.situation import Rules, Situation
from subscriber_agent.unasked import Unasked

LONG_AGO = {"published_at": NOW - timedelta(hours=1), "classified_at": NOW - timedelta(hours=1, seconds=1)}


def stale(name, **changes):
    """A buy that has waited for an hour, in a ticker of its own."""
    return a_signal(name, **{"ticker": name, **LONG_AGO, **changes})


def watch(name, **changes):
    return a_signal(name, action=Action.WATCH, ticker=name, **changes)


def withdrawn(name):
    return a_revision(a_signal(name, ticker=name), 2, Event.RETRACT)


# The decision ---------------------------------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
DEGRADED = Classifier(name="test", version="1", mode=ClassifierMode.KEYWORD, degraded=True)


def mostly(usual, *others):
    """So seldom another value that many an example has no flaw, and most have a few."""
    return st.sampled_from([usual] * 12 + list(others))


@st.composite
def signals(draw):
    kind = draw(st.sampled_from(["entry"] * 6 + ["close", "close", "watch", "retract"]))
    if kind == "entry":
        signal = draw(entries())
    elif kind == "close":
        signal = a_close()
    else:
        signal = watch("ABCD") if kind == "watch" else withdrawn("ABCD")
    changes = {
        "ticker": "ABCD",
        "expires_at": None if signal.expires_at is None else NOW + draw(mostly(7200, 10)) * SECOND,
        "meta": draw(mostly({}, {"drill": "true"}, {"drill": "flase"})),
        "classifier": draw(mostly(signal.classifier, DEGRADED)),
    }
    return signal.model_copy(update=changes)


@st.composite
def rules(draw):
    changes = {
        "allow_catalysts": draw(mostly(("*",), ("fda",), ("merger",))),
        "deny_catalysts": draw(mostly((), ("fda",), ("partnership",), ("fraud",))),
        "allow_tickers": draw(mostly(("*",), ("ABCD",), ("OTHER",))),
        "deny_tickers": draw(mostly((), ("ABCD",))),
        "deny_sources": draw(mostly((), ("test",))),
        "max_age_s_by_catalyst": draw(mostly({}, {"fda": D(20)}, {"*": D(600)})),
        "allow_shorts": draw(mostly(True, False)),
        "refuse_degraded": draw(st.booleans()),
    }
    return draw(limits).model_copy(update=changes)


@st.composite
def known_markets(draw):
    """What signal, rules and journal say; nothing of an engine's word."""
    states = mostly(TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED)
    return Market(
        engine="some",
        is_paper=draw(st.booleans()),
        local_state=draw(states),
        operator_state=draw(states),
        clock_skew_s=draw(mostly(D(0), D("0.5"), D(7), D(-30), D(10**7), D("NaN"), None)),
        latest_revision=draw(mostly(1, 2)),
        is_retracted=draw(mostly(False, True)),
        notify_only=draw(st.booleans()),
        approve_all=draw(st.booleans()),
    )


@st.composite
def engine_words(draw, signal, market, *, has_acted):
    """Any book without shares of ours in the ticker and nothing under way there, and any market around it."""
    book = draw(books())
    foreign = a_position("ABCD", draw(st.integers(-50, 50).filter(bool)), ours=D(0), opened_by="")
    held = {**book.positions, **draw(st.sampled_from([{}, {}, {"ABCD": foreign}]))}
    acted = {"some other", *([signal.signal_id] if has_acted else [])}
    book = replace(
        book,
        cash=draw(st.one_of(st.none(), money(-1000, 50_000))),
        positions=held,
        working=tuple(draw(st.lists(st.builds(WorkingEntry, st.just("W1"), money(0, 500)), max_size=2))),
        exiting=draw(st.sampled_from([{}, {"T0": D(5)}])),
        acted_ids=frozenset(acted),
        is_blocked=draw(st.sampled_from([None, False, True])),
        stated_usd=draw(st.one_of(st.none(), money(0, 50_000))),
    )
    around = draw(worlds(signal.model_copy(update={"reference_price": signal.reference_price or D(5)}), book))
    price = draw(money("0.01", 40))
    some = st.sampled_from([None, False, True])
    return book, replace(
        market,
        session=draw(st.sampled_from([None, *Session])),
        session_day=draw(st.sampled_from([None, NOW.date()])),
        quote=draw(st.sampled_from([None, around.quote, Quote(price, price, price, NOW - SECOND)])),
        symbol=draw(st.one_of(st.none(), st.builds(Symbol, some, some, some, some))),
        capabilities=draw(
            st.builds(Capabilities, *[st.booleans()] * 7, times_in_force=st.just(Capabilities().times_in_force))
        ),
        health=draw(st.sampled_from([None, *Health])),
        is_ledger_mismatch=draw(some),
        ledger=draw(st.sampled_from([None, around.ledger])),
        approvals=frozenset(draw(st.sampled_from([[], [(signal.signal_id, 1)]]))),
    )


EARLY = {
    Code.HALTED,
    Code.REDUCING,
    Code.RETRACTED,
    Code.SUPERSEDED,
    Code.DUPLICATE,
    Code.DRILL_REFUSED,
    Code.NO_POSITION,
    Code.STALE,
    Code.EXPIRED,
    Code.CLOCK_SKEW,
    Code.LOW_CONFIDENCE,
    Code.CATALYST_FILTERED,
    Code.TICKER_DENIED,
    Code.SOURCE_DENIED,
    Code.DEGRADED_CLASSIFIER,
    Code.SIDE_DISABLED,
    Code.RETRACTION,
    Code.WATCH_ONLY,
}


def test_a_decision_that_asks_nobody_is_what_any_word_of_the_engine_would_have_led_to():
    seen = set()

    @settings(max_examples=500, deadline=None)
    @given(signals(), rules(), known_markets(), mostly(0, 30, 250, -20), mostly(False, True), st.data())
    def check(signal, limits_, market, age_s, has_acted, data):
        now = NOW + timedelta(seconds=age_s)
        found = decide_unasked(signal, limits_, market, now, has_acted=has_acted)
        book, full = data.draw(engine_words(signal, market, has_acted=has_acted))
        asked = decide(signal, book, limits_, full, now)
        # Nothing but what is known without a word counts, so more words change nothing.
        assert decide_unasked(signal, limits_, full, now, has_acted=has_acted) == found
        if found is None:
            assert asked.code not in EARLY
            seen.add(None)
            return
        assert orjson.dumps(found.as_dict()) == orjson.dumps(asked.as_dict())
        assert found.verdict in (Verdict.REFUSED, Verdict.NOTED)
        assert found.plan is None
        seen.add(found.code)

    check()
    assert {None, Code.STALE, Code.NO_POSITION, Code.RETRACTION, Code.WATCH_ONLY, Code.HALTED} <= seen
    assert len(seen) > 10, "the examples come to too few ends to prove much"


@pytest.mark.parametrize(
    "signal",
    [a_signal(), a_short(), a_signal(reference_price=None), a_signal(market=SignalMarket(sector="Energy"))],
)
def test_an_entry_that_meets_every_early_rule_is_left_to_whoever_asks(signal):
    market = Market(engine="paper", is_paper=True, latest_revision=1)
    for more in ({}, {"min_price_usd": D(9)}, {"max_open_positions": 1}):
        limits_ = some_limits(allow_shorts=True, **more)
        assert decide_unasked(signal, limits_, market, NOW, has_acted=False) is None


# The desk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


@pytest.fixture
def watched(journal):
    return Watched(journal, Paper())


def in_order(journal):
    """The stream sequences of the log of decisions, which must hold."""
    assert journal.first_break() is None
    return [row.stream_seq for row in journal.chain_rows()]


def seqs(settled):
    return [each.stored.stream_seq for each in settled]


async def test_what_takes_no_word_is_decided_together_and_the_engine_is_not_asked(watched):
    found = [
        (stale("OLD"), "STALE"),
        (watch("WATCH"), "WATCH_ONLY"),
        (withdrawn("NEVER"), "RETRACTION"),
        (a_close(ticker="GONE"), "NO_POSITION"),
        (a_signal("low", confidence=D(0)), "LOW_CONFIDENCE"),
        (a_signal("drill", ticker="DRILL", meta={"drill": "true"}, **LONG_AGO), "STALE"),
        *[(stale(f"T{number}"), "STALE") for number in range(34)],
    ]
    watched.receive(*[signal for signal, _ in found])
    before = watched.journal.commits
    assert await watched.settled() == [label for _, label in found]
    # The first one by itself, and then a few, to see whether it goes on like this.
    assert watched.journal.commits - before == 3
    assert watched.engine.asked == []
    assert in_order(watched.journal) == list(range(1, 41))


async def test_a_long_night_takes_three_commits_for_each_256_signals(watched):
    watched.receive(*[stale(f"T{number}") for number in range(600)])
    before = watched.journal.commits
    assert await watched.settled() == ["STALE"] * 600
    assert watched.journal.commits - before == 9
    assert in_order(watched.journal) == list(range(1, 601))


@pytest.mark.parametrize("place", [1, 2, 9, 10, 11, 12, 31, 32, 33, 34, 44, 60, 70])
async def test_an_order_anywhere_in_a_batch_has_its_place(watched, place):
    """Around the places where more is asked about, or more is decided at once."""
    olds = [stale(f"T{number}") for number in range(69)]
    watched.receive(*olds[: place - 1], a_signal("FRESH", ticker="FRESH"), *olds[place - 1 :])
    settled = [each async for each in watched.desk.settle()]
    assert [each.label for each in settled] == ["STALE"] * (place - 1) + ["FILLED"] + ["STALE"] * (70 - place)
    assert seqs(settled) == in_order(watched.journal) == list(range(1, 71))


async def test_each_signal_is_reported_to_the_operator_as_if_the_engine_had_been_asked(journal, watched, tmp_path):
    signals_ = [stale("OLD"), watch("WATCH"), a_close(ticker="GONE"), stale("DEAD")]
    await watched.settled(*signals_)
    with Journal.open(tmp_path / "other" / "journal.sqlite") as other:
        # In a held ticker each goes the full way.
        asking = Watched(other, Paper())
        for each in signals_[:2]:
            booked(other, asking.engine, each.ticker)
        await asking.settled(*signals_[:2])
        full = [each.model_dump(exclude={"feedback_id"}) for each in other.feedback_waiting(10)]
    told = [each.model_dump(exclude={"feedback_id"}) for each in journal.feedback_waiting(10)]
    assert told[: len(full)] == full
    assert len(told) >= 3


async def test_the_price_of_a_signal_in_a_held_ticker_is_shown_to_the_engine_and_triggers_the_stop(watched):
    booked(watched.journal, watched.engine, "HELD")
    watched.receive(stale("OLD"), stale("HELD", reference_price=D("4.70"), stop_price=D("4.5")), stale("LAST"))
    settled = [each async for each in watched.desk.settle()]
    assert [each.label for each in settled] == ["STALE"] * 3
    assert [len(each.exits) for each in settled] == [0, 1, 0]
    assert watched.engine.asked.count("observe") == 1
    assert watched.journal.held("HELD") == 0
    assert in_order(watched.journal) == [1, 2, 3]


async def test_the_price_of_a_signal_with_an_order_under_way_is_shown_to_the_engine(watched):
    watched.engine.fills_now = 0
    assert await watched.settled(a_signal("ABCD")) == ["ACCEPTED"]
    del watched.engine.asked[:]
    assert await watched.settled(stale("OLD"), stale("two", ticker="ABCD"), watch("ABCD")) == [
        "STALE",
        "STALE",
        "WATCH_ONLY",
    ]
    assert watched.engine.asked.count("observe") == 2


async def test_a_close_of_what_is_held_goes_out_in_its_place(watched):
    booked(watched.journal, watched.engine, "HELD")
    labels = await watched.settled(
        stale("OLD"), a_close(ticker="HELD"), a_close(news="again", ticker="HELD"), stale("LAST")
    )
    assert labels == ["STALE", "FILLED", "NO_POSITION", "STALE"]
    assert watched.journal.held("HELD") == 0
    assert in_order(watched.journal) == [1, 2, 3, 4]


async def test_a_fresh_signal_in_the_middle_has_its_place_in_the_order(watched):
    olds = [stale(f"T{number}") for number in range(24)]
    watched.receive(*olds[:12], a_signal("FRESH", ticker="FRESH"), *olds[12:])
    settled = [each async for each in watched.desk.settle()]
    assert [each.label for each in settled] == ["STALE"] * 12 + ["FILLED"] + ["STALE"] * 12
    assert seqs(settled) == in_order(watched.journal) == list(range(1, 26))
    assert watched.engine.asked.count("submit") == 1


async def test_what_an_earlier_signal_of_the_batch_bought_is_held_for_the_later_ones(watched):
    labels = await watched.settled(stale("OLD"), a_signal("ABCD"), a_close(), stale("two", ticker="ABCD"))
    assert labels == ["STALE", "FILLED", "FILLED", "STALE"]


async def test_a_signal_that_is_withdrawn_further_back_is_not_traded(watched):
    fresh = a_signal("ABCD")
    assert await watched.settled(fresh, stale("OLD"), a_revision(fresh, 2, Event.RETRACT)) == [
        "RETRACTED",
        "STALE",
        "RETRACTION",
    ]
    assert watched.engine.asked == []


async def test_the_friend_is_told_when_a_signal_that_he_traded_is_withdrawn(watched):
    fresh = a_signal("ABCD")
    await watched.settled(fresh)
    watched.receive(stale("OLD"), a_revision(fresh, 2, Event.RETRACT), withdrawn("NEVER"))
    settled = [each async for each in watched.desk.settle()]
    assert [each.label for each in settled] == ["STALE", "RETRACTION", "RETRACTION"]
    assert [each.trades_withdrawn for each in settled] == [0, 1, 0]
    assert settled[1].withdrawn_dict()["position"]["quantity"] == "100"


async def test_he_is_told_as_well_when_he_has_sold_it_since(watched):
    fresh = a_signal("ABCD")
    await watched.settled(fresh, a_close())
    watched.receive(a_revision(fresh, 2, Event.RETRACT))
    (settled,) = [each async for each in watched.desk.settle()]
    assert (settled.trades_withdrawn, settled.position) == (1, None)


async def test_a_later_revision_of_what_was_traded_and_sold_is_a_duplicate_and_nobody_is_asked(watched):
    fresh = a_signal("ABCD")
    await watched.settled(fresh, a_close())
    del watched.engine.asked[:]
    assert await watched.settled(a_revision(fresh, 2), stale("OLD")) == ["DUPLICATE", "STALE"]
    assert watched.engine.asked == []


async def test_a_silent_engine_holds_back_only_what_needs_its_word_and_what_comes_after(watched):
    watched.receive(stale("ONE"), a_close(ticker="GONE"), a_signal("ABCD"), stale("LATER"))
    watched.engine.trouble, told = ConnectionError("away"), []
    with pytest.raises(EngineSilent):
        await _collect(watched.desk, told)
    assert [each.label for each in told] == ["STALE", "NO_POSITION"]
    assert watched.desk.untold() == []
    watched.engine.trouble = None
    assert await watched.settled() == ["FILLED", "STALE"]
    assert in_order(watched.journal) == [1, 2, 3, 4]


@pytest.mark.parametrize("heard", [1, 2, 5, 20])
async def test_what_was_decided_and_not_handed_out_is_told_once_when_settling_is_left(watched, heard):
    watched.receive(*[stale(f"T{number}") for number in range(20)])
    found = []
    async with aclosing(watched.desk.settle()) as settling:
        for _ in range(heard):
            found.append(await anext(settling))
    found += watched.desk.untold()
    assert watched.desk.untold() == []
    assert seqs(found) == in_order(watched.journal) == list(range(1, 21))
    assert await watched.settled() == []
    assert watched.desk.untold() == []


async def test_settling_that_is_left_before_an_order_leaves_it_undecided(watched):
    watched.receive(stale("ONE"), stale("TWO"), a_signal("ABCD"))
    async with aclosing(watched.desk.settle()) as settling:
        await anext(settling)
    assert seqs(watched.desk.untold()) == [2]
    assert watched.journal.undecided_count() == 1
    assert await watched.settled() == ["FILLED"]


async def _collect(desk, found):
    async for each in desk.settle():
        found.append(each)


class Stubborn(Journal):
    """A journal whose `at`th write of decisions waits for `go`, and fails when `trouble` is set."""

    def lay(self, at, trouble=None):
        self.left, self.trouble = at, trouble
        self.is_there, self.go = threading.Event(), threading.Event()

    def write_decisions(self, *arguments, **more):
        self.left -= 1
        if self.left == 0:
            self.is_there.set()
            assert self.go.wait(20)
            if self.trouble is not None:
                raise self.trouble
        return super().write_decisions(*arguments, **more)


async def test_what_is_on_disk_is_told_though_the_rest_of_the_batch_could_not_be_written(path):
    with Stubborn.open(path) as journal:
        watched, found = Watched(journal, Paper()), []
        watched.receive(*[stale(f"T{number}") for number in range(20)])
        journal.lay(2, StorageFailed("no space left"))
        journal.go.set()
        with pytest.raises(StorageFailed):
            await _collect(watched.desk, found)
        assert seqs(found + watched.desk.untold()) == in_order(journal) == [1]
        assert await watched.settled() == ["STALE"] * 19


@pytest.mark.parametrize(("at", "told"), [(1, 1), (2, 10), (3, 40)])
async def test_what_the_thread_writes_while_settling_is_cancelled_is_told(path, until, at, told):
    with Stubborn.open(path) as journal, closing(Disk.threaded()) as disk:
        desk, found = Desk(a_config(path.parent), journal, Paper(), Clock(), user="alice", disk=disk), []
        journal.record([an_arrival(seq, stale(f"T{seq}")) for seq in range(1, 41)])
        await disk.brief(time.sleep, 0.05)  # a slow disk: from here on all goes to its thread
        journal.lay(at)
        settling = asyncio.create_task(_collect(desk, found))
        await until(journal.is_there.is_set, what="the thread is in the middle of it")
        settling.cancel()
        await asyncio.sleep(0)
        journal.go.set()
        await asyncio.wait([settling])
        assert settling.cancelled()
        assert seqs(found + desk.untold()) == in_order(journal) == list(range(1, told + 1))


def _alone(journal, engine):
    situation = Situation(journal, engine)
    more = {"skew_s": lambda: 0.0, "is_closing": lambda: False, "reports": lambda *_: []}
    return situation, Unasked(journal, situation, Clock(), **more)


@pytest.mark.parametrize(
    ("engine", "signal", "is_shown"),
    [
        (Broker(), stale("ABCD"), True),
        (Broker(), watch("ABCD"), True),
        (Broker(), a_close(), True),
        (Broker(), stale("ABCD", reference_price=None), False),
        (Broker(), withdrawn("ABCD"), False),
        (Broker(), stale("ABCD", meta={"drill": "true"}), False),
        (Paper(), stale("ABCD", meta={"drill": "true"}), True),
    ],
)
async def test_only_a_price_that_may_be_believed_values_what_is_held(journal, engine, signal, is_shown):
    """The same as of a signal in a held ticker: a drill's price says nothing about real money."""
    journal.record([an_arrival(1, signal)])
    situation, unasked = _alone(journal, engine)
    (settled,) = unasked.decide(journal.undecided(), Rules.of(a_config(journal.path.parent)))
    assert settled.outcome is None
    assert situation.seen == ({"ABCD": D(5)} if is_shown else {})


async def test_the_price_of_what_was_withdrawn_is_not_believed(journal):
    signal = a_signal()
    journal.record([an_arrival(1, signal), an_arrival(2, a_revision(signal, 2, Event.RETRACT))])
    situation, unasked = _alone(journal, Paper())
    assert len(unasked.decide(journal.undecided(), Rules.of(a_config(journal.path.parent)))) == 2
    assert situation.seen == {}


async def test_shares_of_the_friends_own_are_not_closed_and_their_broker_is_not_asked(journal):
    watched = Watched(journal, Broker(Holding("HIS", D(10), None, None)))
    assert await watched.settled(a_close(ticker="HIS")) == ["NO_POSITION"]
    assert watched.engine.asked == []


async def test_a_halt_that_comes_between_two_batches_counts_for_the_second(watched):
    watched.receive(*[watch(f"T{number}") for number in range(256)], a_close(ticker="GONE"))
    labels = []
    async for each in watched.desk.settle():
        labels.append(each.label)
        watched.journal.set_latch("local", "HALTED", "", NOW)
    assert labels == ["WATCH_ONLY"] * 256 + ["HALTED"]
