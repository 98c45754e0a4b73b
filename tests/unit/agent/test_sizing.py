"""The five ways to size an order: floored, under every cap, and nothing where the signal lacks what they need."""

from dataclasses import replace
from decimal import Decimal

import pytest
from agent_samples import PAPER, REAL, D, a_book, a_signal, code_of, decided

from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Capabilities, Symbol
from subscriber_agent.risk.sizing import METHODS

BROAD = {"max_notional_usd": 100_000, "max_ticker_exposure_percent": 100, "max_exposure_percent": 100} | {
    "max_catalyst_exposure_percent": 100,
    "max_sector_exposure_percent": 100,
    "cash_reserve_percent": 0,
}
PARTS = replace(PAPER, capabilities=Capabilities(fractions=True), symbol=Symbol(False, True, True, True))


def quantity(signal=None, market=PAPER, book=None, **limits):
    return decided(signal, book, market, **{**BROAD, **limits}).plan.quantity


def test_every_way_of_sizing_has_a_method():
    assert set(METHODS) == set(Limits.model_fields["sizing"].annotation.__args__)


@pytest.mark.parametrize(("percent", "shares"), [("0.5", 200), ("0.501", 200), ("0.4999", 199)])
def test_risk_per_trade_loses_its_share_at_the_stop(percent, shares):
    # 10,000 x 0.5 % = 50 USD; the stop is 0.25 away.
    assert quantity(sizing="risk_per_trade", risk_percent=percent) == shares


def test_risk_per_trade_reckons_with_the_worst_fill():
    book = a_book(is_blocked=False)
    assert quantity(sizing="risk_per_trade", market=REAL, book=book) == 50 // D("0.30")


def test_a_near_stop_does_not_make_an_order_larger_than_its_caps():
    near = a_signal(stop_price=D("4.99"))
    assert decided(near, sizing="risk_per_trade", risk_percent=10).plan.quantity == 200


def test_the_signals_suggestion_is_multiplied():
    signal = a_signal(suggested_size_fraction=D("0.03"))
    assert quantity(signal, sizing="suggested") == 60
    assert quantity(signal, sizing="suggested", suggested_factor="0.5") == 30
    assert code_of(a_signal(), sizing="suggested") is Code.SIZE_BELOW_MIN
    assert code_of(a_signal(suggested_size_fraction=D(0)), sizing="suggested") is Code.SIZE_BELOW_MIN


def test_kelly_takes_its_fraction_of_the_smaller_chance():
    # Gain 1, loss 0.25, p = 0.55: f = 0.55 - 0.45 / 4 = 0.4375; a quarter of it, 10.9375 %, is above the cap.
    assert quantity(sizing="kelly") == 100
    assert quantity(sizing="kelly", kelly_cap_percent=25) == 218
    assert quantity(a_signal(confidence=D("0.7")), sizing="kelly", kelly_win_probability="0.3") == 62
    assert quantity(sizing="kelly", kelly_win_probability="0.22") == 12


def test_kelly_without_an_edge_or_without_a_target_trades_nothing():
    assert code_of(sizing="kelly", kelly_win_probability="0.2") is Code.SIZE_BELOW_MIN
    assert code_of(sizing="kelly", kelly_win_probability="0.1") is Code.SIZE_BELOW_MIN
    assert code_of(a_signal(target_price=None), sizing="kelly") is Code.SIZE_BELOW_MIN
    sure = a_signal().model_copy(update={"confidence": Decimal("NaN")})
    codes = [each.code for each in decided(sure, sizing="kelly", show_all=True).checks]
    assert {Code.LOW_CONFIDENCE, Code.SIZE_BELOW_MIN} <= set(codes)


def test_no_way_of_sizing_works_without_a_price():
    for sizing in METHODS:
        assert code_of(a_signal(reference_price=None), sizing=sizing) is Code.NO_PRICE
        checks = decided(a_signal(reference_price=None), sizing=sizing, show_all=True).checks
        assert Code.MAX_NOTIONAL in {each.code for each in checks}


def test_parts_of_shares_where_everybody_can():
    signal = a_signal(reference_price=D("6.66"), stop_price=D("6.5"), target_price=None)
    assert quantity(signal, PARTS) == 75
    assert quantity(signal, PARTS, allow_fractions=True) == D("75.0750")
    for market in (
        replace(PARTS, capabilities=Capabilities()),
        replace(PARTS, symbol=None),
        replace(PARTS, symbol=Symbol(False, True, True, None)),
        replace(PARTS, symbol=Symbol(False, True, True, False)),
    ):
        assert quantity(signal, market, allow_fractions=True) == 75


def test_less_than_a_share_is_possible_in_parts_only():
    signal = a_signal(reference_price=D(20), stop_price=D(19), target_price=None)
    rules = {"fixed_usd": 15, "allow_fractions": True}
    assert decided(signal, market=PARTS, **rules).plan.quantity == D("0.75")
    assert code_of(signal, market=replace(PARTS, symbol=None), **rules) is Code.NOT_FRACTIONABLE
    assert code_of(signal, market=PARTS, fixed_usd=15) is Code.SIZE_BELOW_MIN


def test_an_oversized_order_is_refused_where_the_friend_says_so():
    assert decided(fixed_usd=2000).plan.quantity == 200
    assert code_of(fixed_usd=2000, oversize="refuse") is Code.MAX_NOTIONAL
    assert code_of(max_quantity=99, oversize="refuse") is Code.MAX_QTY
    assert code_of(max_quantity=100, oversize="refuse") is None


@pytest.mark.parametrize("cash", ["0", "-1", "NaN", "Infinity", "1E+18", "1E+400"])
def test_an_account_that_cannot_be_reckoned_with_buys_nothing(cash):
    expected = Code.SIZE_BELOW_MIN if cash in ("0", "-1") else Code.INSUFFICIENT_FUNDS
    assert code_of(book=a_book(cash)) is expected
