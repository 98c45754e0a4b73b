"""What a number of friends and signals asks of the server: work, latency, memory, disk, traffic. Pure arithmetic.

It stands on one measured table (`MEASURED`, from tests/bench/footprint.py, dated) and says of each figure whether it
was measured, calculated from measured ones, or is an estimate. Prices are estimates and are named so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from signal_admin.settings import DEFAULT_STORE_BYTES, UpSettings
from signal_contract.errors import InputError
from signal_contract.topology import FEEDBACK_QUOTA

MAX_USERS, MAX_SIGNALS_PER_DAY, MAX_KEPT_DAYS = 1000, 100_000, 30
_DAY_S = 86_400
_MB = 1 << 20
# What a signal costs on the line to one friend: stored bytes, subject and reply, TCP and TLS frames.
_LINE_OVERHEAD_BYTES = 220
# An agent says how it is every ten minutes, and once more at each start.
_STATUS_REPORTS_PER_DAY = 150
_FEEDBACK_DAYS = 30
# Twice what is calculated, because days differ and a restart reads everything again.
_HEADROOM = 2


@dataclass(frozen=True, slots=True)
class Point:
    """One measured run: CPU per delivery in µs and the time until the last friend has a signal in ms; memory in MB."""

    users: int
    disk_us: int
    memory_us: int
    disk_ms: int
    memory_ms: int
    server_mb: int


# nats-server 2.15.1, 2 cores of a shared x86-64 machine that had other work, loopback, sync_interval always. Times hold
# the clients as well, which ran beside the server: on a machine of its own they are shorter.
MEASURED_ON = "2026-11-25"
MEASURED: tuple[Point, ...] = (
    Point(5, 190, 160, 2, 2, 25),
    Point(20, 190, 160, 5, 4, 30),
    Point(50, 190, 110, 17, 13, 41),
    Point(100, 330, 100, 57, 22, 54),
    Point(200, 330, 100, 68, 39, 81),
    Point(500, 890, 100, 513, 143, 138),
)
SIGNAL_BYTES, REPORT_BYTES = 1290, 550
REPORT_US = 300


@dataclass(frozen=True, slots=True)
class Tier:
    """One of the four sizes. Prices are estimates in USD a month for a small cloud server, without taxes."""

    name: str
    most_users: int
    nodes: int
    machine: str
    usd_low: Decimal
    usd_high: Decimal
    consumers: str
    changes: str


TIERS: tuple[Tier, ...] = (
    Tier("1 to 5", 5, 1, "your own machine, or 1 vCPU and 1 GB", Decimal(0), Decimal(6), "on disk",
         "nothing: catalyst up"),
    Tier("5 to 20", 20, 1, "1 vCPU, 1 GB, 20 GB of SSD", Decimal(5), Decimal(12), "on disk",
         "a host that is always on, TLS, a backup every night"),
    Tier("20 to 100", 100, 1, "2 vCPU, 2 GB, 40 GB of SSD", Decimal(12), Decimal(30), "on disk",
         "metrics and alerts; a drill of the restore; three nodes if an hour without signals is too long"),
    Tier("100 to 1000", 1000, 3, "3 × 4 vCPU, 8 GB, 80 GB of NVMe", Decimal(90), Decimal(300), "in memory",
         "three nodes with three copies; consumers in memory"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, every friend reading every signal: who reads less costs less.

    `at_once` signals arrive in the same second at most. A friend sends `reports_per_signal`: a decision for each, and
    order, fill and exit for some.
    """

    users: int
    signals_per_day: int
    at_once: int = 5
    kept_days: int = MAX_KEPT_DAYS
    reports_per_signal: Decimal = Decimal("1.5")


@dataclass(frozen=True, slots=True)
class Capacity:
    """The answer. Bytes are of one node; `warnings` name what a default setting would not hold."""

    load: Load
    tier: Tier
    in_memory: bool
    deliveries_per_day: int
    cpu_s_per_day: int
    busiest_second_cpu_s: Decimal
    to_all_ms: int
    server_mb: int
    disk_per_day_bytes: int
    signals_kept_bytes: int
    feedback_kept_bytes: int
    traffic_per_month_bytes: int
    warnings: tuple[str, ...]

    @property
    def disk_kept_bytes(self) -> int:
        """What lies on disk in the end: both streams stop at their limits."""
        defaults = UpSettings()
        return min(self.signals_kept_bytes, defaults.stream_bytes) + min(
            self.feedback_kept_bytes, defaults.feedback_bytes
        )

    def as_dict(self) -> dict[str, Any]:
        """For --json; decimals as text."""
        return {
            "users": self.load.users,
            "signals_per_day": self.load.signals_per_day,
            "signals_at_once": self.load.at_once,
            "tier": self.tier.name,
            "nodes": self.tier.nodes,
            "machine": self.tier.machine,
            "consumers": "memory" if self.in_memory else "disk",
            "deliveries_per_day": self.deliveries_per_day,
            "server_cpu_s_per_day": self.cpu_s_per_day,
            "busiest_second_cpu_s": format(self.busiest_second_cpu_s, "f"),
            "one_signal_to_all_ms": self.to_all_ms,
            "server_memory_mb": self.server_mb,
            "disk_per_day_bytes": self.disk_per_day_bytes,
            "signals_kept_bytes": self.signals_kept_bytes,
            "feedback_kept_bytes": self.feedback_kept_bytes,
            "disk_kept_bytes": self.disk_kept_bytes,
            "traffic_per_month_bytes": self.traffic_per_month_bytes,
            "estimated_usd_per_month": [format(self.tier.usd_low, "f"), format(self.tier.usd_high, "f")],
            "measured_on": MEASURED_ON,
            "warnings": list(self.warnings),
        }


