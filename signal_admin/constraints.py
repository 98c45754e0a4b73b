"""Where, when and how a friend may connect: addresses, hours, WebSocket only. Pure; checked before anything is signed.

The server closes a connection when its hours end. It reads the time zone from its own machine's database.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from signal_contract.errors import InputError

MAX_CIDRS = 16
MAX_HOURS = 8
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_ZONE = re.compile(r"UTC|[A-Za-z]+(?:/[A-Za-z0-9_+-]+){1,2}")


@dataclass(frozen=True, slots=True)
class Constraints:
    """Limits on a user's connections; empty means none. Made by `constraints_from`, so every value is checked."""

    cidrs: tuple[str, ...] = ()
    hours: tuple[str, ...] = ()
    timezone: str | None = None
    websocket_only: bool = False

    @property
    def is_empty(self) -> bool:
        return self == UNCONSTRAINED

    @property
    def template(self) -> dict[str, Any]:
        """The fields of a scope's template (nats-io/jwt v2, UserPermissionLimits); those without a limit are absent."""
        limits: dict[str, Any] = {}
        if self.cidrs:
            limits["src"] = list(self.cidrs)
        if self.hours:
            limits["times"] = [part for each in self.hours for part in _ranges(each)]
            limits["times_location"] = self.timezone
        if self.websocket_only:
            limits["allowed_connection_types"] = ["WEBSOCKET"]
        return limits

    def as_dict(self) -> dict[str, Any]:
        """The form of user.json."""
        return {
            "cidrs": list(self.cidrs),
            "hours": list(self.hours),
            "timezone": self.timezone,
            "websocket_only": self.websocket_only,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Constraints:
        """Read what `as_dict` wrote; raises InputError, also for values that were changed by hand to bad ones."""
        return constraints_from(
            list(found["cidrs"]),
            list(found["hours"]),
            found["timezone"],
            websocket_only=found["websocket_only"] is True,
        )


UNCONSTRAINED = Constraints()


def constraints_from(
    cidrs: Sequence[str], hours: Sequence[str], timezone: str | None, websocket_only: bool = False
) -> Constraints:
    """Check and normalise what was asked for.

    CIDRs as `203.0.113.0/24` or single addresses; hours as `03:30-20:30`, over midnight as `22:00-06:00`, in an IANA
    time zone. Raises InputError; hours without a zone are refused, a guess would be wrong for somebody.
    """
    if len(cidrs) > MAX_CIDRS or len(hours) > MAX_HOURS:
        raise InputError(f"at most {MAX_CIDRS} address ranges and {MAX_HOURS} ranges of hours are possible")
    if bool(hours) != bool(timezone):
        raise InputError("hours and their time zone belong together", hint="--hours 03:30-20:30 --tz America/New_York")
    return Constraints(
        cidrs=tuple(dict.fromkeys(_cidr(each) for each in cidrs)),
        hours=tuple(dict.fromkeys(_hours(each) for each in hours)),
        timezone=_zone(timezone) if timezone else None,
        websocket_only=websocket_only,
    )


def _cidr(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise InputError(
            f"{text[:60]!r} is not an address range: {error}", hint="Such as 203.0.113.0/24 or 2001:db8::/32."
        ) from error


def _hours(text: str) -> str:
    found = _HOURS.fullmatch(text)
    if found is None or found.group(1, 2) == found.group(3, 4):
        raise InputError(f"{text[:40]!r} is not a range of hours", hint="HH:MM-HH:MM, such as 03:30-20:30.")
    return text


def _zone(name: str) -> str:
    try:
        # `Local` and the like would mean whatever machine the server stands on.
        if not _ZONE.fullmatch(name):
            raise ValueError("not a name of the tz database")
        ZoneInfo(name)
    except (ValueError, KeyError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise InputError(
            f"{name[:60]!r} is not a time zone", hint="A name of the tz database, such as America/New_York."
        ) from error
    return name


def _ranges(hours: str) -> list[dict[str, str]]:
    start, _, end = hours.partition("-")
    if start < end:
        return [{"start": f"{start}:00", "end": f"{end}:00"}]
    # The server would take a range over midnight as closed from midnight on. The one second in between stays shut.
    before = {"start": f"{start}:00", "end": "23:59:59"}
    return [before] if end == "00:00" else [before, {"start": "00:00:00", "end": f"{end}:00"}]
