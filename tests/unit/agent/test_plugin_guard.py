"""The guard around a plug-in: garbage, hangs, deaths and lies each have an outcome.

garbage            PluginFault: an order's end is UNKNOWN and looked up, a question is asked again later
raises, exits      the same; a plug-in cannot end the agent, nor cancel its tasks
hangs              the caller's time limit: UNKNOWN
fills more         passed on: it is the truth, and the core books and protects it
unknown ticker     a position nobody ordered is passed on: reconcile names it
"""

import asyncio
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from agent_samples import NOW
from plugin_samples import ALL, FILLED, Answering, a_plan

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import (
    Account,
    EngineEvent,
    Holding,
    LegOutcome,
    Outcome,
    OutcomeState,
    WorkingOrder,
)
from subscriber_agent.engines.plugin import answers
from subscriber_agent.engines.plugin.guard import GuardedEngine, PluginFault
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

ID = "cs-" + "0" * 32 + "-entry"
STOP = LegOutcome(Leg.STOP, "leg-1", OutcomeState.ACCEPTED, Decimal(2), Decimal("4.5"))


def guarded(can=ALL, **given):
    inner = Answering(can, **given)
    return GuardedEngine(inner, inner.name, True, can)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "FILLED",
        {"state": "FILLED"},
        Outcome("FILLED", Decimal(2), Decimal(5)),
        Outcome(OutcomeState.ABANDONED),
        Outcome(OutcomeState.FILLED, 2.0, Decimal(5)),
        Outcome(OutcomeState.FILLED, Decimal("NaN"), Decimal(5)),
        Outcome(OutcomeState.FILLED, Decimal(2), None),
        Outcome(OutcomeState.FILLED, Decimal(2), Decimal(0)),
        Outcome(OutcomeState.FILLED, Decimal(2), Decimal("Infinity")),
        Outcome(OutcomeState.FILLED, Decimal(0), None),
        Outcome(OutcomeState.FILLED, Decimal(-2), Decimal(5)),
        Outcome(OutcomeState.FILLED, Decimal("1e30"), Decimal(5)),
        Outcome(OutcomeState.REJECTED, Decimal(1), Decimal(5)),
        replace(FILLED, detail=None),
        replace(FILLED, legs=[STOP]),
        replace(FILLED, legs=("stop",)),
        replace(FILLED, legs=(STOP, STOP)),
        replace(FILLED, legs=(replace(STOP, leg=Leg.ENTRY),)),
        replace(FILLED, legs=(replace(STOP, protects=2),)),
    ],
    ids=[
        "none", "text", "dict", "state-text", "abandoned", "float", "nan", "no-price", "price-zero", "price-infinite",
        "filled-nothing", "negative", "enormous", "rejected-filled", "detail", "legs-list", "leg-text", "leg-twice",
        "leg-entry", "leg-int",
    ],
)  # fmt: skip
async def test_a_malformed_end_of_an_order_is_a_fault(answer):
    with pytest.raises(PluginFault, match="submit answered wrongly"):
        await guarded(submit=answer).submit(a_plan(), ID)


@pytest.mark.parametrize("name", ["lookup", "cancel"])
async def test_only_a_true_none_is_none(name):
    assert await getattr(guarded(**{name: None}), name)(ID) is None
    for answer in (False, 0, "", {}):
        with pytest.raises(PluginFault):
            await getattr(guarded(**{name: answer}), name)(ID)


async def test_what_filled_beyond_the_order_is_passed_on_as_the_truth():
    more = Outcome(OutcomeState.FILLED, Decimal(200), Decimal(5), legs=(replace(STOP, protects=Decimal(200)),))
    assert await guarded(submit=more).submit(a_plan(), ID) == more


async def test_a_position_nobody_ordered_is_passed_on_as_the_truth():
    stranger = (Holding("WXYZ", Decimal(-7)),)
    assert await guarded(positions=stranger).positions() == stranger


@pytest.mark.parametrize(
    "error", [ValueError("bad"), ConnectionError(), StopAsyncIteration(), SystemExit(1), asyncio.CancelledError()],
    ids=["value", "connection", "stop", "exit", "cancelled"],
)  # fmt: skip
async def test_a_plug_in_that_dies_is_an_ordinary_fault(error):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one does not matter: it is an Exception
        await guarded(submit=error).submit(a_plan(), ID)
    assert isinstance(caught.value, Exception)


