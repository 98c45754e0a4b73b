"""Every share of an entry has its stop, whatever the engine does: held by it, placed by us, watched, or closed."""

import pytest
from agent_samples import NOW, D, a_close, a_revision, a_signal, an_arrival
from desk_samples import (
    ACCEPTED,
    BRACKETS,
    CANCELLED,
    PARTLY,
    READS,
    STOP_ORDERS,
    WATCHED,
    Broker,
    Clock,
    Watched,
    a_quote,
    booked,
    hasty,
)

from signal_contract.model import Event
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineSilent, OutcomeState
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.risk.protection import Holder, ProtectionState

S = ProtectionState
LIMITS = {"max_price_move_percent": 0, "max_orders_per_minute": 60, "engine_failures": 20, "cooldown_s": 0}


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


async def holding(journal, can=BRACKETS, *, fills_now=None, risk=None, **faults):
    """A desk that holds an entry of 100 shares at 5, stop 4.75, target 6; `faults` are set on its engine before."""
    clock = Clock()
    broker = Broker(can=can, clock=clock, quote=a_quote("5", clock, "0") if can.quotes else None)
    watched = Watched(journal, broker, clock=clock, risk={**LIMITS, **(risk or {})})
    broker.fills_now = fills_now
    for name, value in faults.items():
        setattr(broker, name, value)
    assert len(await watched.settled(a_signal())) == 1
    broker.fills_now = None
    return watched


def state(watched):
    row = watched.protection()
    return row.holder, row.state


def legs(journal):
    return [fill.leg.value for fill in journal.fills()]


def halted(journal):
    latch = journal.latch(LOCAL_LATCH)
    return None if latch is None else (latch.value, latch.reason)


async def tended(watched, *, after=0):
    watched.clock.passes(after)
    if watched.engine.price is not None:
        watched.engine.price = a_quote(watched.engine.price.bid, watched.clock)
    await watched.desk.tend()


# Held by the engine ---------------------------------------------------------------------------------------------------


async def test_a_stop_that_the_answer_shows_is_confirmed_with_the_fill_and_nothing_more_is_asked(journal):
    watched = await holding(journal)
    assert state(watched) == (Holder.NATIVE, S.CONFIRMED)
    assert watched.engine.asked == ["observe", "account", "positions", "submit"]


async def test_a_stop_that_shows_up_later_is_confirmed_by_a_look(journal):
    watched = await holding(journal, legs_missing=True)
    assert state(watched) == (Holder.NATIVE, S.WANTED)
    watched.engine.legs_missing = False
    watched.engine._grow_legs(watched.engine.order_of(Leg.ENTRY))
    await tended(watched, after=5)
    assert state(watched) == (Holder.NATIVE, S.CONFIRMED)
    assert len(watched.engine.handed_over) == 1


async def test_a_stop_that_is_missing_for_ten_seconds_is_placed_by_us_instead(journal):
    watched = await holding(journal, legs_missing=True)
    await tended(watched, after=9)
    assert state(watched) == (Holder.NATIVE, S.WANTED)
    await tended(watched, after=1)
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)
    stop = watched.engine.order_of(Leg.STOP)
    assert (stop.plan.quantity, stop.plan.stop_price, stop.plan.side.value) == (100, D("4.75"), "sell")


async def test_a_stop_that_somebody_cancelled_at_the_broker_is_replaced_at_once(journal):
    watched = await holding(journal)
    for each in watched.engine.order_of(Leg.ENTRY).legs.values():
        each.state = CANCELLED
    await tended(watched)
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)


async def test_a_native_stop_that_fills_is_booked_and_closes_its_protection(journal):
    watched = await holding(journal)
    watched.engine.moves("ABCD", D("4.7"))
    await tended(watched)
    assert (legs(journal), state(watched)[1]) == (["entry", "stop"], S.CLOSED)
    assert watched.engine.held() == {}
    assert halted(journal) is None


