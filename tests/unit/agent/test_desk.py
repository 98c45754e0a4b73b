"""The desk: decide, journal, hand over; and kill -9 after every single step of it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from agent_samples import NOW, D, a_close, a_config, a_revision, a_signal, an_arrival
from desk_samples import READS, Broker, Paper, hasty

from signal_contract.codec import signal_id_from
from signal_contract.feedback import Kind
from signal_contract.model import Action, Event
from subscriber_agent.accounting.book import Leg
from subscriber_agent.desk import Desk
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH

SIGNAL_ID = signal_id_from("news-1", "ABCD", Action.BUY)


class Killed(BaseException):
    """kill -9, as far as a test can see it: nothing after it runs."""


class Mortal:
    """Passes every call on, and dies before or after the call number `at`."""

    def __init__(self, inner, fuse):
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name):
        target = getattr(self._inner, name)
        if not callable(target) or name in READS:
            return target
        wrapped = self._fuse.wrapped_async if name in _ASYNC else self._fuse.wrapped
        return wrapped(name, target)


_ASYNC = ("submit", "lookup", "cancel", "account", "positions", "quote", "symbol", "observe")


class Fuse:
    """Blows at call number `at` (0: never), before or after the call; `only` counts calls of that name alone."""

    def __init__(self, at, *, after, only=None):
        self._left = at
        self._after = after
        self._only = only

    def _burn(self, name, *, after):
        if after == self._after and self._only in (None, name):
            self._left -= 1
            if self._left == 0:
                raise Killed

    def wrapped(self, name, target):
        def call(*args, **kwargs):
            self._burn(name, after=False)
            result = target(*args, **kwargs)
            self._burn(name, after=True)
            return result

        return call

    def wrapped_async(self, name, target):
        async def call(*args, **kwargs):
            self._burn(name, after=False)
            result = await target(*args, **kwargs)
            self._burn(name, after=True)
            return result

        return call


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


def a_desk(journal, engine=None, now=NOW, data=None, **config):
    engine = engine or Paper()
    return Desk(a_config(data or journal.path.parent, **config), journal, engine, lambda: now, user="alice")


async def all_settled(desk):
    return [each async for each in desk.settle()]


def received(journal, *signals):
    journal.record([an_arrival(seq, signal) for seq, signal in enumerate(signals, start=1)])


def codes(settled):
    return [each.label for each in settled]


async def test_signals_are_settled_in_stream_order_once(journal):
    received(journal, a_signal(), a_signal("two", confidence=D(0), ticker="LOW"), a_close())
    desk = a_desk(journal)
    assert codes(await all_settled(desk)) == ["FILLED", "LOW_CONFIDENCE", "FILLED"]
    assert await all_settled(desk) == []
    assert [fill.leg for fill in journal.fills()] == [Leg.ENTRY, Leg.EXIT]


async def test_settling_may_be_left_between_two_signals(journal):
    received(journal, a_signal(), a_signal("two", ticker="BBBB"))
    desk = a_desk(journal)
    settling = desk.settle()
    assert (await anext(settling)).label == "FILLED"
    await settling.aclose()
    assert journal.undecided_count() == 1
    assert codes(await all_settled(desk)) == ["FILLED"]


async def test_what_was_settled_can_be_shown(journal):
    received(journal, a_signal())
    (settled,) = await all_settled(a_desk(journal))
    shown = settled.as_dict()
    legs = shown["outcome"].pop("legs")
    assert shown["outcome"] == {"state": "FILLED", "quantity": "100", "price": "5", "detail": ""}
    assert [(each["leg"], each["protects"]) for each in legs] == [("stop", "100"), ("target", "100")]
    assert shown["decision"]["plan"]["quantity"] == "100"
    assert journal.decision(SIGNAL_ID, 1)["config_hash"] == a_config(journal.path.parent).config_hash()


async def test_a_signal_that_a_later_message_withdrew_is_not_traded(journal):
    received(journal, a_signal(), a_revision(a_signal(), 2, Event.RETRACT))
    assert codes(await all_settled(a_desk(journal))) == ["RETRACTED", "RETRACTION"]
    assert journal.fills() == []


async def test_only_the_last_revision_of_a_backlog_is_traded_and_a_later_one_is_a_duplicate(journal):
    received(journal, a_signal(), a_revision(a_signal(), 2))
    desk = a_desk(journal)
    assert codes(await all_settled(desk)) == ["SUPERSEDED", "FILLED"]
    journal.record([an_arrival(3, a_revision(a_signal(), 3))])
    assert codes(await all_settled(desk)) == ["DUPLICATE"]
    assert len(journal.fills()) == 1


@pytest.mark.parametrize("latch", [LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH])
async def test_latches_of_both_sides_count(journal, latch):
    received(journal, a_signal())
    journal.set_latch(latch, "HALTED", "", NOW)
    assert codes(await all_settled(a_desk(journal))) == ["HALTED"]


async def test_an_unreadable_latch_halts(journal):
    received(journal, a_signal())
    journal.set_latch(LOCAL_LATCH, "on holiday", "", NOW)
    assert codes(await all_settled(a_desk(journal))) == ["HALTED"]


@pytest.mark.parametrize("skew_s", [None, 11.0, float("nan")])
async def test_a_clock_that_cannot_be_trusted_refuses_entries(journal, skew_s):
    received(journal, a_signal())
    desk = a_desk(journal)
    desk.clock_skew_s = skew_s
    assert codes(await all_settled(desk)) == ["STALE" if skew_s != 11.0 else "CLOCK_SKEW"]


async def test_notify_mode_orders_nothing(journal):
    received(journal, a_signal())
    assert codes(await all_settled(a_desk(journal, mode="notify"))) == ["NOTIFY_ONLY"]
    assert journal.open_intents() == journal.fills() == []


async def test_a_preview_writes_nothing(journal):
    received(journal, a_signal())
    decision = await a_desk(journal).preview(journal.undecided()[0])
    assert decision.code is None
    assert journal.undecided_count() == 1
    assert journal.open_intents() == []


async def test_a_price_on_the_wire_triggers_a_stop_before_the_next_decision(journal):
    later = NOW + timedelta(seconds=1)
    drop = a_signal("two", reference_price=D("4.50"), stop_price=D("4.30"), reference_price_at=later)
    received(journal, a_signal(), drop)
    first, second = await all_settled(a_desk(journal, risk={"cooldown_s": 0}))
    assert [(each.leg, each.price) for each in second.exits] == [(Leg.STOP, D("4.50"))]
    assert second.label == "FILLED"
    assert second.as_dict()["exits"][0]["leg"] == "stop"
    assert first.exits == ()


async def test_a_close_exits_at_its_own_price_and_not_by_the_stop(journal):
    received(journal, a_signal(), a_close(reference_price=D(4)))
    settled = await all_settled(a_desk(journal))
    assert codes(settled) == ["FILLED", "FILLED"]
    assert [fill.leg for fill in journal.fills()] == [Leg.ENTRY, Leg.EXIT]


async def test_a_refused_close_still_shows_its_price_to_the_stop(journal):
    received(journal, a_signal())
    desk = a_desk(journal)
    await all_settled(desk)
    journal.set_latch(LOCAL_LATCH, "HALTED", "", NOW)
    journal.record([an_arrival(2, a_close(reference_price=D(4)))])
    (settled,) = await all_settled(desk)
    assert (settled.label, settled.exits[0].leg) == ("HALTED", Leg.STOP)


async def test_the_price_of_a_withdrawn_signal_triggers_nothing(journal):
    wrong = a_signal("wrong", reference_price=D(1), stop_price=D("0.9"), target_price=None)
    received(journal, a_signal(), wrong, a_revision(wrong, 2, Event.RETRACT))
    assert codes(await all_settled(a_desk(journal))) == ["FILLED", "RETRACTED", "RETRACTION"]
    assert len(journal.fills()) == 1


async def test_a_drill_is_traded_on_paper_and_refused_live(journal):
    received(journal, a_signal(meta={"drill": "true"}))
    engine = Broker()
    assert codes(await all_settled(a_desk(journal, engine, mode="live"))) == ["DRILL_REFUSED"]
    assert engine.there == {}


async def test_an_unknown_outcome_is_looked_up_and_never_sent_again(journal):
    received(journal, a_signal(), a_signal("two"))
    engine = Broker()
    engine.loses_answers = True
    assert codes(await all_settled(a_desk(journal, engine, mode="live"))) == ["UNKNOWN", "ALREADY_IN_POSITION"]
    engine.loses_answers = False
    (recovered,) = await a_desk(journal, engine, mode="live").recover()
    assert (recovered.outcome.state, recovered.is_handed_over_now) == (OutcomeState.FILLED, False)
    assert len(engine.handed_over) == len(journal.fills()) == 1
    assert journal.open_intents() == []


async def test_an_order_the_engine_forgot_after_accepting_it_is_not_sent_again(journal):
    received(journal, a_signal())
    engine = Broker()
    engine.fills_now = 0
    await all_settled(a_desk(journal, engine, mode="live"))
    forgetful = Broker()
    (recovered,) = await a_desk(journal, forgetful, mode="live").recover()
    assert recovered.outcome.state is OutcomeState.UNKNOWN
    assert forgetful.handed_over == []
    assert len(journal.open_intents()) == 1


async def test_a_signal_that_another_copy_decided_first_is_not_handed_over(path, journal):
    class Rival(Mortal):
        def write_decision(self, decision, config_hash, order, **more):
            journal.write_decision(decision, "rival", None)
            return journal.write_decision(decision, config_hash, order, **more)

    received(journal, a_signal())
    desk = a_desk(Rival(journal, Fuse(0, after=True)), Broker(), data=path.parent, mode="live")
    (settled,) = await all_settled(desk)
    assert settled.outcome is None
    assert journal.open_intents() == []


async def _unsent(path, signal):
    """A journal whose agent died between journaling the intent and handing it over."""
    journal = Journal.open(path)
    received(journal, signal)
    engine = Paper()
    with pytest.raises(Killed):
        await all_settled(a_desk(journal, Mortal(engine, Fuse(1, after=False, only="submit"))))
    assert len(journal.open_intents()) == 1
    return journal


async def test_an_order_never_handed_over_is_sent_while_the_rules_allow_it(path):
    with await _unsent(path, a_signal()) as journal:
        (recovered,) = await a_desk(journal).recover()
        assert (recovered.outcome.state, recovered.is_handed_over_now) == (OutcomeState.FILLED, True)
        assert recovered.as_dict()["ticker"] == "ABCD"
        assert len(journal.fills()) == 1


@pytest.mark.parametrize("why", ["STALE", "HALTED", "RETRACTED", "LOW_CONFIDENCE", "only a smaller order"])
async def test_an_order_never_handed_over_is_abandoned_when_the_rules_no_longer_allow_it(path, why):
    with await _unsent(path, a_signal()) as journal:
        now, risk = NOW, {}
        if why == "STALE":
            now = NOW + timedelta(hours=1)
        elif why == "HALTED":
            journal.set_latch(OPERATOR_LATCH, "HALTED", "", NOW)
        elif why == "RETRACTED":
            journal.record([an_arrival(2, a_revision(a_signal(), 2, Event.RETRACT))])
        else:
            risk = {"min_confidence": "0.99"} if why == "LOW_CONFIDENCE" else {"fixed_usd": 400}
        (recovered,) = await a_desk(journal, now=now, risk=risk).recover()
        assert recovered.outcome.state is OutcomeState.ABANDONED
        assert why in recovered.outcome.detail
        assert journal.fills() == journal.open_intents() == []


async def _until_killed(path, fuse, broker):
    """A whole life of an agent over `path`, which its broker outlives; True when it was killed in it."""
    journal = hasty(path)
    try:
        desk = a_desk(Mortal(journal, fuse), Mortal(broker, fuse), data=path.parent)
        received(journal, *STORY)
        # As the worker does: first what is open and held, then what is undecided.
        await desk.recover()
        await desk.tend_exits()
        await all_settled(desk)
    except Killed:
        return True
    finally:
        # Closed below SQLite's transactions, without the journal's own good-bye.
        journal._db._connection.close()
    return False


DROP = a_signal(
    "drop", reference_price=D("4.5"), stop_price=D("4.4"), target_price=None, reference_price_at=NOW, confidence=D(0)
)
STORY = (
    a_signal(),
    a_signal("b", ticker="BBBB"),
    a_signal("c", ticker="CCCC", confidence=D(0)),
    a_close(ticker="BBBB"),
    DROP,
    a_revision(a_signal("c", ticker="CCCC"), 2, Event.RETRACT),
)


def _state(path):
    with Journal.open(path) as journal:
        assert journal.open_intents() == []
        assert journal.undecided_count() == 0
        decisions = sorted((row.signal_id, row.revision, row.verdict, row.code) for row in journal.signals())
        fills = [replace(each, at=NOW) for each in journal.fills()]
        orders = sorted(
            (row.intent.order_id, row.outcome.state) for s in STORY for row in journal.orders_of(s.signal_id)
        )
        told = [each for each in journal.feedback_waiting(100) if each.kind is Kind.DECISION]
        reports = sorted((each.signal_id, each.revision, each.label) for each in told)
        return decisions, fills, orders, reports


@pytest.mark.parametrize("after", [False, True])
async def test_kill_at_every_step_loses_nothing_and_does_nothing_twice(tmp_path, after):
    untouched = tmp_path / "untouched.sqlite"
    assert not await _until_killed(untouched, Fuse(0, after=after), Paper())
    expected = _state(untouched)
    assert [fill.leg for fill in expected[1]] == [Leg.ENTRY, Leg.ENTRY, Leg.EXIT, Leg.STOP]
    assert [report[:2] for report in expected[3]] == [decision[:2] for decision in expected[0]]
    step = 0
    while True:
        step += 1
        path, broker = tmp_path / f"killed-{step}.sqlite", Paper()
        if not await _until_killed(path, Fuse(step, after=after), broker):
            break
        assert not await _until_killed(path, Fuse(0, after=after), broker)
        assert _state(path) == expected, f"killed {'after' if after else 'before'} step {step}"
        assert broker.held() == {}
    assert step > 60


async def test_killed_again_and_again_it_still_comes_to_the_same_end(tmp_path):
    untouched, path, broker = tmp_path / "untouched.sqlite", tmp_path / "killed.sqlite", Paper()
    await _until_killed(untouched, Fuse(0, after=True), Paper())
    lives = 0
    while await _until_killed(path, Fuse(13 + 9 * lives, after=lives % 2 == 0), broker):
        lives += 1
        assert lives < 50
    assert lives > 3
    assert _state(path) == _state(untouched)


@pytest.mark.parametrize(("set_by_s", "code"), [(600, "CLOCK_SKEW"), (-600, "STALE")])
async def test_a_clock_that_was_set_since_it_was_compared_refuses_entries(journal, set_by_s, code):
    received(journal, a_signal())
    desk = a_desk(journal)
    desk.drift_s = lambda: set_by_s
    assert codes(await all_settled(desk)) == [code]


async def test_a_retraction_says_how_many_orders_it_comes_too_late_for(journal):
    received(journal, a_signal())
    desk = a_desk(journal)
    await all_settled(desk)
    journal.record([an_arrival(2, a_revision(a_signal(), 2, Event.RETRACT))])
    (settled,) = await all_settled(desk)
    assert (settled.label, settled.trades_withdrawn) == ("RETRACTION", 1)
    assert settled.withdrawn_dict()["position"]["quantity"] == "100"


async def test_an_execution_is_in_the_ledger_with_the_commit_that_books_it(journal):
    received(journal, a_signal())
    await all_settled(a_desk(journal))
    (fill,) = journal.fills()
    assert [body["order_id"] for _, body in journal.ledger_rows() if body["type"] == "traded"] == [fill.order_id]


async def test_a_decision_and_its_report_are_on_disk_together_and_its_outcome_as_far_as_privacy_allows(journal):
    received(journal, a_signal())
    await all_settled(a_desk(journal, privacy="outcomes"))
    assert [each.kind.value for each in journal.feedback_waiting(10)] == ["decision", "order", "fill"]
    received(journal, a_signal(), a_signal("two", ticker="BBBB"))
    await all_settled(a_desk(journal, privacy="none"))
    assert len(journal.feedback_waiting(10)) == 3
