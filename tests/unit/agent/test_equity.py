"""The summary of what an account was worth."""

from __future__ import annotations

from datetime import timedelta

from agent_samples import NOW, D
from hypothesis import given
from hypothesis import strategies as st

from subscriber_agent.accounting.equity import Worth, equity_summary


def rows(*amounts):
    return [Worth(NOW + timedelta(hours=hour), D(100), D(amount)) for hour, amount in enumerate(amounts)]


def test_nothing_known_has_no_summary():
    assert equity_summary([]) is None


def test_start_now_highest_and_drawdown_are_those_of_the_curve():
    found = equity_summary(rows(1000, 1200, 900, 1100))
    assert (found.start_usd, found.now_usd, found.change_usd, found.change_percent) == (1000, 1100, 100, D("10.00"))
    assert (found.high_water_usd, found.high_water_at, found.low_usd) == (1200, NOW + timedelta(hours=1), 900)
    assert (found.drawdown_usd, found.drawdown_percent) == (100, D("8.33"))
    assert found.max_drawdown_percent == D("25.00")


def test_an_account_that_started_with_nothing_has_no_percentage():
    assert equity_summary(rows(0, 50)).change_percent is None
    assert equity_summary(rows(0, -5)).drawdown_percent == 0


@given(st.lists(st.integers(1, 10**9), min_size=1))
def test_a_drawdown_is_never_negative_and_never_more_than_the_worst(amounts):
    found = equity_summary(rows(*amounts))
    assert 0 <= found.drawdown_percent <= found.max_drawdown_percent <= 100
    assert found.low_usd <= found.now_usd <= found.high_water_usd