async def test_without_anybody_who_can_hold_a_stop_the_position_is_closed_and_everything_halted(journal):
    watched = await holding(journal, can=Capabilities(), legs_missing=True)
    await tended(watched, after=10)
    assert (legs(journal), watched.engine.held()) == (["entry", "exit"], {})
    assert halted(journal)[0] == "HALTED"
    assert "no stop" in halted(journal)[1]
    assert len(watched.of("unprotected")) == 1
    await tended(watched, after=70)
    assert len(watched.of("unprotected")) == 1
    assert await watched.settled(a_signal("two", ticker="BBBB")) == ["HALTED"]


async def test_an_engine_that_cancels_nothing_gets_no_second_stop_beside_a_part_of_one(journal):
    watched = await holding(journal, can=Capabilities(stop_orders=True))
    watched.engine.can = Capabilities(cancels=False, stop_orders=True)  # no entry would have gone to it like this
    stop = watched.engine.order_of(Leg.ENTRY).legs[Leg.STOP]
    watched.engine.order_of(Leg.ENTRY).legs = {Leg.STOP: stop}
    stop.plan = type(stop.plan).from_dict({**stop.plan.as_dict(), "quantity": "60"})
    await tended(watched)
    await tended(watched, after=10)
    assert halted(journal)[0] == "HALTED"
    assert not any(each.endswith("-stop") for each in watched.engine.handed_over)


# A stop order of ours -------------------------------------------------------------------------------------------------


async def test_an_engine_without_brackets_gets_a_stop_order_of_our_own(journal):
    watched = await holding(journal, can=STOP_ORDERS)
    await tended(watched)
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)
    assert [each.rsplit("-", 1)[1] for each in watched.engine.handed_over] == ["entry", "stop"]
    await tended(watched, after=60)
    assert len(watched.engine.handed_over) == 2
    assert len(watched.of("target_not_watched")) == 1


async def test_our_stop_order_that_fills_is_booked_and_ends_it(journal):
    watched = await holding(journal, can=STOP_ORDERS)
    await tended(watched)
    watched.engine.moves("ABCD", D("4.7"))
    await tended(watched)
    assert (legs(journal), state(watched)[1]) == (["entry", "stop"], S.CLOSED)
    assert journal.open_intents() == []


async def test_a_partial_fill_resizes_the_stop_and_the_old_one_is_gone_before(journal):
    watched = await holding(journal, can=STOP_ORDERS, fills_now=40)
    await tended(watched)
    assert watched.engine.order_of(Leg.STOP).plan.quantity == 40
    watched.engine.fills(watched.engine.order_of(Leg.ENTRY), 60)
    await tended(watched)
    stops = [each for each in watched.engine.there.values() if each.plan.leg is Leg.STOP]
    assert [(each.plan.quantity, each.state) for each in stops] == [(40, CANCELLED), (100, ACCEPTED)]
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)


async def test_a_stop_order_that_is_refused_is_watched_where_there_are_prices(journal):
    can = Capabilities(brackets=False, stop_orders=True, quotes=True)
    watched = await holding(journal, can=can, refuses_stops=True)
    await tended(watched)
    await tended(watched, after=2)
    assert state(watched) == (Holder.WATCHED, S.CONFIRMED)


async def test_a_stop_order_that_is_refused_where_there_are_none_closes_the_position_and_halts(journal):
    watched = await holding(journal, can=STOP_ORDERS, refuses_stops=True)
    await tended(watched)
    assert (legs(journal), watched.engine.held()) == (["entry", "exit"], {})
    assert halted(journal)[0] == "HALTED"


async def test_a_stop_order_whose_answer_was_lost_is_looked_up_and_not_placed_twice(journal):
    watched = await holding(journal, can=STOP_ORDERS)
    watched.engine.loses_answers = True
    await tended(watched)
    watched.engine.loses_answers = False
    await tended(watched, after=5)
    assert len(watched.engine.handed_over) == 2
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)


async def test_shares_that_the_friend_sold_himself_lose_their_stop_order(journal):
    watched = await holding(journal, can=STOP_ORDERS)
    await tended(watched)
    watched.engine.foreign["ABCD"] = D(-100)
    await tended(watched, after=5)
    assert watched.engine.order_of(Leg.STOP).state is ACCEPTED
    await tended(watched, after=10)
    assert watched.engine.order_of(Leg.STOP).state is CANCELLED
    assert watched.engine.held() == {}
    del watched.engine.foreign["ABCD"]
    await tended(watched, after=5)
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)


