"""Looks at everybody over three open connections: durables (monitor), reports (admin), connections (system).

What one of them cannot say is left open and named; the others are shown all the same. A look at 500 friends takes a
second or two: four requests, and one for each friend whose report is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from signal_admin.apply import read_durables
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.presence.rows import (
    Presence,
    Seen,
    Snapshot,
    Wire,
    instant_or_none,
    is_flood,
    rate_per_s,
    seen_from,
)
from signal_admin.registry import User, all_users
from signal_admin.reports import Status, last_statuses
from signal_admin.stored import message_at
from signal_admin.system import Server, all_servers, ask_servers
from signal_admin.users import UserState, with_durable
from signal_contract.codec import decode
from signal_contract.errors import InputError, LinkError, ServerUnreachable
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.subject import SIGNALS_ROOT
from signal_contract.topology import (
    API_PREFIX,
    FEEDBACK_STREAM,
    STREAM,
    WATCH_PREFIX,
    durable_name,
)

_Seen = TypeVar("_Seen")

_CONNECT_TIMEOUT_S = 2.0
_PAGE = 512
_LATEST = 16
# A new report is seen by its count; this is for the rare case in which an old one left as a new one came.
_REFRESH = timedelta(minutes=5)


@dataclass(slots=True)
class _Before:
    """What the last look saw, for rates and for what need not be read again."""

    at: datetime | None = None
    last_sequence: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    statuses: dict[str, Status] = field(default_factory=dict)
    refreshed_at: datetime | None = None
    latencies_s: tuple[float, ...] = ()


class Lookout:
    """Looks again and again over links that stay open. A link is None where the server was not reached."""

    def __init__(self, desk: Desk, links: Mapping[RoleName, Link | None]) -> None:
        self._desk = desk
        self._monitor = links.get(RoleName.MONITOR)
        self._admin = links.get(RoleName.ADMIN)
        self._system = links.get(RoleName.SYSTEM)
        self._before = _Before()

    async def look(self) -> Snapshot:
        """Everybody and the wire, now. Raises StorageFailed when the registry cannot be read."""
        users, gaps = all_users(self._desk), _Gaps()
        now = datetime.now(UTC)
        elapsed_s = (now - self._before.at).total_seconds() if self._before.at else 0.0
        durables, connections, counts, wire = await asyncio.gather(
            gaps.of("durables", self._durables()),
            gaps.of("connections", self._connections()),
            gaps.of("reports", self._counts()),
            gaps.of("stream", self._wire(elapsed_s)),
        )
        reports = await gaps.of("reports", self._reports(users, counts, now)) or {}
        rows = tuple(self._row(user, now, durables, connections, counts, reports, elapsed_s) for user in users)
        self._before.at, self._before.counts = now, counts or {}
        return Snapshot(now, rows, wire, gaps.words)

    def _row(
        self,
        user: User,
        now: datetime,
        durables: Mapping[str, Mapping[str, Any]] | None,
        connections: Mapping[str, Sequence[Seen]] | None,
        counts: Mapping[str, int] | None,
        reports: Mapping[str, Status],
        elapsed_s: float,
    ) -> Presence:
        state = UserState(user, report=reports.get(user.name))
        if durables is not None:
            state = with_durable(state, durables.get(durable_name(user.name)))
        keys = (user.public_key, *(each.public_key for each in user.retiring))
        seen = None if connections is None else tuple(each for key in keys for each in connections.get(key, ()))
        total = None if counts is None else _total(counts, user.name)
        before = _total(self._before.counts, user.name) if self._before.at else None
        rate, is_flooding = rate_per_s(before, total, elapsed_s), is_flood(before, total, elapsed_s)
        return Presence(state, now, seen, _fullest(counts, user.name), rate, is_flooding)

    # The parts --------------------------------------------------------------------------------------------------

    async def _durables(self) -> dict[str, dict[str, Any]]:
        return await read_durables(_open(self._monitor), prefix=WATCH_PREFIX)

    async def _connections(self) -> dict[str, list[Seen]]:
        link = _open(self._system)
        servers = tuple(each for each in await all_servers(link) if not each.is_silent)
        found: dict[str, list[Seen]] = {}
        offset, most = 0, 1
        while offset < most and offset < 100 * _PAGE:
            body = orjson.dumps({"auth": True, "limit": _PAGE, "offset": offset})
            answers = await ask_servers(link, "$SYS.REQ.SERVER.PING.CONNZ", body, servers)
            for key, seen in _entries(answers):
                found.setdefault(key, []).append(seen)
            most = max((int((each.get("data") or {}).get("total", 0)) for each in answers.values()), default=0)
            offset += _PAGE
        return found

    async def _counts(self) -> dict[str, int]:
        """Reports stored, by subject."""
        asked = {"subjects_filter": "feedback.>"}
        info = await _open(self._admin).api(f"{API_PREFIX}.STREAM.INFO.{FEEDBACK_STREAM}", asked)
        return {str(subject): int(count) for subject, count in (info["state"].get("subjects") or {}).items()}

    async def _reports(
        self, users: Iterable[User], counts: Mapping[str, int] | None, now: datetime
    ) -> dict[str, Status]:
        """The last report of health of each; read again only where there is a new one."""
        before = self._before
        is_due = before.refreshed_at is None or now - before.refreshed_at > _REFRESH
        if is_due:
            before.refreshed_at = now
        subjects = {user.name: f"feedback.{user.name}.status" for user in users}

        def is_new(subject: str) -> bool:
            if counts is None:
                return True
            return subject in counts and (is_due or counts[subject] != before.counts.get(subject))

        wanted = [user for user in users if is_new(subjects[user.name])]
        fresh = await last_statuses(_open(self._admin), wanted)
        asked = {user.name for user in wanted}
        kept = {name: each for name, each in before.statuses.items() if name in subjects and name not in asked}
        before.statuses = {**kept, **fresh}
        return before.statuses

    async def _wire(self, elapsed_s: float) -> Wire:
        link, clock = _open(self._admin), asyncio.get_running_loop().time
        started = clock()
        state = (await link.api(f"{API_PREFIX}.STREAM.INFO.{STREAM}"))["state"]
        answer_s, last = clock() - started, int(state["last_seq"])
        before = self._before
        if last != before.last_sequence:
            before.latencies_s = await _latencies(link, last, before)
        rate = rate_per_s(before.last_sequence, last, elapsed_s)
        before.last_sequence = last
        return Wire(
            messages=int(state["messages"]),
            size_bytes=int(state["bytes"]),
            first_sequence=int(state["first_seq"]),
            last_sequence=last,
            last_at=instant_or_none(state.get("last_ts")),
            signals_per_min=None if rate is None else rate * 60,
            latencies_s=before.latencies_s,
            answer_s=answer_s,
            publisher=_publisher_state(self._desk),
        )


async def _latencies(link: Link, last: int, before: _Before) -> tuple[float, ...]:
    """Of the newest signals, newest last."""
    first = max(1, last - _LATEST + 1, (before.last_sequence or 0) + 1)
    found = [each for each in await asyncio.gather(*(message_at(link, STREAM, n) for n in range(first, last + 1)))]
    fresh = []
    for each in found:
        if each is not None and each.subject.startswith(f"{SIGNALS_ROOT}."):
            try:
                fresh.append(max(0.0, (each.at - decode(each.data).published_at).total_seconds()))
            except InputError:
                continue
    return (*before.latencies_s, *fresh)[-_LATEST:]


class _Gaps:
    """Runs one part of a look; what cannot be seen becomes None and a word."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    async def of(self, what: str, looking: Awaitable[_Seen]) -> _Seen | None:
        try:
            return await looking
        except (LinkError, KeyError, ValueError, TypeError) as error:
            self._words[what] = getattr(error, "message", "the server's answer cannot be read")
            return None

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(f"{what} not seen: {why}" for what, why in self._words.items())


