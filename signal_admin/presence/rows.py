"""One row for each friend, and one for the wire, from what registry, server and agents say. Pure.

What was not seen is None, never a guess. Who is there is the server's word; version, mode and link are the agent's
own, as old as they say and only as far as the friend allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from signal_admin.users import UserState
from signal_contract.feedback import AT_ONCE, PER_SECOND
from signal_contract.topology import FEEDBACK_QUOTA

# A status report comes every 10 minutes; one that is this old says nothing about now.
REPORT_STALE = timedelta(minutes=25)
EXPIRY_NEAR = timedelta(days=7)
_FLOWING = frozenset({"live", "quiet"})
_ENGINE_OUT = frozenset({"open", "probe"})
_GO_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)")


class Link(StrEnum):
    """ONLINE: his agent waits for messages. CONNECTED: there is a connection, and nothing asks for messages."""

    ONLINE = "online"
    CONNECTED = "connected"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Seen:
    """A live connection as its server describes it. `rtt_s` was measured at connect and with each ping."""

    server: str
    ip: str
    connected_at: datetime | None
    rtt_s: float | None
    client: str
    label: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "ip": self.ip,
            "connected_at": _text(self.connected_at),
            "rtt_ms": None if self.rtt_s is None else round(self.rtt_s * 1000, 3),
            "client": self.client,
            "label": self.label,
        }


@dataclass(frozen=True, slots=True)
class Presence:
    """A friend at one moment. `connections` None: the server was not asked; `feedback_per_s` None: not measured yet.

    `is_flooding`: he reported more since the last look than an agent may.
    """

    state: UserState
    at: datetime
    connections: tuple[Seen, ...] | None = None
    feedback_stored: int | None = None
    feedback_per_s: float | None = None
    is_flooding: bool = False

    @property
    def status(self) -> str:
        """`active`, `expired`, `revoked` or `leaving`."""
        return self.state.user.status(self.at)

    @property
    def link(self) -> Link | None:
        """Whether his agent is there; None: the server was not asked."""
        if self.state.is_online:
            return Link.ONLINE
        if self.connections:
            return Link.CONNECTED
        return None if self.state.is_online is None and self.connections is None else Link.OFFLINE

    @property
    def lag(self) -> int | None:
        """How many messages his agent does not have yet: those that wait and those on their way."""
        if self.state.pending is None:
            return None
        return self.state.pending + (self.state.ack_pending or 0)

    @property
    def rtt_s(self) -> float | None:
        """Of his quickest connection."""
        return min((each.rtt_s for each in self.connections or () if each.rtt_s is not None), default=None)

    @property
    def connected_at(self) -> datetime | None:
        """When his newest connection was made."""
        return max((each.connected_at for each in self.connections or () if each.connected_at), default=None)

    @property
    def expires_in(self) -> timedelta | None:
        """How long his credentials are still valid; None: without end."""
        end = self.state.user.expires_at
        return None if end is None else end - self.at

    @property
    def concerns(self) -> tuple[str, ...]:
        """What the operator may want to look after, in words; the gravest first."""
        return tuple(words for words, holds in _CONCERNS if holds(self))

    def as_dict(self) -> dict[str, Any]:
        """The fields of `UserState`, and more; two looks at what has not changed are the same."""
        return {
            **self.state.as_dict(),
            "status": self.status,
            "link": self.link.value if self.link else None,
            "lag": self.lag,
            "rtt_ms": None if self.rtt_s is None else round(self.rtt_s * 1000, 3),
            "connected_at": _text(self.connected_at),
            "connections": None if self.connections is None else [each.as_dict() for each in self.connections],
            "feedback_stored": self.feedback_stored,
            "feedback_per_s": None if self.feedback_per_s is None else round(self.feedback_per_s, 2),
            "concerns": list(self.concerns),
        }


def _agent_says_trouble(row: Presence) -> bool:
    report = row.state.report
    if report is None or row.link is not Link.ONLINE or row.at - report.stored_at > REPORT_STALE:
        return False
    return report.status.link_state.lower() not in _FLOWING


def _engine_is_out(row: Presence) -> bool:
    report = row.state.report
    is_old = report is None or row.at - report.stored_at > REPORT_STALE
    return not is_old and report is not None and (report.status.engine_state or "").lower() in _ENGINE_OUT


def _is_over_quota(row: Presence) -> bool:
    return row.feedback_stored is not None and row.feedback_stored >= FEEDBACK_QUOTA


def _expires_soon(row: Presence) -> bool:
    left = row.expires_in
    return row.status == "active" and left is not None and left <= EXPIRY_NEAR


_CONCERNS = (
    ("reports faster than an agent may", lambda row: row.is_flooding),
    ("several connections", lambda row: len(row.connections or ()) > 1),
    ("connected, but reads nothing", lambda row: row.link is Link.CONNECTED),
    ("his agent says that signals do not flow", _agent_says_trouble),
    ("his agent says that its engine does not answer", _engine_is_out),
    ("his reports have used up their quota", _is_over_quota),
    ("credentials end soon", _expires_soon),
)


@dataclass(frozen=True, slots=True)
class Wire:
    """The stream and the publisher. Latencies in seconds: from the publisher's stamp to the place in the stream.

    `signals_per_min` None: not measured yet. `publisher` is what its own file says, None when there is none.
    """

    messages: int
    size_bytes: int
    first_sequence: int
    last_sequence: int
    last_at: datetime | None
    signals_per_min: float | None = None
    latencies_s: tuple[float, ...] = ()
    answer_s: float | None = None
    publisher: Mapping[str, Any] | None = None

    @property
    def latency_s(self) -> float | None:
        """The middle one of the last signals'."""
        return median(self.latencies_s) if self.latencies_s else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "bytes": self.size_bytes,
            "first_sequence": self.first_sequence,
            "last_sequence": self.last_sequence,
            "last_at": _text(self.last_at),
            "signals_per_min": None if self.signals_per_min is None else round(self.signals_per_min, 2),
            "publish_latency_ms": None if self.latency_s is None else round(self.latency_s * 1000, 1),
            "publish_latency_max_ms": round(max(self.latencies_s) * 1000, 1) if self.latencies_s else None,
            "server_answers_in_ms": None if self.answer_s is None else round(self.answer_s * 1000, 2),
            "publisher": dict(self.publisher) if self.publisher else None,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All at one moment; `gaps` says in words what could not be seen, and why."""

    at: datetime
    rows: tuple[Presence, ...]
    wire: Wire | None = None
    gaps: tuple[str, ...] = ()

    def count(self, link: Link) -> int:
        return sum(row.link is link for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "online": self.count(Link.ONLINE),
            "users": [row.as_dict() for row in self.rows],
            "wire": self.wire.as_dict() if self.wire else None,
            "gaps": list(self.gaps),
        }


def go_duration_s(text: str) -> float | None:
    """Seconds in a Go duration such as `1.5ms` or `1m2.3s`; None for anything else."""
    parts = _GO_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _GO_UNITS_S[unit] for number, unit in parts)


def seen_from(server: str, entry: Mapping[str, Any]) -> Seen:
    """A connection as CONNZ lists it. Names and versions are the client's own words."""
    client = " ".join(str(entry[key])[:32] for key in ("lang", "version") if entry.get(key))
    return Seen(
        server=server,
        ip=str(entry.get("ip", "")),
        connected_at=instant_or_none(entry.get("start")),
        rtt_s=go_duration_s(str(entry.get("rtt", ""))),
        client=client,
        label=str(entry.get("name", ""))[:64],
    )


def instant_or_none(value: Any) -> datetime | None:
    """An instant of the server's; None for none, and for Go's zero time."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return None if at.tzinfo is None or at.year < 2000 else at.astimezone(UTC)


def rate_per_s(before: int | None, now: int | None, elapsed_s: float) -> float | None:
    """How much a counter grew in a second; None when it cannot be said. What was pruned is no negative rate."""
    if before is None or now is None or elapsed_s <= 0:
        return None
    return max(0, now - before) / elapsed_s


def is_flood(before: int | None, now: int | None, elapsed_s: float) -> bool:
    """Whether more reports came in this time than an agent sends: its allowance, and a quarter for late arrivals."""
    return before is not None and now is not None and now - before > 1.25 * (AT_ONCE + PER_SECOND * elapsed_s)


def sorted_rows(rows: Sequence[Presence]) -> tuple[Presence, ...]:
    """Those with a concern first, then who is online, then by name."""
    order = {Link.ONLINE: 0, Link.CONNECTED: 0, Link.OFFLINE: 1, None: 2}
    return tuple(sorted(rows, key=lambda row: (not row.concerns, order[row.link], row.state.user.name)))


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
