"""What friends report: read from the end of stream FEEDBACK, without a consumer.

Who sent a report is the subject's user, which the server enforces. All that is in it is the friend's own word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signal_admin.audit_reading import limit_checked
from signal_admin.registry import User
from signal_admin.stored import Stored, last_message, message_at
from signal_contract.errors import InputError, SignalInvalid
from signal_contract.feedback import AgentStatus, Feedback, Kind, read_feedback
from signal_contract.link import Link
from signal_contract.topology import API_PREFIX, FEEDBACK_STREAM

# Asked for at once; each is one small request.
_WINDOW = 64
# One look goes back this far at most: 10,000 reports of each of ten friends.
MAX_LOOKED_AT = 100_000


@dataclass(frozen=True, slots=True)
class Reported:
    """A report with its place and the instant at which the server stored it."""

    user: str
    sequence: int
    stored_at: datetime
    feedback: Feedback

    def as_dict(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "sequence": self.sequence,
            "stored_at": self.stored_at.isoformat(),
            "report": self.feedback.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class Status:
    """How an agent said it was doing, and when the server stored that."""

    stored_at: datetime
    status: AgentStatus

    @property
    def lag(self) -> int:
        """How many messages wait for the agent, as far as it knows; 0 and more."""
        if self.status.pending is not None:
            return self.status.pending
        return max(0, self.status.last_sequence - self.status.position)

    def as_dict(self) -> dict[str, Any]:
        return {"stored_at": self.stored_at.isoformat(), "lag": self.lag, **self.status.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class WantedReports:
    """Which reports: of `user`, of `kind`, stored from `since` on (aware); None: all. The newest `limit` of them."""

    user: str | None = None
    kind: Kind | None = None
    since: datetime | None = None
    limit: int = 100

    def takes(self, subject: str) -> bool:
        """Whether the reports of a subject are among these."""
        parts = subject.split(".")
        return len(parts) == 3 and self.user in (None, parts[1]) and self.kind in (None, parts[2])


@dataclass(frozen=True, slots=True)
class Reports:
    """Newest last. `unreadable` were something else than a report; `is_cut`: older ones were not looked at."""

    found: tuple[Reported, ...]
    unreadable: int = 0
    is_cut: bool = False


def kind_from(text: str) -> Kind | None:
    """A kind by its name, None for an empty one; raises InputError."""
    if not text:
        return None
    try:
        return Kind(text)
    except ValueError as error:
        raise InputError(f"{text[:20]!r} is no kind of report", hint=f"One of: {', '.join(Kind)}.") from error


async def read_reports(link: Link, wanted: WantedReports) -> Reports:
    """The newest reports that are wanted. `link` is an admin's; raises a LinkError, InputError (limit)."""
    limit_checked(wanted.limit)
    state = (await link.api(f"{API_PREFIX}.STREAM.INFO.{FEEDBACK_STREAM}"))["state"]
    first, upper = max(1, int(state["first_seq"])), int(state["last_seq"])
    floor = max(first, upper - MAX_LOOKED_AT + 1)
    found: list[Reported] = []
    unreadable = 0
    is_over = False
    while upper >= floor and len(found) < wanted.limit and not is_over:
        lower = max(floor, upper - _WINDOW + 1)
        window = await _window(link, lower, upper)
        young = [each for each in window if wanted.since is None or each.at >= wanted.since]
        is_over = len(young) < len(window)
        for each in young:
            if wanted.takes(each.subject):
                reported = _reported(each)
                unreadable += reported is None
                found += [reported] if reported else []
        upper = lower - 1
    is_cut = not is_over and floor > first and upper < floor and len(found) < wanted.limit
    return Reports(tuple(found[: wanted.limit][::-1]), unreadable, is_cut)


async def _window(link: Link, lower: int, upper: int) -> list[Stored]:
    """What lies between two sequences, newest first."""
    asked = (message_at(link, FEEDBACK_STREAM, sequence) for sequence in range(upper, lower - 1, -1))
    return [each for each in await asyncio.gather(*asked) if each is not None]


def _reported(message: Stored) -> Reported | None:
    try:
        user, feedback = read_feedback(message.subject, message.data)
    except SignalInvalid:
        return None
    return Reported(user, message.sequence, message.at, feedback)


async def last_status(link: Link, user: User) -> Status | None:
    """A user's last status report; None without one that can be read. `link` is an admin's; raises a LinkError.

    What was stored before he was let in is an earlier user's of the same name.
    """
    message = await last_message(link, FEEDBACK_STREAM, f"feedback.{user.name}.{Kind.STATUS.value}")
    if message is None or message.at < user.created_at:
        return None
    reported = _reported(message)
    if reported is None or reported.feedback.status is None:
        return None
    return Status(message.at, reported.feedback.status)


async def last_statuses(link: Link, users: Iterable[User]) -> dict[str, Status]:
    """The last status report of each user who has one, by name; raises a LinkError."""
    known = tuple(users)
    found: dict[str, Status] = {}
    for at in range(0, len(known), _WINDOW):
        group = known[at : at + _WINDOW]
        for user, status in zip(group, await asyncio.gather(*(last_status(link, each) for each in group)), strict=True):
            if status is not None:
                found[user.name] = status
    return found
