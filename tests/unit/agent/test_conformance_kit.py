"""The kit itself: it finds each fault, orders nothing where it may not, and says what it could not close."""

import asyncio
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from plugin_samples import FILLED, Answering

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg
from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.case import Need, Result
from subscriber_agent.conformance.cases import CASES, case_of
from subscriber_agent.conformance.running import run_cases
from subscriber_agent.engines.engine import Account, Holding, Outcome, OutcomeState
from subscriber_agent.engines.plugin.threaded import ThreadedEngine
from subscriber_agent.risk.decision import OrderType

sys.path.insert(0, str(Path(__file__).parents[3] / "examples/engines/python_plugin"))
from notebook_engine import Notebook
from notebook_engine.book import Book

REJECTED = Outcome(OutcomeState.REJECTED, detail="no")
ACCEPTED = Outcome(OutcomeState.ACCEPTED)


class Faulty(Notebook):
    """A notebook with some methods replaced: each is called with the notebook and the arguments."""

    def __init__(self, book, faults):
        super().__init__(book)
        for name, fault in faults.items():
            setattr(self, name, lambda *arguments, fault=fault: fault(self, *arguments))


def place_anew(engine, plan, order_id):
    """Orders each time that it is asked, under ids of its own."""
    engine.count = getattr(engine, "count", 0) + 1
    outcome = engine._book.place(plan, f"{order_id}{engine.count}")
    return engine._book.known(order_id) or engine._book.place(plan, order_id) or outcome


def double(engine, plan, order_id):
    return engine._book.known(order_id) or engine._book.place(replace(plan, quantity=plan.quantity * 2), order_id)


def without_stop(engine, plan, order_id):
    bare = plan if plan.order_type is OrderType.STOP else replace(plan, stop_price=None, target_price=None)
    return engine._book.known(order_id) or engine._book.place(bare, order_id)


def no_exits(engine, plan, order_id):
    if plan.leg is Leg.EXIT:
        return REJECTED
    return engine._book.known(order_id) or engine._book.place(plan, order_id)


def no_stops(engine, plan, order_id):
    if plan.leg is Leg.STOP:
        return REJECTED
    return engine._book.known(order_id) or engine._book.place(plan, order_id)


def known_exit(engine, order_id):
    return engine._book.known(order_id) or (REJECTED if order_id.endswith("-exit") else None)


def known_stop(engine, order_id):
    return engine._book.known(order_id) or (REJECTED if order_id.endswith("-stop") else None)


FAULTS = {
    "never-seen": ({"lookup": lambda engine, order_id: ACCEPTED}, "never handed over|nobody ever"),
    "cancel-never-seen": ({"cancel": lambda engine, order_id: FILLED}, "never was has filled"),
    "account": ({"account": lambda engine: Account(1.5, Decimal(1))}, "float"),
    "positions": ({"positions": lambda engine: (Holding("A", Decimal(0)),)}, "position of nothing"),
    "orders": ({"orders": lambda engine: None}, "NoneType"),
    "unknown-ticker": ({"observe": lambda engine, *_: 1 / 0}, "ZeroDivisionError"),
    "known": ({"lookup": lambda engine, order_id: None}, "never saw"),
    "same-id-twice": ({"submit": place_anew}, "held"),
    "same-id-larger": ({"submit": place_anew}, "held"),
    "same-id-at-once": ({"submit": place_anew}, "held"),
    "side-by-side": ({"submit": double}, "other"),
    "as-asked": ({"submit": double}, "were asked"),
    "exit": ({"submit": no_exits, "lookup": known_exit}, "REJECTED"),
    "nothing": ({"submit": lambda engine, plan, order_id: Outcome(OutcomeState.FILLED)}, "nothing of it filled"),
    "cancel": ({"cancel": lambda engine, order_id: engine._book.known(order_id)}, "cancelled order is ACCEPTED"),
    "stop-held": ({"submit": without_stop}, "no working stop"),
    "legs-released": ({"cancel": lambda engine, order_id: engine._book.known(order_id)}, "still working"),
    "stop-fills": ({"observe": lambda engine, *_: ()}, "stop did not fill"),
    "target-fills": ({"observe": lambda engine, *_: ()}, "target did not fill"),
    "stop-order": ({"submit": no_stops, "lookup": known_stop}, "far below the market is REJECTED"),
}  # fmt: skip


async def nowhere(ticker, price):
    """The kit shows the engine the price itself."""


RIG = Rig(ticker="ABCD", price=Decimal(5), may_trade=True, move_price=nowhere, patience_s=0.1)


async def tried(folder, case_id, faults, rig=RIG):
    def factory():
        return ThreadedEngine(Faulty(Book(folder / "book.json", Decimal(10_000)), faults))

    return [each async for each in run_cases(factory, rig, None if case_id is None else {case_id})]


