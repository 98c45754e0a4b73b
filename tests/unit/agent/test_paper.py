"""The paper engine: idempotent, exact, never below zero cash, the same after a restart."""

from dataclasses import replace
from datetime import timedelta

import pytest
from agent_samples import NOW, PAPER, D, a_book, a_signal, some_limits
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import OutcomeState, order_id_from, triggered_order_id
from subscriber_agent.engines.paper import PaperEngine, paper_book
from subscriber_agent.journal import Journal
from subscriber_agent.risk.decide import decide

ID = order_id_from("0" * 32, "alice", Leg.ENTRY)
ENTRY = decide(a_signal(), a_book(), some_limits(), PAPER, NOW).plan
EXIT = replace(ENTRY, side=Side.SELL, leg=Leg.EXIT, stop_price=None, target_price=None)
SHORT = replace(ENTRY, side=Side.SELL, stop_price=D(6), target_price=D(4))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path):
    with Journal.open(path) as opened:
        yield opened


def an_engine(journal, cash="10000", **options):
    return PaperEngine(journal, start_cash_usd=D(cash), clock=lambda: NOW, **options)


async def test_an_entry_fills_at_the_reference_price(journal):
    engine = an_engine(journal)
    outcome = await engine.submit(ENTRY, ID)
    assert (outcome.state, outcome.quantity, outcome.price) == (OutcomeState.FILLED, 100, 5)
    assert (await engine.account()).cash == 9500
    (position,) = await engine.positions()
    assert (position.ticker, position.quantity, position.stop_price, position.catalyst) == (
        "ABCD",
        100,
        D("4.75"),
        "fda",
    )


async def test_the_same_id_again_returns_the_first_outcome_and_orders_nothing(journal):
    engine = an_engine(journal)
    first = await engine.submit(ENTRY, ID)
    assert await engine.submit(replace(ENTRY, quantity=D(1)), ID) == first
    assert await engine.lookup(ID) == first
    assert len(journal.fills()) == 1


async def test_a_rejection_is_remembered_too(journal):
    engine = an_engine(journal, "499")
    first = await engine.submit(ENTRY, ID)
    assert first.state is OutcomeState.REJECTED
    assert await engine.submit(replace(ENTRY, quantity=D(1)), ID) == first
    assert (await engine.account()).cash == 499


async def test_an_order_that_was_never_seen_is_none(journal):
    assert await an_engine(journal).lookup(ID) is None


async def test_cash_may_reach_zero_and_no_less(journal):
    assert (await an_engine(journal, "500").submit(ENTRY, ID)).state is OutcomeState.FILLED
    assert (await an_engine(journal).account()).cash == 0


async def test_an_exit_needs_its_position(journal):
    engine = an_engine(journal)
    assert (await engine.submit(EXIT, "x1")).state is OutcomeState.REJECTED
    await engine.submit(ENTRY, ID)
    assert (await engine.submit(replace(EXIT, quantity=D(101)), "x2")).state is OutcomeState.REJECTED
    assert (await engine.submit(replace(EXIT, reference_price=None), "x3")).state is OutcomeState.REJECTED
    assert (await engine.submit(replace(EXIT, reference_price=D(6)), "x4")).price == 6
    assert (await engine.account()).cash == 10100
    assert await engine.positions() == ()


@pytest.mark.parametrize(
    ("plan", "price", "leg", "fill_price"),
    [
        (ENTRY, "4.76", None, None),
        (ENTRY, "4.75", Leg.STOP, "4.75"),
        (ENTRY, "3", Leg.STOP, "3"),
        (ENTRY, "5.99", None, None),
        (ENTRY, "6", Leg.TARGET, "6"),
        (ENTRY, "9", Leg.TARGET, "6"),
        (SHORT, "5.99", None, None),
        (SHORT, "6", Leg.STOP, "6"),
        (SHORT, "7", Leg.STOP, "7"),
        (SHORT, "4.01", None, None),
        (SHORT, "3", Leg.TARGET, "4"),
    ],
)
async def test_stops_fill_at_the_price_seen_and_targets_at_their_own(journal, plan, price, leg, fill_price):
    engine = an_engine(journal)
    await engine.submit(plan, ID)
    fills = await engine.observe("ABCD", D(price), NOW + timedelta(seconds=1))
    if leg is None:
        assert fills == []
        assert (await engine.positions())[0].last_price == D(price)
    else:
        assert [(each.leg, each.price, each.order_id) for each in fills] == [
            (leg, D(fill_price), triggered_order_id(ID, leg))
        ]
        assert await engine.positions() == ()
    assert await engine.observe("ABCD", D(price), NOW + timedelta(seconds=2)) == []


async def test_an_older_price_and_an_unheld_ticker_change_nothing(journal):
    engine = an_engine(journal)
    await engine.submit(ENTRY, ID)
    assert await engine.observe("ABCD", D(1), NOW - timedelta(seconds=1)) == []
    assert await engine.observe("OTHER", D(1), NOW) == []
    assert (await engine.account()).equity == 10000


async def test_slippage_is_always_against_the_friend(journal):
    engine = an_engine(journal, slippage_bps=D(100))
    assert (await engine.submit(ENTRY, ID)).price == D("5.05")
    assert (await engine.submit(EXIT, "x")).price == D("4.95")


async def test_everything_is_the_same_after_a_restart(path):
    journal = Journal.open(path)
    engine = an_engine(journal)
    await engine.submit(ENTRY, ID)
    await engine.observe("ABCD", D("5.5"), NOW)
    before = (await engine.account(), await engine.positions())
    # No close(): kill -9 does not say goodbye.
    with Journal.open(path) as again:
        restarted = an_engine(again, "77")
        assert (await restarted.account(), await restarted.positions()) == before
        assert restarted.start_cash_usd == 10000
        assert paper_book(again, D(77)) == restarted.book()
    journal.close()


def test_order_ids_are_short_deterministic_and_differ_by_signal_user_and_leg():
    ids = {
        order_id_from(signal, user, leg)
        for signal in ("0" * 32, "1" * 32)
        for user in ("alice", "bob")
        for leg in (Leg.ENTRY, Leg.EXIT)
    }
    assert len(ids) == 8
    assert all(len(each) <= 48 for each in ids)
    assert order_id_from("0" * 32, "alice", Leg.ENTRY, 2) == ID
    assert order_id_from("0" * 32, "alice", Leg.EXIT, 2) != order_id_from("0" * 32, "alice", Leg.EXIT)
    assert len(triggered_order_id(ID, Leg.TARGET)) <= 48


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B"]),
            st.booleans(),
            st.integers(1, 300),
            st.decimals("0.5", "40", places=2),
        ),
        max_size=12,
    )
)
async def test_long_only_cash_never_goes_below_zero(tmp_path_factory, trades):
    with Journal.open(tmp_path_factory.mktemp("paper") / "journal.sqlite") as journal:
        engine = an_engine(journal, "1000")
        for index, (ticker, is_exit, quantity, price) in enumerate(trades):
            plan = replace(EXIT if is_exit else ENTRY, ticker=ticker, quantity=D(quantity), reference_price=price)
            await engine.submit(plan, f"o{index}")
            assert (await engine.account()).cash >= 0
