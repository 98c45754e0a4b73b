"""Whatever an engine says, in whatever order: it is booked, and every share is protected, closed, or all is halted."""

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from agent_samples import D, a_close, a_signal
from desk_samples import BRACKETS, CANCELLED, STOP_ORDERS, WATCHED, Broker, Clock, Watched, a_quote, hasty
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineSilent
from subscriber_agent.receiving.control_state import LOCAL_LATCH
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.risk.protection import Holder, ProtectionState

ALL = Capabilities(stop_orders=True, quotes=True)
ENGINES = st.sampled_from([BRACKETS, STOP_ORDERS, WATCHED, ALL, Capabilities(), replace(BRACKETS, cancels=False)])
RISK = {"max_price_move_percent": 0, "cooldown_s": 0, "max_orders_per_minute": 60, "engine_failures": 20}
FAULTS = ("loses_answers", "legs_missing", "refuses_stops", "keeps_legs")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fault"), st.sampled_from(FAULTS), st.booleans()),
        st.tuples(st.just("silent"), st.booleans()),
        st.tuples(st.just("rejects"), st.booleans()),
        st.tuples(st.just("fill"), st.sampled_from([10, 40, 130])),
        st.tuples(st.just("price"), st.sampled_from(["4.6", "4.9", "5.2", "6.1"])),
        st.tuples(st.just("cancelled by hand")),
        st.tuples(st.just("sold by hand"), st.sampled_from([40, 100])),
        st.tuples(st.just("both legs")),
        st.tuples(st.just("killed"), st.sampled_from(["submit", "cancel", "lookup", "positions"]), st.booleans()),
        st.tuples(st.just("close")),
        st.tuples(st.just("flatten")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("tend"), st.sampled_from([1, 5, 12, 61])),
    ),
    max_size=12,
)


@given(ENGINES, st.sampled_from([None, 0, 30, 100]), STEPS)
@settings(max_examples=60, deadline=None)
def test_after_every_storm_all_is_booked_and_every_share_is_protected_closed_or_halted(can, fills_now, steps):
    with TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder) / "journal.sqlite", can, fills_now, steps))


async def _run(path, can, fills_now, steps):
    clock = Clock()
    broker = Broker(can=can, clock=clock, quote=a_quote("5", clock, "0") if can.quotes else None)
    with hasty(path) as journal:
        watched = Watched(journal, broker, clock=clock, release_s=0.02, risk=RISK)
        broker.fills_now = fills_now
        await watched.settled(a_signal())
        broker.fills_now = None
        for number, (what, *rest) in enumerate(steps):
            watched = await _step(watched, number, what, *rest)
            _never_twice(broker)
        _calm(broker)
        for seconds in (1, 12, 12, 61):
            await _tended(watched, seconds)
        _check(watched)


async def _step(watched, number, what, *rest):  # noqa: C901  # a table of what may happen
    broker = watched.engine
    entries = [each for each in broker.there.values() if each.plan.leg is Leg.ENTRY]
    match what:
        case "fault":
            setattr(broker, *rest)
        case "silent":
            broker.trouble = ConnectionError("away") if rest[0] else None
        case "rejects":
            broker.rejects = "closed for lunch" if rest[0] else None
        case "fill" if entries and entries[0].state.is_working:
            broker.fills(entries[0], min(D(rest[0]), entries[0].rest))
        case "price":
            broker.moves("ABCD", D(rest[0]))
            if broker.can.quotes:
                broker.price = a_quote(rest[0], watched.clock)
        case "cancelled by hand" if entries:
            for each in entries[0].legs.values():
                each.state = CANCELLED if each.state.is_working else each.state
        case "sold by hand" if broker.held().get("ABCD", 0) >= rest[0] and not broker.foreign:
            broker.foreign["ABCD"] = -D(rest[0])
        case "both legs" if entries:
            for each in entries[0].legs.values():
                broker.fills(each, each.rest if each.state.is_working else 0)
        case "killed":
            await _killed(watched, *rest)
            watched = watched.restarted()
        case "close":
            watched.receive(a_close(news=f"close-{number}"))
        case "flatten":
            watched.journal.request_flatten("", watched.clock())
        case "restart":
            watched = watched.restarted()
        case "tend":
            await _tended(watched, rest[0])
    return watched


class Killed(BaseException):
    pass


async def _killed(watched, call, after):
    """A tend that dies at its first such call, before or after the engine did it."""
    real = getattr(watched.engine, call)

    async def dies(*args):
        if after:
            await real(*args)
        raise Killed

    setattr(watched.engine, call, dies)
    try:
        await _tended(watched, 5)
    except Killed:
        pass
    finally:
        delattr(watched.engine, call)


async def _tended(watched, seconds):
    watched.clock.passes(seconds)
    if watched.engine.price is not None:
        watched.engine.price = a_quote(watched.engine.price.bid, watched.clock)
    try:
        await watched.settled()
        await watched.desk.tend()
    except EngineSilent:
        return


def _calm(broker):
    for name in FAULTS:
        setattr(broker, name, False)
    broker.trouble = broker.rejects = None


def _never_twice(broker):
    """Nothing is sold that is not held, and no order is handed over twice."""
    assert len(set(broker.handed_over)) == len(broker.handed_over)


def _check(watched):
    broker, journal = watched.engine, watched.journal
    theirs = broker.held().get("ABCD", D(0))
    ours = theirs - broker.foreign.get("ABCD", D(0))
    assert journal.held("ABCD") == ours
    assert all(row.outcome is not None for row in journal.open_intents())
    left = min(abs(ours), abs(theirs)) if ours * theirs > 0 else D(0)
    if left == 0:
        if broker.can.cancels:
            assert not _working(broker)
        return
    latch = journal.latch(LOCAL_LATCH)
    is_closing = any(row.intent.plan.leg is Leg.EXIT for row in journal.open_intents())
    assert _is_protected(broker, journal, left) or is_closing or (latch is not None and latch.value == "HALTED")


def _working(broker):
    orders = (each for order in broker.there.values() for each in (order, *order.legs.values()))
    return [each for each in orders if each.state.is_working]


def _is_protected(broker, journal, left):
    (row,) = journal.protections()
    if row.state is not ProtectionState.CONFIRMED:
        return False
    stops = [each for each in _working(broker) if each.plan.leg is Leg.STOP]
    return row.holder is Holder.WATCHED or sum(each.rest for each in stops) >= left