async def test_a_hanging_plug_in_ends_at_the_callers_limit():
    async def forever():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await guarded(submit=forever).submit(a_plan(), ID)


async def test_a_true_cancellation_passes():
    async def forever():
        await asyncio.Event().wait()

    task = asyncio.create_task(guarded(account=forever).account())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("account", (), None),
        ("account", (), Account(1.5, Decimal(1))),
        ("account", (), Account(Decimal("NaN"), Decimal(1))),
        ("account", (), Account(Decimal(1), Decimal(1), is_blocked="no")),
        ("positions", (), None),
        ("positions", (), [Holding("A", Decimal(1))]),
        ("positions", (), (Holding("A", Decimal(0)),)),
        ("positions", (), (Holding("A", Decimal(1)), Holding("A", Decimal(2)))),
        ("positions", (), (Holding("B", Decimal(1)), Holding("A", Decimal(2)))),
        ("positions", (), (Holding("A", 1),)),
        ("orders", (), None),
        ("orders", (), (WorkingOrder("x", "A", "buy", Decimal(1)),)),
        ("orders", (), (WorkingOrder("b", "A", Side.BUY, Decimal(1)), WorkingOrder("a", "A", Side.BUY, Decimal(1)))),
        ("quote", ("A",), "5.00"),
        ("quote", ("A",), Quote(Decimal(1), Decimal(1), None, datetime(2026, 1, 2))),  # noqa: DTZ001
        ("quote", ("A",), Quote(Decimal(0), Decimal(1), None, NOW)),
        ("symbol", ("A",), Symbol(is_halted=1)),
        ("observe", ("A", Decimal(1), NOW), None),
        ("observe", ("A", Decimal(1), NOW), [ID]),
    ],
    ids=[
        "account-none", "cash-float", "cash-nan", "blocked-text", "positions-none", "positions-list", "of-nothing",
        "twice", "unsorted", "int", "orders-none", "side-text", "orders-unsorted", "quote-text", "naive-time",
        "price-zero", "symbol-int", "observe-none", "observe-list",
    ],
)  # fmt: skip
async def test_a_malformed_answer_to_a_question_is_a_fault(name, arguments, answer):
    with pytest.raises(PluginFault, match=f"{name} answered wrongly"):
        await getattr(guarded(**{name: answer}), name)(*arguments)


async def test_well_formed_answers_pass_untouched():
    quote, symbol = Quote(Decimal(1), None, None, NOW), Symbol(is_halted=False)
    engine = guarded(quote=quote, symbol=symbol, lookup=FILLED, observe=(ID,))
    assert await engine.quote("A") is quote
    assert await engine.symbol("A") is symbol
    assert await engine.lookup(ID) is FILLED
    assert await engine.observe("A", Decimal(1), NOW) == (ID,)
    assert (await engine.account()).is_blocked is False


async def test_what_is_not_declared_is_never_asked():
    inner = Answering(Capabilities())
    engine = GuardedEngine(inner, "x", True, Capabilities())
    assert await engine.quote("A") is None
    assert await engine.symbol("A") is None
    assert [each async for each in engine.events()] == []
    assert inner.calls == []


async def test_events_are_passed_on_until_one_is_none():
    first = EngineEvent(ID, "filled")
    events = guarded(events=(first, "filled")).events()
    assert await anext(events) == first
    with pytest.raises(PluginFault, match="events"):
        await anext(events)


def test_an_engine_that_changes_its_mind_about_what_it_can_do_is_not_believed():
    inner = Answering()
    engine = GuardedEngine(inner, "x", True, ALL)
    inner._can = Capabilities(brackets=False)
    assert engine.capabilities() == ALL


def test_holding_stops_without_being_able_to_cancel_them_is_a_flaw():
    assert "cancel" in (answers.capabilities_flaw(Capabilities(cancels=False)) or "")
    assert answers.capabilities_flaw(Capabilities(cancels=False, brackets=False)) is None
