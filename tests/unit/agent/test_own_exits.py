"""Exits that no signal asked for: flatten, a broken loss limit, held too long; each once, and over a kill."""

import pytest
from agent_samples import NOW, D, a_position, a_signal
from desk_samples import BRACKETS, READS, Broker, Clock, Paper, Watched, booked, hasty

from subscriber_agent.accounting.book import Leg
from subscriber_agent.accounting.ledger import LatchKind
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH
from subscriber_agent.risk.market import Capabilities

# A hold of an hour and a drop to 4.80 (above the stop) break these.
HOLD = {"max_hold_s_by_catalyst": {"fda": 3600}}
TIGHT = {"daily_loss_usd": "15", "daily_loss_percent": "2"}


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


async def _holding(journal, **config):
    watched = Watched(journal, **config)
    assert await watched.settled(a_signal()) == ["FILLED"]
    return watched


def _drop(watched, price="4.80"):
    watched.engine.moves("ABCD", D(price))


async def test_flatten_closes_everything_once_and_is_done(journal):
    watched = await _holding(journal)
    await watched.settled(a_signal("two", ticker="BBBB"))
    journal.request_flatten("going on holiday", NOW)
    assert watched.desk.is_closing()
    await watched.desk.tend()
    assert [fill.leg for fill in journal.fills()] == [Leg.ENTRY, Leg.ENTRY, Leg.EXIT, Leg.EXIT]
    assert [each["ticker"] for each in watched.of("own_exit")] == ["ABCD", "BBBB"]
    assert watched.of("all_closed") == [{"kind": "flatten", "reason": "going on holiday"}]
    assert journal.flatten_request() is None
    await watched.desk.tend()
    assert len(journal.fills()) == 4
    assert journal.first_break() is None


@pytest.mark.parametrize("latch", [LOCAL_LATCH, OPERATOR_LATCH])
async def test_the_friends_own_flatten_works_in_every_state(journal, latch):
    watched = await _holding(journal)
    journal.set_latch(latch, "HALTED", "", NOW)
    journal.request_flatten("", NOW)
    await watched.desk.tend()
    assert journal.fills()[-1].leg is Leg.EXIT


async def test_nothing_is_opened_while_everything_is_being_closed(journal):
    watched = await _holding(journal)
    journal.request_flatten("", NOW)
    assert await watched.settled(a_signal("two", ticker="BBBB")) == ["REDUCING"]
    await watched.desk.tend()
    assert await watched.settled(a_signal("three", ticker="CCCC")) == ["FILLED"]


async def test_flatten_with_nothing_held_is_done_at_once(journal):
    watched = Watched(journal)
    journal.request_flatten("", NOW)
    await watched.desk.tend()
    assert (journal.flatten_request(), journal.fills()) == (None, [])


async def test_a_position_held_too_long_is_closed(journal):
    watched = await _holding(journal, risk=HOLD)
    watched.clock.passes(3599)
    await watched.desk.tend()
    assert len(journal.fills()) == 1
    watched.clock.passes(1)
    await watched.desk.tend()
    assert [fill.leg for fill in journal.fills()] == [Leg.ENTRY, Leg.EXIT]
    (told,) = watched.of("own_exit")
    assert (told["kind"], told["outcome"]["state"]) == ("max_hold", "FILLED")
    assert {row.verdict for row in journal.counts()} == {"ACCEPTED"}


async def test_his_own_halt_holds_time_exits_back_and_the_operators_does_not(journal):
    watched = await _holding(journal, risk=HOLD)
    watched.clock.passes(4000)
    journal.set_latch(LOCAL_LATCH, "HALTED", "", NOW)
    await watched.desk.tend()
    assert len(journal.fills()) == 1
    journal.set_latch(LOCAL_LATCH, "ACTIVE", "", NOW)
    journal.set_latch(OPERATOR_LATCH, "HALTED", "", NOW)
    await watched.desk.tend()
    assert len(journal.fills()) == 2


async def test_a_loss_limit_latches_on_the_clock_with_no_signal_at_all(journal):
    watched = await _holding(journal, risk=TIGHT)
    _drop(watched)
    await watched.desk.tend()
    (told,) = watched.of("breach")
    assert (told["kind"], told["lost_usd"], told["limit_usd"], told["is_flatten"]) == ("DAILY", "20", "15", False)
    assert len(journal.fills()) == 1
    again = watched.restarted()
    assert await again.settled(a_signal("two", ticker="BBBB")) == ["DAILY_LOSS"]
    _drop(again, "6")
    await again.desk.tend()
    assert await again.settled(a_signal("three", ticker="CCCC")) == ["DAILY_LOSS"]
    assert again.of("breach") == []


async def test_a_breach_found_with_a_signal_is_told_and_refuses_it(journal):
    watched = await _holding(journal, risk=TIGHT)
    _drop(watched)
    assert await watched.settled(a_signal("two", ticker="BBBB")) == ["DAILY_LOSS"]
    assert [each["kind"] for each in watched.of("breach")] == ["DAILY"]


async def test_a_broken_limit_closes_everything_when_that_is_wanted(journal):
    watched = await _holding(journal, risk={**TIGHT, "flatten_on_breach": True})
    _drop(watched)
    await watched.desk.tend()
    assert [fill.leg for fill in journal.fills()] == [Leg.ENTRY, Leg.EXIT]
    assert [each["kind"] for each in watched.of("own_exit")] == ["breach"]
    assert watched.of("all_closed")[0]["reason"] == "loss limit broken: DAILY"
    assert not watched.desk.is_closing()
    assert LatchKind.DAILY in watched.desk._keeper.ledger.latches


