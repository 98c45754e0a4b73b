"""The operator's checks put together: which probe makes which check, and in how much time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from signal_admin.doctor.canary import flown, judged_flight
from signal_admin.doctor.local import Office
from signal_admin.doctor.remote import House
from signal_contract.doctor.examine import TOTAL_S, Step, examine
from signal_contract.doctor.finding import Check, Finding, Side, Verdict
from signal_contract.doctor.judging import judged_versions
from signal_contract.errors import ServerUnreachable
from signal_contract.permissions import RoleName

PACKAGES = ("catalyst-signals", "nats-py", "pydantic", "cryptography")


async def examine_operator(
    data: Path | None,
    *,
    clock: Callable[[], datetime],
    only: frozenset[str] = frozenset(),
    wait_s: float = 4.0,
    has_canary: bool = False,
    tell: Callable[[Check], None] = lambda check: None,
) -> tuple[Finding, ...]:
    """Examine a data directory and its server; never raises for what is broken, and changes nothing.

    `wait_s`: how long to listen for the publisher's sign of life; `has_canary` sends one signed notice to nobody.
    """
    office = Office(data, clock)
    house = House(office, wait_s)
    total_s = TOTAL_S + max(0.0, wait_s - 4.0) + (5.0 if has_canary else 0.0)
    try:
        steps = _steps(office, house, has_canary=has_canary)
        return await examine(Side.OPERATOR, steps, only=only, total_s=total_s, tell=tell)
    finally:
        await house.close()


def _steps(office: Office, house: House, *, has_canary: bool) -> dict[str, Step]:
    async def canary() -> Verdict:
        if office.record is None:
            raise ServerUnreachable("no server is recorded")
        return judged_flight(await flown(office.here, office.record, house.link(RoleName.ADMIN)))

    steps = {
        "D01": Step(office.directory_read),
        "D02": Step(office.creds_read),
        "D03": Step(office.expiries_looked_at),
        "D04": Step(office.disk_measured),
        "D07": Step(office.server_found),
        "D08": Step(house.name_looked_up),
        "D09": Step(house.port_dialled),
        "D10": Step(house.certificate_seen),
        "D11": Step(house.version_read),
        "D12": Step(house.logged_in, 6.0),
        "D13": Step(house.clock_compared),
        "D14": Step(house.trips_made, 5.0),
        "D15": Step(house.durables_compared, 5.0),
        "D16": Step(house.streams_compared, 5.0),
        "D17": Step(house.allowed_tried, 5.0),
        "D18": Step(house.forbidden_tried, 5.0),
        "D19": Step(house.heartbeat_heard, house.wait_s + 1.0),
        "D21": Step(house.lag_counted),
        "D23": Step(office.word_read),
        "D26": Step(versions_read),
        "D27": Step(office.vault_read),
        "D28": Step(office.publisher_looked_at),
    }
    # Somebody may have to type the vault's passphrase.
    return {**steps, "D29": Step(canary, 60.0)} if has_canary else steps


async def versions_read() -> Verdict:
    """D26."""
    return judged_versions((sys.version_info[0], sys.version_info[1]), {name: _version(name) for name in PACKAGES})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