@asynccontextmanager
async def lookout(desk: Desk, label: str) -> AsyncIterator[Lookout]:
    """Open what can be opened; `label` is the connections' name in the server's monitoring."""
    async with AsyncExitStack() as stack:
        links: dict[RoleName, Link | None] = {}
        for role in (RoleName.MONITOR, RoleName.ADMIN, RoleName.SYSTEM):
            # A server that one of them does not reach keeps the others waiting just as long.
            is_lost = None in links.values()
            links[role] = None if is_lost else await _dialled(stack, desk, role, label)
        yield Lookout(desk, links)


async def _dialled(stack: AsyncExitStack, desk: Desk, role: RoleName, label: str) -> Link | None:
    try:
        return await stack.enter_async_context(dial(desk, role, label, connect_timeout_s=_CONNECT_TIMEOUT_S))
    except LinkError:
        return None


async def looked(desk: Desk, label: str) -> Snapshot:
    """One look."""
    async with lookout(desk, label) as out:
        return await out.look()


def _open(link: Link | None) -> Link:
    if link is None or link.closed.is_set():
        raise ServerUnreachable("the server is not reached")
    return link


def _entries(answers: Mapping[Server, Mapping[str, Any]]) -> Iterator[tuple[str, Seen]]:
    """User key and connection, for each in these answers."""
    for server, answer in answers.items():
        for entry in (answer.get("data") or {}).get("connections") or []:
            if entry.get("authorized_user"):
                yield str(entry["authorized_user"]), seen_from(server.name, entry)


def _total(counts: Mapping[str, int], user: str) -> int:
    return sum(count for subject, count in counts.items() if subject.startswith(f"feedback.{user}."))


def _fullest(counts: Mapping[str, int] | None, user: str) -> int | None:
    """How many reports lie on the fullest of a friend's subjects: each has a quota of its own."""
    if counts is None:
        return None
    return max((count for subject, count in counts.items() if subject.startswith(f"feedback.{user}.")), default=0)


def _publisher_state(desk: Desk) -> dict[str, Any] | None:
    """What the publisher on this machine last wrote about itself; None when it never did."""
    try:
        found = orjson.loads((desk.publisher / "state.json").read_bytes())
        return {"at": str(found["at"]), "state": str(found["state"]), "waiting": int(found["waiting"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