# Watched by us --------------------------------------------------------------------------------------------------------


async def test_a_watched_stop_closes_the_position_at_the_market_once(journal):
    watched = await holding(journal, can=WATCHED)
    await tended(watched)
    assert state(watched) == (Holder.WATCHED, S.CONFIRMED)
    watched.engine.price = a_quote("4.75", watched.clock)
    await watched.desk.watch()
    await watched.desk.watch()
    assert (legs(journal), watched.engine.held()) == (["entry", "exit"], {})
    assert [each["kind"] for each in watched.of("own_exit")] == ["stop"]
    await tended(watched)
    assert state(watched)[1] is S.CLOSED


async def test_a_watched_target_is_reached_by_the_bid(journal):
    watched = await holding(journal, can=WATCHED)
    watched.engine.price = a_quote("5.99", watched.clock)
    await watched.desk.watch()
    assert watched.engine.held() != {}
    watched.engine.price = a_quote("6", watched.clock)
    await watched.desk.watch()
    assert [each["kind"] for each in watched.of("own_exit")] == ["target"]


async def test_a_trailing_stop_follows_the_best_price_over_a_restart(journal):
    watched = await holding(journal, can=WATCHED, risk={"trailing_stop_percent": 4})
    watched.engine.price = a_quote("5.50", watched.clock)
    await watched.desk.watch()
    again = watched.restarted()
    again.engine.price = a_quote("5.30", again.clock)
    await again.desk.watch()
    assert again.engine.held() != {}
    again.engine.price = a_quote("5.28", again.clock)
    await again.desk.watch()
    assert [each["kind"] for each in again.of("own_exit")] == ["stop"]
    assert again.engine.held() == {}


async def test_a_blind_watch_closes_the_position_and_halts(journal):
    watched = await holding(journal, can=WATCHED)
    await tended(watched)
    watched.clock.passes(119)
    await watched.desk.tend()
    assert watched.engine.held() != {}
    watched.clock.passes(2)
    await watched.desk.tend()
    assert (watched.engine.held(), halted(journal)[0]) == ({}, "HALTED")


@pytest.mark.parametrize("bid", ["NaN", "0", "-1", "5.5"], ids=str)
async def test_a_price_that_cannot_be_sells_nothing(journal, bid):
    watched = await holding(journal, can=WATCHED)
    watched.engine.price = a_quote(bid, watched.clock, spread="-1" if bid == "5.5" else "0.02")
    await watched.desk.watch()
    assert watched.engine.held() == {"ABCD": 100}


# Exits and their stops ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("can", [BRACKETS, STOP_ORDERS], ids=["native", "order"])
async def test_an_exit_lets_the_stop_go_first(journal, can):
    watched = await holding(journal, can=can)
    await tended(watched)
    assert await watched.settled(a_close()) == ["FILLED"]
    await tended(watched)
    assert (watched.engine.held(), state(watched)[1], journal.open_intents()) == ({}, S.CLOSED, [])


async def test_an_exit_whose_stop_filled_meanwhile_is_abandoned(journal):
    watched = await holding(journal)
    watched.receive(a_close())
    (stored,) = journal.undecided()
    gathered = await watched.desk.gather(stored)
    decided = watched.desk.decide_and_keep(stored, gathered)
    watched.engine.moves("ABCD", D("4.7"))
    settled = await watched.desk.finish(decided)
    assert (settled.label, settled.outcome.detail) == ("ABANDONED", "closed by its stop meanwhile")
    assert (legs(journal), watched.engine.held()) == (["entry", "stop"], {})


async def test_an_exit_takes_what_its_stop_left(journal):
    watched = await holding(journal)
    watched.receive(a_close())
    (stored,) = journal.undecided()
    decided = watched.desk.decide_and_keep(stored, await watched.desk.gather(stored))
    entry = watched.engine.order_of(Leg.ENTRY)
    watched.engine.fills(entry.legs[Leg.STOP], 30, D("4.7"))
    assert (await watched.desk.finish(decided)).label == "FILLED"
    assert [(each.leg.value, each.quantity) for each in journal.fills()] == [("entry", 100), ("stop", 30), ("exit", 70)]
    assert watched.engine.held() == {}


