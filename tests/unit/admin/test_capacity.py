"""The planner: every figure grows with the load, and what a default would not hold is said."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from signal_admin.cluster.capacity import (
    MEASURED,
    REPORT_BYTES,
    SIGNAL_BYTES,
    TIERS,
    Load,
    between,
    capacity,
    tier_for,
)
from signal_contract.errors import InputError


@pytest.mark.parametrize(
    ("users", "name"),
    [(1, "1 to 5"), (5, "1 to 5"), (6, "5 to 20"), (20, "5 to 20"), (21, "20 to 100"), (100, "20 to 100"),
     (101, "100 to 1000"), (1000, "100 to 1000")],
)  # fmt: skip
def test_a_tier_ends_where_it_says(users, name):
    assert tier_for(users).name == name


def test_tiers_grow_and_their_prices_with_them():
    for small, large in pairwise(TIERS):
        assert small.most_users < large.most_users
        assert (small.usd_low, small.usd_high) <= (large.usd_low, large.usd_high)
        assert small.nodes <= large.nodes


@pytest.mark.parametrize("point", MEASURED, ids=lambda point: f"{point.users}")
def test_a_measured_number_of_users_gets_the_measured_figures(point):
    for value in ("disk_us", "memory_us", "disk_ms", "memory_ms", "server_mb"):
        assert between(point.users, lambda each, value=value: getattr(each, value)) == getattr(point, value)


def test_between_two_points_a_line_is_drawn_and_rounded_up():
    low, high = MEASURED[2], MEASURED[3]
    found = between((low.users + high.users) // 2, lambda point: point.server_mb)
    assert low.server_mb < found < high.server_mb
    assert between(1000, lambda point: point.server_mb) > MEASURED[-1].server_mb


def test_more_users_or_signals_never_need_less():
    sizes = [capacity(Load(users, signals)) for users, signals in ((5, 10), (20, 10), (100, 100), (100, 500))]
    for small, large in pairwise(sizes):
        assert small.cpu_s_per_day < large.cpu_s_per_day
        assert small.disk_per_day_bytes < large.disk_per_day_bytes
        assert small.traffic_per_month_bytes < large.traffic_per_month_bytes


def test_disk_counts_each_signal_once_and_each_friends_reports():
    found = capacity(Load(10, 100, reports_per_signal=Decimal(0)))
    assert found.disk_per_day_bytes == 100 * SIGNAL_BYTES + 10 * 150 * REPORT_BYTES
    assert found.signals_kept_bytes == 30 * 100 * SIGNAL_BYTES


def test_two_hundred_friends_get_three_nodes_and_consumers_in_memory():
    found = capacity(Load(200, 500))
    assert (found.tier.nodes, found.in_memory) == (3, True)
    assert found.deliveries_per_day == 100_000
    assert found.busiest_second_cpu_s < 1


def test_consumers_on_disk_for_many_friends_are_warned_of():
    on_disk = capacity(Load(200, 500), memory_above=1000)
    assert on_disk.in_memory is False
    assert on_disk.cpu_s_per_day > capacity(Load(200, 500)).cpu_s_per_day
    assert any("--memory-above" in line for line in on_disk.warnings)


def test_what_the_defaults_would_not_hold_is_said():
    lines = " ".join(capacity(Load(500, 50_000, at_once=100)).warnings)
    for words in ("the last friend waits", "days of signals", "new ones are refused", "then new reports are refused"):
        assert words in lines
    assert capacity(Load(5, 100)).warnings == ()


@pytest.mark.parametrize(
    "load",
    [Load(0, 1), Load(1001, 1), Load(1, 0), Load(1, 100_001), Load(1, 1, at_once=0), Load(1, 1, kept_days=31),
     Load(1, 1, reports_per_signal=Decimal(-1))],
    ids=["no-users", "many-users", "no-signals", "many-signals", "none-at-once", "kept-long", "negative-reports"],
)  # fmt: skip
def test_what_was_never_measured_is_refused(load):
    with pytest.raises(InputError):
        capacity(load)


def test_prices_are_called_estimates():
    assert "estimated_usd_per_month" in capacity(Load(5, 10)).as_dict()