async def test_flatten_on_breach_waits_while_he_is_halted_himself(journal):
    watched = await _holding(journal, risk={**TIGHT, "flatten_on_breach": True})
    journal.set_latch(LOCAL_LATCH, "HALTED", "", NOW)
    _drop(watched)
    await watched.desk.tend()
    assert len(journal.fills()) == 1
    assert watched.desk.is_closing()
    journal.set_latch(LOCAL_LATCH, "ACTIVE", "", NOW)
    await watched.desk.tend()
    assert journal.fills()[-1].leg is Leg.EXIT


async def test_an_exit_that_was_rejected_is_tried_again_after_a_minute_under_another_id(journal):
    broker, clock = Broker(can=BRACKETS), Clock()
    booked(journal, broker)
    watched = Watched(journal, broker, clock=clock)
    broker.rejects = "closed for lunch"
    journal.request_flatten("", NOW)
    await watched.desk.tend()
    await watched.desk.tend()
    exits = [each for each in broker.handed_over if each.endswith("exit")]
    assert len(exits) == 1
    broker.rejects = None
    clock.passes(61)
    await watched.desk.tend()
    assert len({each for each in broker.handed_over if each.endswith("exit")}) == 2
    assert (journal.flatten_request(), broker.held()) == (None, {})


async def test_an_exit_whose_end_is_not_known_is_looked_up_and_never_sent_again(journal):
    broker = Broker()
    booked(journal, broker)
    watched = Watched(journal, broker)
    broker.loses_answers, broker.fills_now = True, 0
    journal.request_flatten("", NOW)
    await watched.desk.tend()
    await watched.desk.tend()
    assert len(broker.handed_over) == 1
    broker.fills(broker.order_of(Leg.EXIT), 100)
    await watched.desk.tend()
    assert [each["outcome"]["state"] for each in watched.of("order")][-1] == "FILLED"
    assert len(broker.handed_over) == 1
    assert (journal.flatten_request(), broker.held()) == (None, {})


class Killed(BaseException):
    pass


async def test_killed_at_any_step_every_position_is_closed_exactly_once(tmp_path):
    step = 1
    while await _killed_at(tmp_path / f"{step}.sqlite", step, paper := Paper()):
        with Journal.open(tmp_path / f"{step}.sqlite") as journal:
            again = Watched(journal, paper, risk={**TIGHT, "flatten_on_breach": True})
            await again.desk.recover()
            await again.desk.tend()
            exits = [fill.ticker for fill in journal.fills() if fill.leg is Leg.EXIT]
            assert sorted(exits) == ["ABCD", "BBBB"], f"killed at step {step}"
            assert (journal.open_intents(), paper.held()) == ([], {})
            assert not again.desk.is_closing()
            assert await again.settled(a_signal("late", ticker="DDDD")) == ["DAILY_LOSS"]
        step += 1
    assert step > 40


async def _killed_at(path, step, paper):
    """Two positions, a broken limit, and a look at the clock that dies before its call number `step`; False: none."""
    journal, left = hasty(path), 0
    watched = Watched(journal, paper, risk={**TIGHT, "flatten_on_breach": True})
    await watched.settled(a_signal(), a_signal("two", ticker="BBBB"))
    _drop(watched)

    def burn():
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    life = Watched(_Mortal(journal, burn), _Mortal(watched.engine, burn), risk={**TIGHT, "flatten_on_breach": True})
    left = step
    try:
        await life.desk.tend()
    except Killed:
        return True
    finally:
        # Closed below SQLite's transactions, without the journal's own good-bye.
        journal._db._connection.close()
    return False


class _Mortal:
    """Passes every call on, and burns before each."""

    def __init__(self, inner, burn):
        self._inner, self._burn = inner, burn

    def __getattr__(self, name):
        target = getattr(self._inner, name)
        if not callable(target) or name in READS:
            return target

        def call(*args, **kwargs):
            self._burn()
            return target(*args, **kwargs)

        return call


async def test_an_own_exit_that_was_never_handed_over_goes_only_while_there_is_something_to_close(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        broker = Broker()
        booked(journal, broker)
        watched = Watched(journal, broker)
        journal.request_flatten("", NOW)
        broker.submit = _dies
        with pytest.raises(Killed):
            await watched.desk.tend()
        again = watched.restarted(Broker())
        (recovered,) = await again.desk.recover()
        assert recovered.outcome.state is OutcomeState.ABANDONED
        assert again.engine.handed_over == []


async def _dies(*_):
    raise Killed


async def test_quote_and_symbol_reach_the_rules_where_the_engine_has_them(journal):
    can = Capabilities(quotes=True, symbols=True)
    assert await Watched(journal, Broker(can=can)).settled(a_signal()) == ["NO_QUOTE"]


@pytest.mark.parametrize(("engine", "code"), [(Broker(is_blocked=True), "ACCOUNT_BLOCKED"), (Broker(), "FILLED")])
async def test_a_blocked_account_opens_nothing(journal, engine, code):
    assert await Watched(journal, engine).settled(a_signal()) == [code]


async def test_an_engine_that_holds_other_shares_than_our_log_opens_nothing(journal):
    broker = Broker(a_position("ZZZZ"))
    assert await Watched(journal, broker).settled(a_signal()) == ["LEDGER_MISMATCH"]


@pytest.mark.parametrize("mode", ["notify", "paper"])
async def test_real_money_is_not_traded_in_a_mode_that_does_not_say_so(journal, mode):
    broker = Broker()
    assert await Watched(journal, broker, mode=mode).settled(a_signal()) == ["NOTIFY_ONLY"]
    assert broker.handed_over == []


async def test_mode_live_pretends_nothing_on_paper(journal):
    assert await Watched(journal, mode="live").settled(a_signal()) == ["NOTIFY_ONLY"]