async def test_a_stop_that_cannot_be_let_go_holds_the_exit_back_and_is_tried_again(journal):
    watched = await holding(journal, keeps_legs=True)
    assert await watched.settled(a_close()) == ["UNKNOWN"]
    assert len(watched.of("exit_waits")) == 1
    assert [each for each in watched.engine.handed_over if each.endswith("exit")] == []
    watched.engine.keeps_legs = False
    await tended(watched)
    assert (watched.engine.held(), journal.open_intents()) == ({}, [])


async def test_an_exit_that_does_not_fill_within_a_minute_is_told_once(journal):
    watched = await holding(journal)
    watched.engine.fills_now = 0
    assert await watched.settled(a_close()) == ["ACCEPTED"]
    await tended(watched)
    assert watched.of("exit_waits") == []
    watched.clock.passes(61)
    await tended(watched)
    await tended(watched)
    (told,) = watched.of("exit_waits")
    assert told["reason"].startswith("not filled within 60 s")


async def test_no_entry_goes_to_an_engine_that_could_not_let_go_of_its_stop(journal):
    watched = Watched(journal, Broker(can=Capabilities(cancels=False)))
    assert await watched.settled(a_signal()) == ["REJECTED"]
    assert watched.engine.handed_over == []


async def test_a_rejected_close_gets_its_stop_back_and_is_tried_again_every_minute(journal):
    watched = await holding(journal)
    watched.engine.rejects = "closed for lunch"
    assert await watched.settled(a_close()) == ["REJECTED"]
    await tended(watched)
    assert state(watched) == (Holder.ORDER, S.CONFIRMED)
    assert len([each for each in watched.engine.handed_over if each.endswith("exit")]) == 1
    await tended(watched, after=60)
    assert [each["kind"] for each in watched.of("own_exit")] == ["close"]
    watched.engine.rejects = None
    await tended(watched, after=30)
    assert watched.engine.held() != {}
    await tended(watched, after=30)
    assert (watched.engine.held(), halted(journal)) == ({}, None)


async def test_a_close_that_was_withdrawn_is_not_tried_again(journal):
    watched = await holding(journal)
    watched.engine.rejects = "closed for lunch"
    await watched.settled(a_close())
    watched.engine.rejects = None
    await watched.settled(a_revision(a_close(), 2, Event.RETRACT))
    await tended(watched, after=120)
    assert watched.engine.held() == {"ABCD": 100}


async def test_a_close_waits_in_his_own_halt_and_a_stop_does_not(journal):
    watched = await holding(journal, can=WATCHED)
    watched.engine.rejects = "closed for lunch"
    await watched.settled(a_close())
    watched.engine.rejects = None
    journal.set_latch(LOCAL_LATCH, "HALTED", "", NOW)
    await tended(watched, after=70)
    assert watched.engine.held() == {"ABCD": 100}
    watched.engine.price = a_quote("4.70", watched.clock)
    await watched.desk.watch()
    assert watched.engine.held() == {}


async def test_the_friends_own_shares_are_never_sold(journal):
    watched = await holding(journal)
    watched.engine.foreign = {"ABCD": D(50), "ZZZZ": D(7)}
    journal.request_flatten("", NOW)
    await tended(watched)
    assert watched.engine.held() == {"ABCD": 50, "ZZZZ": 7}
    assert journal.flatten_request() is None


async def test_the_hold_time_of_the_order_counts_whichever_catalyst_was_the_stricter(journal):
    watched = await holding(journal, risk={"max_hold_s_by_catalyst": {"partnership": 60, "fda": 3600}})
    await tended(watched, after=59)
    assert watched.engine.held() != {}
    await tended(watched, after=1)
    assert [each["kind"] for each in watched.of("own_exit")] == ["max_hold"]


# Entries that wait ----------------------------------------------------------------------------------------------------


async def test_an_entry_that_waits_too_long_is_cancelled_and_what_filled_is_protected(journal):
    watched = await holding(journal, can=STOP_ORDERS, fills_now=30)
    await tended(watched, after=59)
    assert watched.engine.order_of(Leg.ENTRY).state is PARTLY
    await tended(watched, after=1)
    assert watched.engine.order_of(Leg.ENTRY).state is CANCELLED
    assert (watched.engine.order_of(Leg.STOP).plan.quantity, state(watched)[1]) == (30, S.CONFIRMED)
    assert watched.of("entry_cancelled")[0]["reason"] == "not filled within 60 s"