@pytest.mark.parametrize("case_id", list(FAULTS))
async def test_a_fault_fails_its_case(tmp_path, case_id):
    faults, words = FAULTS[case_id]
    found = (await tried(tmp_path, case_id, faults))[0]
    assert (found.id, found.result) == (case_id, Result.FAIL)
    assert any(word in found.text for word in words.split("|"))


@pytest.mark.parametrize("case_id", list(FAULTS))
async def test_the_same_engine_without_the_fault_passes_it(tmp_path, case_id):
    found = (await tried(tmp_path, case_id, {}))[0]
    assert (found.result, found.text.startswith("left")) == (Result.PASS, False)


async def test_an_engine_that_forgets_at_a_restart_fails(tmp_path):
    books = iter(tmp_path / f"{number}.json" for number in range(9))
    results = [
        each
        async for each in run_cases(
            lambda: ThreadedEngine(Notebook(Book(next(books), Decimal(10_000)))), RIG, {"restart"}
        )
    ]
    assert results[0].result is Result.FAIL
    assert "never saw" in results[0].text


async def test_what_cannot_be_closed_is_said(tmp_path):
    results = await tried(tmp_path, "known", {"submit": no_exits, "lookup": known_exit})
    by_id = {each.id: each for each in results}
    assert "2 ABCD are still held: close them yourself" in by_id["known"].text
    assert (by_id["tidy"].result, "2 ABCD" in by_id["tidy"].text) == (Result.FAIL, True)


async def test_without_leave_nothing_is_ordered(tmp_path):
    def never(engine, plan, order_id):
        raise AssertionError("it ordered")

    results = await tried(tmp_path, None, {"submit": never}, replace(RIG, may_trade=False))
    by_id = {each.id: each for each in results}
    for case in CASES:
        if Need.TRADE in case.needs:
            assert by_id[case.id].result is Result.SKIP
        else:
            assert by_id[case.id].result is not Result.FAIL, by_id[case.id].text


async def test_a_ticker_that_is_held_already_is_not_touched(tmp_path):
    held = {"positions": lambda engine: (Holding("ABCD", Decimal(7)),)}
    results = await tried(tmp_path, "known", held)
    assert results[0].result is Result.SKIP
    assert "choose another ticker" in results[0].text


async def test_a_market_that_fills_nothing_skips_and_leaves_nothing(tmp_path):
    def waits(engine, plan, order_id):
        far = replace(plan, order_type=OrderType.LIMIT, limit_price=Decimal(1))
        return engine._book.known(order_id) or engine._book.place(far, order_id)

    results = await tried(tmp_path, "exit", {"submit": waits})
    assert [(each.id, each.result) for each in results[:2]] == [("exit", Result.SKIP), ("tidy", Result.PASS)]
    assert "is the market open" in results[0].text


async def test_every_case_leaves_nothing_and_the_slowest_calls_are_shown(tmp_path):
    results = await tried(tmp_path, None, {})
    assert [each.id for each in results if each.result is Result.FAIL] == []
    assert "submit" in results[-1].text


async def test_an_interrupted_case_closes_what_it_opened(tmp_path):
    bought = asyncio.Event()
    book = Book(tmp_path / "book.json", Decimal(10_000))
    loop = asyncio.get_running_loop()

    def seen(notebook, ticker, price, at):
        loop.call_soon_threadsafe(bought.set)
        return ()

    faulty = ThreadedEngine(Faulty(book, {"observe": seen}))
    rig = replace(RIG, patience_s=30)

    async def run():
        return [each async for each in run_cases(lambda: faulty, rig, {"stop-fills"})]

    task = asyncio.create_task(run())
    async with asyncio.timeout(5):
        await bought.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert book.holdings() == ()


async def test_an_engine_that_cannot_start_is_unusable(tmp_path):
    engine = Answering(start=EngineUnusable("no key"))
    with pytest.raises(EngineUnusable, match="no key"):
        await anext(run_cases(lambda: engine, RIG))


async def test_an_engine_that_throws_anything_is_a_result_and_the_next_case_goes_on(tmp_path):
    engine = Answering(account=ValueError("bad"), positions=ValueError("worse"))
    results = {each.id: each async for each in run_cases(lambda: engine, RIG, {"account", "identity", "known"})}
    assert results["account"].text == "ValueError: bad"
    assert results["identity"].result is Result.PASS
    assert results["known"].result is Result.SKIP
    assert engine.calls[-1] == "close"


def test_ids_of_cases_are_unique_and_their_titles_are_sentences():
    assert len({each.id for each in CASES}) == len(CASES)
    assert all(not each.title.endswith(".") for each in CASES)
    assert case_of("exit").title == "an exit closes the position"


def test_the_docs_list_every_case_with_its_rule():
    page = (Path(__file__).parents[3] / "docs/engines/conformance.md").read_text(encoding="utf-8")
    missing = [each.id for each in CASES if f"| `{each.id}` | {each.title} |" not in page]
    assert missing == []
