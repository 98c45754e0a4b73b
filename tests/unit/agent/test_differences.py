"""What is a difference between our own fills and the engine's word, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Side
from subscriber_agent.accounting.differences import (
    MEANINGS,
    Difference,
    DifferenceKind,
    Ours,
    OwnOrder,
    OwnStop,
    Theirs,
    differences,
    lasting,
)
from subscriber_agent.engines.engine import Holding, WorkingOrder
from subscriber_agent.risk.decision import OrderType

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
ENTRY = "cs-" + "a" * 32 + "-entry"
STOP = "cs-" + "a" * 32 + "-stop"


def kinds(ours, theirs):
    return [(each.kind.value, each.ticker) for each in differences(ours, theirs, NOW)]


def holds(**quantities):
    return tuple(Holding(ticker, D(quantity), D(5), D(6)) for ticker, quantity in quantities.items())


def a_stop_at_the_engine(quantity=100, order_id=STOP, **changes):
    fields = {"order_type": OrderType.STOP, "stop_price": D("4.75")} | changes
    return WorkingOrder(order_id, "AAPL", Side.SELL, D(quantity), **fields)


@pytest.mark.parametrize(
    ("ours", "engines", "kind"),
    [
        (100, 0, "POSITION_MISSING"),
        (0, 100, "POSITION_UNKNOWN"),
        (100, 60, "QUANTITY_DIFFERS"),
        (-100, -60, "QUANTITY_DIFFERS"),
        (100, -100, "SIDE_DIFFERS"),
        (100, "NaN", "QUANTITY_DIFFERS"),
        (0, "sNaN", "POSITION_UNKNOWN"),
        (100, "1E+30", "QUANTITY_DIFFERS"),
    ],
)
def test_every_way_in_which_a_position_can_differ_has_its_name(ours, engines, kind):
    assert kinds(Ours(held={"AAPL": D(ours)}), Theirs(holds(AAPL=engines))) == [(kind, "AAPL")]


def test_the_same_shares_on_both_sides_are_no_difference():
    assert kinds(Ours(held={"AAPL": D(100), "MSFT": D("-2.50")}), Theirs(holds(AAPL="100.0", MSFT="-2.5"))) == []
    assert kinds(Ours(held={"AAPL": D(0)}), Theirs(holds(MSFT=0))) == []


def test_a_difference_carries_both_numbers_and_the_engines_price():
    (found,) = differences(Ours(held={"AAPL": D(100)}), Theirs(holds(AAPL=60)), NOW)
    assert (found.ours, found.engines, found.price) == (D(100), D(60), D(5))
    (found,) = differences(Ours(), Theirs((Holding("AAPL", D(1), None, D(7)),)), NOW)
    assert found.price == D(7)


@pytest.mark.parametrize("seconds", [0, 59, -59])
def test_a_ticker_with_an_order_under_way_is_left_alone(seconds):
    order = OwnOrder(ENTRY, "AAPL", D(100), NOW - timedelta(seconds=seconds))
    assert kinds(Ours(orders=(order,)), Theirs(holds(AAPL=100))) == []


def test_an_order_under_way_excuses_no_other_ticker_and_not_for_ever():
    order = OwnOrder(ENTRY, "AAPL", D(100), NOW)
    assert kinds(Ours(orders=(order,)), Theirs(holds(MSFT=1))) == [("POSITION_UNKNOWN", "MSFT")]
    old = OwnOrder(ENTRY, "AAPL", D(100), NOW - timedelta(seconds=60))
    assert kinds(Ours(orders=(old,)), Theirs(holds(AAPL=100))) == [("POSITION_UNKNOWN", "AAPL")]


def test_an_order_of_ours_that_the_journal_never_wrote_is_unknown():
    order = WorkingOrder(ENTRY, "AAPL", Side.BUY, D(100), filled=D(40))
    (found,) = differences(Ours(), Theirs(orders=(order,)), NOW)
    assert (found.kind, found.order_id, found.engines) == (DifferenceKind.ORDER_UNKNOWN, ENTRY, D(60))


def test_legs_of_a_known_entry_and_the_friends_own_orders_are_not_unknown():
    own = WorkingOrder("placed-by-hand", "AAPL", Side.BUY, D(1))
    theirs = Theirs(orders=(a_stop_at_the_engine(), own, WorkingOrder("", "MSFT", Side.SELL, D(1))))
    assert kinds(Ours(known_ids=frozenset({ENTRY})), theirs) == []


def test_an_order_that_we_wait_for_and_the_engine_does_not_have_is_missing():
    working = OwnOrder(ENTRY, "AAPL", D(100), LONG_AGO, works=True)
    assert kinds(Ours(orders=(working,)), Theirs()) == [("ORDER_MISSING", "AAPL")]
    there = Theirs(orders=(WorkingOrder(ENTRY, "AAPL", Side.BUY, D(100)),))
    assert kinds(Ours(orders=(working,), known_ids=frozenset({ENTRY})), there) == []


def test_an_order_whose_end_is_unknown_is_looked_up_and_not_called_missing():
    assert kinds(Ours(orders=(OwnOrder(ENTRY, "AAPL", D(100), LONG_AGO),)), Theirs()) == []


@pytest.mark.parametrize(
    ("orders", "is_missing"),
    [
        ((), True),
        ((a_stop_at_the_engine(60),), True),
        ((a_stop_at_the_engine("NaN"),), True),
        ((a_stop_at_the_engine(100, filled=D(1)),), True),
        ((a_stop_at_the_engine(),), False),
        ((a_stop_at_the_engine(60), a_stop_at_the_engine(40, "the-brokers-own-id")), False),
        ((a_stop_at_the_engine(order_type=None, stop_price=None),), False),
        ((a_stop_at_the_engine(order_id="x", order_type=OrderType.LIMIT, stop_price=None),), True),
    ],
    ids=["none", "too small", "no number", "partly filled", "there", "in two parts", "by its id", "only a target"],
)
def test_a_stop_that_should_be_at_the_engine_must_cover_what_is_held(orders, is_missing):
    stop = OwnStop("AAPL", Side.SELL, D(100), STOP)
    ours = Ours(held={"AAPL": D(100)}, known_ids=frozenset({ENTRY}), stops=(stop,))
    assert kinds(ours, Theirs(holds(AAPL=100), orders)) == ([("STOP_MISSING", "AAPL")] if is_missing else [])


def test_a_number_that_is_none_never_hides_a_missing_stop():
    ours = Ours(held={"AAPL": D(100)}, stops=(OwnStop("AAPL", Side.SELL, D(100), STOP),))
    assert kinds(ours, Theirs(holds(AAPL="NaN"))) == [("QUANTITY_DIFFERS", "AAPL"), ("STOP_MISSING", "AAPL")]


def test_what_is_no_longer_held_needs_no_stop():
    ours = Ours(stops=(OwnStop("AAPL", Side.SELL, D(100), STOP),))
    assert kinds(ours, Theirs()) == []


def test_only_what_two_looks_found_counts_with_the_numbers_of_the_second():
    first = (Difference(DifferenceKind.QUANTITY_DIFFERS, "AAPL", D(100), D(60)),)
    second = (
        Difference(DifferenceKind.QUANTITY_DIFFERS, "AAPL", D(100), D(50)),
        Difference(DifferenceKind.POSITION_UNKNOWN, "MSFT", D(0), D(1)),
    )
    assert lasting(first, second) == second[:1]
    assert lasting(first, ()) == lasting((), second) == ()


def test_every_kind_says_what_it_means_and_what_to_do_in_the_document_too():
    assert set(MEANINGS) == set(DifferenceKind)
    document = (Path(__file__).parents[3] / "docs" / "reconcile.md").read_text(encoding="utf-8")
    for kind, (meaning, to_do) in MEANINGS.items():
        assert f"| `{kind.value}` | {meaning} | {to_do} |" in document


quantities = st.dictionaries(st.sampled_from(["AAPL", "MSFT", "TSLA"]), st.integers(-300, 300).map(D))


@given(quantities, quantities)
def test_no_difference_means_the_same_positions_and_taking_the_engines_word_ends_them(ours, engines):
    theirs = Theirs(tuple(Holding(ticker, quantity) for ticker, quantity in engines.items()))
    found = differences(Ours(held=ours), theirs, NOW)
    accepted = {**ours, **{each.ticker: each.engines for each in found}}
    assert differences(Ours(held=accepted), theirs, NOW) == ()
    assert all(each.kind.is_position for each in found)
    assert [Difference.from_dict(each.as_dict()) for each in found] == list(found)