async def test_a_cancel_that_the_broker_has_not_carried_out_yet_is_asked_for_again_and_told_once(journal):
    watched = await holding(journal, can=STOP_ORDERS, fills_now=0)
    watched.engine.keeps_legs = True
    await tended(watched, after=61)
    await tended(watched, after=5)
    assert (watched.engine.asked.count("cancel"), len(watched.of("entry_cancelled"))) == (2, 1)
    watched.engine.keeps_legs = False
    await tended(watched, after=5)
    assert journal.open_intents() == []


async def test_an_engine_that_cancels_nothing_is_not_asked_to(journal):
    can = Capabilities(brackets=False, stop_orders=True, cancels=False)
    watched = await holding(journal, can=can, fills_now=0)
    await tended(watched, after=61)
    assert "cancel" not in watched.engine.asked


@pytest.mark.parametrize("why", ["halted", "retracted", "closed"])
async def test_an_entry_that_must_not_fill_any_more_is_cancelled_at_the_next_look(journal, why):
    watched = await holding(journal, can=STOP_ORDERS, fills_now=0)
    if why == "halted":
        journal.set_latch(OPERATOR_LATCH, "REDUCING", "", NOW)
    else:
        await watched.settled(a_close() if why == "closed" else a_revision(a_signal(), 2, Event.RETRACT))
    await tended(watched)
    assert watched.engine.order_of(Leg.ENTRY).state is CANCELLED
    assert journal.open_intents() == []


async def test_a_working_entry_counts_with_what_has_not_filled_yet(journal):
    watched = await holding(journal, can=STOP_ORDERS, fills_now=30)
    gathered = await watched.desk._handover.gathered(watched.desk._rules)
    situation = watched.desk._situation
    book = situation.book(situation.holdings(gathered, NOW), NOW)
    assert (book.positions["ABCD"].quantity, book.working[0].notional_usd) == (30, D(350))


# Words that cannot be, and silence ------------------------------------------------------------------------------------


async def test_more_than_was_asked_for_is_booked_protected_and_reduces(journal):
    watched = await holding(journal, can=STOP_ORDERS, fills_now=130)
    await tended(watched)
    assert (journal.held("ABCD"), watched.engine.order_of(Leg.STOP).plan.quantity) == (130, 130)
    assert (halted(journal)[0], len(watched.of("overfilled"))) == ("REDUCING", 1)


async def test_both_legs_filled_is_closed_again_and_halts(journal):
    watched = await holding(journal)
    entry = watched.engine.order_of(Leg.ENTRY)
    for each in entry.legs.values():
        watched.engine.fills(each, 100)
    assert watched.engine.held() == {"ABCD": -100}
    await tended(watched)
    assert (watched.engine.held(), halted(journal)[0]) == ({}, "HALTED")


async def test_an_entry_that_the_engine_cannot_carry_out_is_rejected_without_asking_it(journal):
    watched = await holding(journal, can=Capabilities(limits=False, times_in_force=frozenset()))
    assert watched.engine.handed_over == []
    (row,) = journal.orders_of(a_signal().signal_id)
    assert (row.outcome.state, journal.breaker("broker").failures) == (OutcomeState.REJECTED, 0)


async def test_a_silent_engine_changes_nothing_on_disk(journal):
    watched = await holding(journal)
    watched.engine.trouble = ConnectionError("away")
    before = watched.protection()
    with pytest.raises(EngineSilent):
        await watched.desk.tend_exits()
    assert watched.protection() == before
    watched.engine.trouble = None
    await watched.desk.tend_exits()
    assert state(watched) == (Holder.NATIVE, S.CONFIRMED)


async def test_a_position_from_before_there_were_protections_is_looked_after(journal):
    broker = Broker(can=BRACKETS)
    booked(journal, broker)
    watched = Watched(journal, broker)
    await tended(watched)
    assert state(watched) == (Holder.NATIVE, S.CONFIRMED)


