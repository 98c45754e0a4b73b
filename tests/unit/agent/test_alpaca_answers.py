"""Alpaca: what its answers are read as, and what is not believed. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.alpaca import answers
from subscriber_agent.engines.alpaca.answers import Unreadable
from subscriber_agent.engines.engine import Account, Outcome, OutcomeState

S = OutcomeState
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def order(status: str, filled: str = "0", price: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "o-1", "qty": "10", "filled_qty": filled, "filled_avg_price": price, "status": status, **more}


def bracket(status: str, stop: str, target: str | None, filled: str = "10") -> dict[str, Any]:
    legs = [order(stop, type="stop", stop_price="9.5", id="stop")]
    if target is not None:
        legs.append(order(target, type="limit", limit_price="11", id="target"))
    return order(status, filled, "10", legs=legs)


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        *((each, "0", S.ACCEPTED) for each in sorted(answers._WORKING - {"partially_filled"})),
        *((each, "4", S.PARTLY_FILLED) for each in sorted(answers._WORKING)),
        ("filled", "10", S.FILLED),
        ("filled", "0", S.UNKNOWN),
        ("canceled", "0", S.CANCELLED),
        ("canceled", "4", S.CANCELLED),
        ("canceled", "10", S.FILLED),
        ("expired", "0", S.CANCELLED),
        ("expired", "4", S.CANCELLED),
        ("rejected", "0", S.REJECTED),
        ("rejected", "4", S.CANCELLED),
        ("suspended", "0", S.UNKNOWN),
        ("calculated", "10", S.UNKNOWN),
        ("replaced", "0", S.UNKNOWN),
        ("brand_new_word", "0", S.UNKNOWN),
        ("", "0", S.UNKNOWN),
    ],
)
def test_every_status_has_a_state_and_an_unknown_one_is_unknown(status: str, filled: str, state: S) -> None:
    outcome = answers.outcome_from(order(status, filled, "10.5"))
    assert (outcome.state, outcome.quantity) == (state, Decimal(filled))


def test_every_status_of_alpaca_py_is_in_the_table() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from alpaca.trading.enums import OrderStatus
    assert {each.value for each in OrderStatus} == answers.KNOWN_STATUSES


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (bracket("new", "held", "held", "0"), {}),
        (bracket("partially_filled", "held", "held", "4"), {}),
        (bracket("filled", "held", "new"), {Leg.STOP: S.ACCEPTED, Leg.TARGET: S.ACCEPTED}),
        (bracket("filled", "held", "accepted"), {Leg.STOP: S.ACCEPTED, Leg.TARGET: S.ACCEPTED}),
        (bracket("filled", "new", "held"), {Leg.STOP: S.ACCEPTED, Leg.TARGET: S.ACCEPTED}),
        (bracket("filled", "new", None), {Leg.STOP: S.ACCEPTED}),
        (bracket("filled", "held", None), {Leg.STOP: S.UNKNOWN}),
        (bracket("filled", "held", "held"), {Leg.STOP: S.UNKNOWN, Leg.TARGET: S.UNKNOWN}),
        (bracket("filled", "held", "filled"), {Leg.STOP: S.UNKNOWN, Leg.TARGET: S.UNKNOWN}),
        (bracket("filled", "held", "rejected"), {Leg.STOP: S.UNKNOWN, Leg.TARGET: S.REJECTED}),
        (bracket("filled", "held", "pending_cancel"), {Leg.STOP: S.UNKNOWN, Leg.TARGET: S.ACCEPTED}),
        (bracket("filled", "suspended", "new"), {Leg.STOP: S.UNKNOWN, Leg.TARGET: S.ACCEPTED}),
        (bracket("canceled", "canceled", "canceled", "4"), {Leg.STOP: S.CANCELLED, Leg.TARGET: S.CANCELLED}),
        (bracket("canceled", "held", "held", "4"), {}),
    ],
    ids=lambda value: (
        f"{value['status']}-{'-'.join(each['status'] for each in value['legs'])}" if "legs" in value else ""
    ),
)
def test_a_held_stop_protects_only_beside_a_target_that_works(entry: dict[str, Any], expected: dict[Leg, S]) -> None:
    outcome = answers.outcome_from(entry)
    assert {each.leg: each.state for each in outcome.legs} == expected


@pytest.mark.parametrize(
    "change",
    [
        {"filled_qty": "4", "filled_avg_price": None},
        {"filled_qty": "4", "filled_avg_price": "-1"},
        {"filled_qty": "-4", "filled_avg_price": "10"},
        {"filled_qty": "NaN"},
        {"filled_qty": "1e30"},
        {"filled_qty": True},
        {"filled_qty": []},
        {"qty": "many"},
        {"legs": "none"},
        {"legs": [1]},
        {"status": "filled", "legs": [{"status": "new", "type": "riddle"}]},
        {"status": "filled", "legs": [{"status": "new", "type": "stop", "id": 7}]},
    ],
    ids=str,
)
def test_an_order_that_makes_no_sense_is_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        answers.outcome_from(order("partially_filled", "4", "10") | change)


@given(
    st.dictionaries(st.sampled_from(["id", "qty", "filled_qty", "filled_avg_price", "status", "legs", "type"]), JSON)
)
def test_whatever_comes_is_an_outcome_or_unreadable(body: dict[str, Any]) -> None:
    try:
        outcome = answers.outcome_from(body)
    except Unreadable:
        return
    assert isinstance(outcome, Outcome)
    assert outcome.quantity >= 0
    assert outcome.quantity == 0 or (outcome.price is not None and outcome.price > 0)


@given(
    st.dictionaries(
        st.sampled_from(["symbol", "qty", "side", "avg_entry_price", "t", "latestQuote", "latestTrade"]), JSON
    )
)
def test_garbage_is_unreadable_and_nothing_else(body: dict[str, Any]) -> None:
    for read in (answers.holding_from, answers.quote_from, answers.symbol_from, answers.account_from):
        try:
            read(body)
        except Unreadable:
            continue


GOOD = {
    "status": "ACTIVE",
    "currency": "USD",
    "cash": "100.5",
    "equity": "200",
    "trading_blocked": False,
    "account_blocked": False,
    "trade_suspended_by_user": False,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Account(Decimal("100.5"), Decimal(200), is_blocked=False)),
        ({"trading_blocked": True}, Account(Decimal("100.5"), Decimal(200), is_blocked=True)),
        ({"account_blocked": None}, Account(Decimal("100.5"), Decimal(200), is_blocked=True)),
        ({"status": "ACCOUNT_CLOSED"}, Account(Decimal("100.5"), Decimal(200), is_blocked=True)),
        ({"currency": "EUR"}, Account(None, None, is_blocked=False)),
        ({"cash": None}, Account(None, Decimal(200), is_blocked=False)),
    ],
    ids=str,
)
def test_a_flag_that_nobody_says_is_off_blocks(change: dict[str, Any], expected: Account) -> None:
    assert answers.account_from(GOOD | change) == expected


@pytest.mark.parametrize(("quantity", "side", "expected"), [("5", "long", 5), ("5", "short", -5), ("-5", "short", -5)])
def test_a_short_position_is_negative(quantity: str, side: str, expected: int) -> None:
    assert answers.holding_from({"symbol": "ACME", "qty": quantity, "side": side}).quantity == expected


def test_a_quote_without_prices_has_none_and_a_trade_alone_is_a_last_price() -> None:
    at = "2026-03-02T15:00:00.123456789Z"
    empty = answers.quote_from({"latestQuote": {"t": at, "bp": 0, "ap": Decimal("10.1")}})
    assert empty is not None
    assert (empty.bid, empty.ask, empty.last) == (None, Decimal("10.1"), None)
    assert empty.at == datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC)
    trade = answers.quote_from({"latestTrade": {"t": at, "p": Decimal("9.9")}})
    assert trade is not None
    assert (trade.bid, trade.last) == (None, Decimal("9.9"))
    assert answers.quote_from({}) is None


@pytest.mark.parametrize("at", ["2026-03-02T15:00:00", "yesterday", None, 5], ids=str)
def test_a_time_without_a_zone_is_no_time(at: Any) -> None:
    with pytest.raises(Unreadable):
        answers.instant(at)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"tradable": False}, False),
        ({"status": "inactive"}, False),
        ({"class": "crypto"}, False),
        ({"tradable": None}, None),
    ],
    ids=str,
)
def test_tradable_is_what_alpaca_says_of_an_active_stock(change: dict[str, Any], expected: bool | None) -> None:
    asset = {"status": "active", "class": "us_equity", "tradable": True} | change
    assert answers.symbol_from(asset).is_tradable is expected
