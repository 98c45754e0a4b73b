"""The friend's checks put together: which probe makes which check, and in how much time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from signal_contract.doctor.examine import TOTAL_S, Step, examine
from signal_contract.doctor.finding import Check, Finding, Side, Verdict
from signal_contract.doctor.judging import judged_versions
from subscriber_agent.doctor.engines import engine_facts, judged_engine
from subscriber_agent.doctor.local import Machine
from subscriber_agent.doctor.remote import Way

PACKAGES = ("catalyst-signals", "nats-py", "pydantic")


async def examine_agent(
    config_file: Path,
    *,
    clock: Callable[[], datetime],
    creds_file: Path | None = None,
    only: frozenset[str] = frozenset(),
    wait_s: float = 4.0,
    has_canary: bool = False,
    tell: Callable[[Check], None] = lambda check: None,
) -> tuple[Finding, ...]:
    """Examine one identity of this machine; never raises for what is broken, and changes nothing.

    `wait_s`: how long to listen for the publisher's sign of life when no agent runs; `has_canary` sends a report.
    """
    machine = Machine(config_file, clock, creds_file)
    way = Way(machine, wait_s)
    try:
        steps = _steps(machine, way, has_canary=has_canary)
        return await examine(Side.AGENT, steps, only=only, total_s=TOTAL_S + max(0.0, wait_s - 4.0), tell=tell)
    finally:
        await way.close()


def _steps(machine: Machine, way: Way, *, has_canary: bool) -> dict[str, Step]:
    async def engine() -> Verdict:
        return judged_engine(await engine_facts(machine))

    steps = {
        "D01": Step(machine.config_read),
        "D02": Step(machine.creds_read),
        "D03": Step(machine.expiry_looked_at),
        "D04": Step(machine.disk_measured),
        "D05": Step(machine.journal_read, 5.0),
        "D06": Step(machine.chains_verified, 5.0),
        "D07": Step(machine.addresses_checked),
        "D08": Step(way.name_looked_up),
        "D09": Step(way.port_dialled),
        "D10": Step(way.certificate_seen),
        "D11": Step(way.version_read),
        "D12": Step(way.logged_in, 6.0),
        "D13": Step(way.clock_compared),
        "D14": Step(way.trips_made, 5.0),
        "D15": Step(way.durable_looked_at),
        "D17": Step(way.allowed_tried, 5.0),
        "D18": Step(way.forbidden_tried, 5.0),
        "D19": Step(way.heartbeat_heard, way.wait_s + 1.0),
        "D20": Step(way.pulls_counted),
        "D21": Step(way.waiting_counted),
        "D22": Step(machine.backlog_counted),
        "D23": Step(machine.latches_read),
        "D24": Step(engine, 6.5),
        "D25": Step(machine.calendar_looked_at),
        "D26": Step(versions_read),
    }
    return {**steps, "D29": Step(way.canary_sent, 6.0)} if has_canary else steps


async def versions_read() -> Verdict:
    """D26."""
    return judged_versions((sys.version_info[0], sys.version_info[1]), {name: _version(name) for name in PACKAGES})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