def load_checked(load: Load) -> Load:
    """Return a load that can be calculated; raises InputError naming the first figure that is out of range."""
    ranges = (
        ("users", load.users, 1, MAX_USERS),
        ("signals a day", load.signals_per_day, 1, MAX_SIGNALS_PER_DAY),
        ("signals at once", load.at_once, 1, 1000),
        ("days kept", load.kept_days, 1, MAX_KEPT_DAYS),
    )
    for what, value, low, high in ranges:
        if not low <= value <= high:
            raise InputError(f"{what}: {value} is not between {low} and {high}", hint="Nothing beyond was measured.")
    if not Decimal(0) <= load.reports_per_signal <= Decimal(10):
        raise InputError("reports per signal: 0 to 10")
    return load


def tier_for(users: int) -> Tier:
    """The smallest tier that holds this many users (1 to 1000)."""
    return next(tier for tier in TIERS if users <= tier.most_users)


def between(users: int, value: Callable[[Point], int]) -> int:
    """A figure of the table for a number of users: a straight line between two measured points, and on beyond the last.

    Rounded up: a plan errs on the side of the larger machine.
    """
    low, high = MEASURED[0], MEASURED[1]
    for left, right in pairwise(MEASURED):
        low, high = left, right
        if users <= right.users:
            break
    rise, run = (value(high) - value(low)) * (users - low.users), high.users - low.users
    return max(1, value(low) - (-rise // run))


def capacity(load: Load, *, memory_above: int | None = None) -> Capacity:
    """What a load needs. Consumers are in memory above `memory_above` users; None: as the tier advises.

    Raises InputError.
    """
    load_checked(load)
    tier = tier_for(load.users)
    in_memory = tier.consumers == "in memory" if memory_above is None else load.users > memory_above
    delivery_us = between(load.users, (lambda point: point.memory_us) if in_memory else lambda point: point.disk_us)
    one_ms = between(load.users, (lambda point: point.memory_ms) if in_memory else lambda point: point.disk_ms)
    deliveries = load.users * load.signals_per_day
    reports = int(deliveries * load.reports_per_signal) + load.users * _STATUS_REPORTS_PER_DAY
    signal_bytes, report_bytes = load.signals_per_day * SIGNAL_BYTES, reports * REPORT_BYTES
    line_bytes = deliveries * (SIGNAL_BYTES + _LINE_OVERHEAD_BYTES) * 30
    found = Capacity(
        load=load,
        tier=tier,
        in_memory=in_memory,
        deliveries_per_day=deliveries,
        cpu_s_per_day=(deliveries * delivery_us + reports * REPORT_US) // 1_000_000 + 1,
        busiest_second_cpu_s=Decimal(load.at_once * load.users * delivery_us) / 1_000_000,
        to_all_ms=one_ms,
        server_mb=between(load.users, lambda point: point.server_mb),
        disk_per_day_bytes=signal_bytes + report_bytes,
        signals_kept_bytes=signal_bytes * load.kept_days,
        feedback_kept_bytes=report_bytes * _FEEDBACK_DAYS,
        traffic_per_month_bytes=line_bytes,
        warnings=(),
    )
    return replace(found, warnings=tuple(_warnings(found)))


def _warnings(found: Capacity) -> list[str]:
    load, defaults = found.load, UpSettings()
    lines = []
    if found.busiest_second_cpu_s > 1:
        lines.append(
            f"{load.at_once} signals at once are {found.busiest_second_cpu_s:.1f} s of work for one core: "
            "the last friend waits that long"
        )
    if not found.in_memory and load.users > TIERS[-2].most_users:
        lines.append(
            "consumers on disk cost several times the work here: catalyst cluster consumers --memory-above 100"
        )
    if found.signals_kept_bytes > defaults.stream_bytes:
        days = defaults.stream_bytes // (load.signals_per_day * SIGNAL_BYTES)
        lines.append(
            f"the stream holds {defaults.stream_bytes // _MB} MB: {days} days of signals, not {load.kept_days}"
        )
    # One decision for each signal; the other kinds are fewer.
    per_friend = load.signals_per_day * _FEEDBACK_DAYS if load.reports_per_signal else 0
    if per_friend > FEEDBACK_QUOTA:
        lines.append(
            f"a friend's decisions are {per_friend} in {_FEEDBACK_DAYS} days; beyond {FEEDBACK_QUOTA} of a kind new "
            "ones are refused (signals are not touched)"
        )
    if found.feedback_kept_bytes > defaults.feedback_bytes:
        lines.append(
            f"reports of {_FEEDBACK_DAYS} days need {found.feedback_kept_bytes // _MB} MB, the stream for them holds "
            f"{defaults.feedback_bytes // _MB}; then new reports are refused"
        )
    wanted = _HEADROOM * found.disk_kept_bytes
    if wanted > DEFAULT_STORE_BYTES:
        lines.append(f"give the server more room: catalyst up --max-store {wanted // (1 << 30) + 1}GB")
    if load.users > MEASURED[-1].users:
        lines.append(f"beyond {MEASURED[-1].users} friends nothing was measured: the line was drawn on")
    return lines
