"""Settings are read strictly: exact numbers, closed lists, and no pair of limits that nothing can pass."""

from decimal import Decimal

import pytest
from agent_samples import some_limits
from pydantic import ValidationError

from signal_contract.model import Session
from subscriber_agent.risk.limits import Limits


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_age_s", 0.5, "is not a plain number"),
        ("max_age_s", True, "is not a plain number"),
        ("max_age_s", "1e3", "is not a plain number"),
        ("max_age_s", "NaN", "is not a plain number"),
        ("max_age_s", Decimal("Infinity"), "decimal is a string"),
        ("max_quantity", "1.5", "is not a whole number"),
        ("max_quantity", 1.0, "valid integer"),
        ("allow_shorts", "yes", "is neither"),
        ("allow_shorts", 1, "valid boolean"),
        ("deny_tickers", "ABC", "must be a list"),
        ("deny_tickers", ["a b"], "ticker"),
        ("deny_catalysts", ["no such thing"], "catalyst"),
        ("deny_sources", [" "], "holds an empty name"),
        ("sessions", ["regular", "night"], "may hold pre, regular, after, closed"),
        ("sessions", "regular", "must be a list"),
        ("max_age_s_by_catalyst", ["fda"], "must be lines of"),
        ("max_age_s_by_catalyst", {1: 60}, "must be lines of"),
        ("max_age_s_by_catalyst", {"fda": "0.9"}, "outside the range"),
        ("max_age_s_by_catalyst", {"fda": 86_401}, "outside the range"),
        ("max_age_s_by_catalyst", {"fda": "soon"}, "is not a plain number"),
        ("max_age_s_by_catalyst", {"no such thing": 60}, "catalyst"),
        ("max_age_s_by_catalyst", {"fda": 60, "FDA": 90}, "fda is given twice"),
        ("sizing", "martingale", "Input should be"),
        ("oversize", "ignore", "Input should be"),
    ],
)
def test_what_is_not_exactly_a_setting_is_refused(name, value, message):
    with pytest.raises(ValidationError, match=message):
        some_limits(**{name: value})


@pytest.mark.parametrize(
    ("low", "high"), [({"min_price_usd": 30}, "min_price_usd"), ({"min_notional_usd": 2000}, "min_notional_usd")]
)
def test_limits_that_nothing_can_pass_are_a_mistake(low, high):
    with pytest.raises(ValidationError, match=f"{high} is above"):
        some_limits(**low)


def test_text_from_a_file_becomes_exact_values():
    rules = some_limits(
        max_age_s="60.5",
        max_quantity="7",
        allow_shorts="true",
        refuse_degraded="false",
        sessions=["after", "regular"],
        deny_sources=["  Big Wire ", "big wire"],
        deny_catalysts=["FDA", "*"],
        deny_tickers=["XYZ", "*"],
        max_hold_s_by_catalyst={"merger": "60", "*": 120},
    )
    assert (rules.max_age_s, rules.max_quantity, rules.allow_shorts) == (Decimal("60.5"), 7, True)
    assert not rules.refuse_degraded
    assert rules.sessions == (Session.REGULAR, Session.AFTER)
    assert rules.deny_sources == ("big wire",)
    assert rules.deny_catalysts == ("*", "fda")
    assert rules.deny_tickers == ("*", "XYZ")
    assert rules.max_hold_s_by_catalyst["*"] == 120


def test_limits_survive_being_written_down():
    rules = some_limits(sessions=["pre"], max_age_s_by_catalyst={"fda": 60}, deny_sectors=["Energy"])
    assert Limits.model_validate(rules.model_dump()) == rules
    assert Limits.model_validate_json(rules.model_dump_json()) == rules


# What the specification of these rules sets; a default that drifts is a promise broken.
@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("max_age_s", 120),
        ("warn_clock_skew_s", 2),
        ("max_clock_skew_s", 10),
        ("min_confidence", Decimal("0.70")),
        ("allow_shorts", False),
        ("max_price_usd", 20),
        ("max_price_move_percent", 1),
        ("sessions", (Session.REGULAR,)),
        ("max_stop_distance_percent", 15),
        ("max_buying_power_percent", 95),
        ("max_notional_usd", 1000),
        ("max_open_positions", 5),
        ("max_exposure_percent", 50),
        ("max_ticker_exposure_percent", 10),
        ("max_catalyst_exposure_percent", 25),
        ("max_sector_exposure_percent", 30),
        ("daily_loss_percent", 2),
        ("daily_loss_usd", 500),
        ("weekly_loss_percent", 5),
        ("max_drawdown_percent", 10),
        ("flatten_on_breach", False),
        ("max_losing_streak", 3),
        ("streak_pause_s", 3600),
        ("cooldown_s", 1800),
        ("max_orders_per_minute", 5),
        ("max_trades_per_day", 20),
        ("cash_reserve_percent", 5),
        ("max_leverage", 1),
        ("limit_day_trades", False),
        ("engine_failures", 3),
        ("engine_pause_s", 60),
        ("unknown_market_cap", "skip"),
        ("unknown_rvol", "skip"),
        ("unknown_sector", "skip"),
    ],
)
def test_the_defaults_are_the_specifications(name, default):
    assert getattr(Limits(), name) == default
