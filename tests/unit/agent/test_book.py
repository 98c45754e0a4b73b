"""Fills fold into cash and positions, exactly."""

from datetime import timedelta
from decimal import Decimal

import pytest
from agent_samples import NOW, D, a_book, a_position
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Fill, Leg, Side, WorkingEntry, book_from


def a_fill(side=Side.BUY, quantity=10, price="5", ticker="ABCD", order_id="o1", **changes):
    return Fill(order_id, ticker, side, Leg.ENTRY, D(quantity), D(price), NOW, **changes)


def test_a_buy_opens_a_position_and_takes_cash():
    book = book_from([a_fill(stop_price=D(4), target_price=D(7), catalyst="fda")], start_cash=D(100))
    position = book.positions["ABCD"]
    assert book.cash == 50
    assert book.equity == 100
    assert (position.quantity, position.average_price, position.stop_price, position.catalyst) == (10, 5, 4, "fda")


def test_a_sale_of_all_removes_the_position_and_realises_its_gain():
    book = book_from([a_fill(), a_fill(Side.SELL, 10, "6", order_id="o2")], start_cash=D(100))
    assert not book.positions
    assert (book.cash, book.realised_usd) == (110, 10)


def test_part_of_a_position_keeps_its_average_price():
    book = book_from([a_fill(), a_fill(Side.BUY, 10, "7"), a_fill(Side.SELL, 5, "8")], start_cash=D(1000))
    position = book.positions["ABCD"]
    assert (position.quantity, position.average_price, book.realised_usd) == (15, 6, 10)


def test_a_fill_through_zero_turns_the_position_around():
    book = book_from([a_fill(), a_fill(Side.SELL, 15, "6")], start_cash=D(100))
    assert book.positions["ABCD"].quantity == -5
    assert (book.realised_usd, book.equity) == (10, 110)


def test_a_short_gains_when_the_price_falls_and_blocks_buying_power():
    book = book_from([a_fill(Side.SELL, 10, "5")], start_cash=D(100), marks={"ABCD": D(4)})
    assert (book.cash, book.equity, book.exposure, book.buying_power) == (150, 110, 40, 70)


def test_marks_move_held_tickers_only():
    book = book_from([a_fill()], start_cash=D(100), marks={"ABCD": D(6), "OTHER": D(9)})
    assert book.positions["ABCD"].last_price == 6
    assert book.positions["ABCD"].unrealised_usd == 10
    assert set(book.positions) == {"ABCD"}


@pytest.mark.parametrize("price", [None, Decimal("NaN"), Decimal("Infinity")])
def test_one_unknown_price_makes_the_equity_unknown(price):
    book = a_book("100", a_position(last_price=price), a_position("OK", 1))
    assert book.equity is None
    assert book.exposure is None
    assert book.positions["ABCD"].unrealised_usd is None


def test_working_entries_count_as_exposure_and_use_cash():
    book = a_book("100", working=(WorkingEntry("X", D(30)),))
    assert (book.exposure, book.buying_power, book.occupied) == (30, 70, {"X"})


def test_a_fill_on_unknown_cash_is_an_error():
    with pytest.raises(ValueError, match="unknown amount of cash"):
        a_book(None).after(a_fill())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.integers(1, 50),
            st.decimals("0.01", "50", places=2),
            st.sampled_from(["A", "B"]),
        ),
        max_size=15,
    )
)
def test_cash_and_holdings_add_up_whatever_the_order(trades):
    fills = [
        Fill(f"o{i}", ticker, side, Leg.ENTRY, D(quantity), price, NOW + timedelta(seconds=i))
        for i, (side, quantity, price, ticker) in enumerate(trades)
    ]
    book = book_from(fills, start_cash=D(1000))
    assert book.cash == 1000 - sum(each.side.sign * each.quantity * each.price for each in fills)
    for ticker in ("A", "B"):
        held = sum(each.side.sign * each.quantity for each in fills if each.ticker == ticker)
        assert (book.positions[ticker].quantity if ticker in book.positions else 0) == held
    running = book_from((), start_cash=D(1000))
    for each in fills:
        running = running.after(each)
    assert (running, list(running.positions)) == (book, list(book.positions))