# Kill -9 --------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.parametrize("can", [BRACKETS, STOP_ORDERS], ids=["native", "order"])
@pytest.mark.parametrize("call", ["submit", "cancel"])
async def test_killed_between_letting_go_and_the_exit_the_position_is_closed_once(journal, can, call):
    watched = await holding(journal, can=can)
    await tended(watched)
    journal.request_flatten("", NOW)
    real = getattr(watched.engine, call)

    async def dies(*args):
        if call == "cancel":
            await real(*args)
        raise Killed

    setattr(watched.engine, call, dies)
    with pytest.raises(Killed):
        await watched.desk.tend()
    setattr(watched.engine, call, real)
    again = watched.restarted()
    await again.desk.recover()
    await again.desk.tend_exits()
    assert (again.engine.held(), journal.open_intents(), legs(journal)) == ({}, [], ["entry", "exit"])
    assert again.protection().state is S.CLOSED


async def test_killed_before_the_stop_order_went_out_it_goes_out_once(journal):
    watched = await holding(journal, can=STOP_ORDERS)
    real = watched.engine.submit

    async def dies(*_):
        raise Killed

    watched.engine.submit = dies
    with pytest.raises(Killed):
        await watched.desk.tend()
    watched.engine.submit = real
    again = watched.restarted()
    await again.desk.tend_exits()
    assert [each.rsplit("-", 1)[1] for each in again.engine.handed_over] == ["entry", "stop"]
    assert state(again) == (Holder.ORDER, S.CONFIRMED)


class Mortal:
    """Passes every call on, and dies before the call number `at` of those that change something."""

    def __init__(self, inner, fuse):
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name):
        target = getattr(self._inner, name)
        if not callable(target) or name in READS:
            return target

        def call(*args, **kwargs):
            self._fuse[0] -= 1
            if self._fuse[0] == 0:
                raise Killed
            return target(*args, **kwargs)

        return call


async def _life(path, broker, at):
    """Two entries that fill in two parts, their stops, one stop that is hit, and a flatten; True when killed in it."""
    journal, clock, fuse = hasty(path), broker.clock, [at]
    try:
        watched = Watched(Mortal(journal, fuse), Mortal(broker, fuse), clock=clock, release_s=0.05, risk=LIMITS)
        await watched.desk.recover()
        await watched.desk.tend_exits()
        if journal.last_sequence() == 0:
            journal.record([an_arrival(1, a_signal()), an_arrival(2, a_signal("b", ticker="BBBB"))])
        await watched.settled()
        broker.fills_now = None
        for order in [each for each in broker.there.values() if each.plan.leg is Leg.ENTRY and each.filled == 40]:
            broker.fills(order, 60)
        await watched.desk.tend()
        if broker.held().get("BBBB"):
            broker.moves("BBBB", D("4.7"))
        await watched.desk.tend()
        journal.request_flatten("", NOW)
        await watched.desk.tend()
        await watched.desk.tend()
    except Killed:
        return True
    finally:
        # Closed below SQLite's transactions, without the journal's own good-bye.
        journal._db._connection.close()
    return False


# Every second step each: there are hundreds.
@pytest.mark.parametrize(("can", "step"), [(BRACKETS, 1), (STOP_ORDERS, 2)], ids=["native", "order"])
async def test_killed_at_every_step_nothing_is_held_twice_or_left_alone(tmp_path, can, step):
    while True:
        path, broker = tmp_path / f"{step}.sqlite", Broker(can=can, clock=Clock())
        broker.fills_now = 40
        was_killed = await _life(path, broker, step)
        broker.fills_now = None
        if was_killed:
            assert not await _life(path, broker, 0)
        with Journal.open(path) as journal:
            where = f"killed at step {step}"
            assert (broker.held(), journal.open_intents(), journal.protections()) == ({}, [], []), where
            assert {each: journal.held(each) for each in ("ABCD", "BBBB")} == {"ABCD": 0, "BBBB": 0}, where
            assert journal.latch(LOCAL_LATCH) is None, where
            assert len(set(broker.handed_over)) == len(broker.handed_over), where
        if not was_killed:
            break
        step += 2
    assert step > 80
