"""One look at everything after the other: each source by itself, so that one that fails takes no other with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

import orjson

from signal_admin.apply import read_durables, read_stream
from signal_admin.desk import Desk
from signal_admin.metrics.reported import Reported
from signal_admin.metrics.server import friend_samples, refused_logins, server_samples, stream_samples
from signal_admin.registry import User, all_users
from signal_admin.reports import last_statuses
from signal_admin.stored import Stored, message_at
from signal_admin.system import answers
from signal_contract.errors import CatalystError
from signal_contract.link import Link
from signal_contract.metrics.samples import Measured, Sample
from signal_contract.topology import API_PREFIX, AUDIT_STREAM, FEEDBACK_STREAM, STREAM

_log = logging.getLogger("catalyst.metrics")

_REFUSED = "audit.auth-failure"
# A flood of reports is counted later, not all at once; what is further behind is not counted at all.
_AT_ONCE, _WINDOW, _FURTHEST_BEHIND = 2_000, 64, 100_000


class LocalSource(Protocol):
    """Something on this machine that is measured without the server."""

    def look(self, now: datetime) -> list[Measured]:
        """How it stands; blocking. Raises CatalystError."""

    def close(self) -> None:
        """Let go of its files."""


class Looker:
    """Looks at the server over two links, and at the sources of this machine; `reported` counts across looks."""

    def __init__(self, desk: Desk, local: dict[str, LocalSource]) -> None:
        self._desk, self._local = desk, local
        self._reported = Reported()
        self._read_to: int | None = None

    async def look(self, admin: Link | None, system: Link | None, now: datetime) -> list[Measured]:
        """Every source that answers, and which ones do; without links only those of this machine."""
        users = await asyncio.to_thread(all_users, self._desk)
        found: list[Measured] = [Sample("catalyst_look_timestamp_seconds", now.timestamp())]
        for name, ask in self._asked(admin, system, users, now):
            try:
                measured = await ask()
            except CatalystError as error:
                _log.debug("no metrics from %s: %s", name, error.message)
                measured = None
            found.append(Sample("catalyst_source_up", int(measured is not None), (name,)))
            found += measured or []
        return found

    def _asked(
        self, admin: Link | None, system: Link | None, users: Sequence[User], now: datetime
    ) -> list[tuple[str, Callable[[], Awaitable[list[Measured] | None]]]]:
        async def server() -> list[Measured] | None:
            return None if system is None else await _servers(system)

        async def streams() -> list[Measured] | None:
            return None if admin is None else await _streams(admin)

        async def friends() -> list[Measured] | None:
            return None if admin is None else list(friend_samples(users, await read_durables(admin), now))

        async def reports() -> list[Measured] | None:
            return None if admin is None else await self._reports(admin, users, now)

        local = [(name, self._of(source, now)) for name, source in self._local.items()]
        return [("server", server), ("streams", streams), ("friends", friends), ("reports", reports), *local]

    @staticmethod
    def _of(source: LocalSource, now: datetime) -> Callable[[], Awaitable[list[Measured]]]:
        async def ask() -> list[Measured]:
            return await asyncio.to_thread(source.look, now)

        return ask

    async def _reports(self, admin: Link, users: Sequence[User], now: datetime) -> list[Measured]:
        names = [user.name for user in users]
        state = (await admin.api(f"{API_PREFIX}.STREAM.INFO.{FEEDBACK_STREAM}"))["state"]
        first, last = int(state["first_seq"]), int(state["last_seq"])
        if self._read_to is None:
            for name, status in (await last_statuses(admin, users)).items():
                self._reported.note_status(name, status.stored_at, status.status.link_state)
            self._read_to = last
        self._read_to = max(self._read_to, first - 1, last - _FURTHEST_BEHIND)
        end = min(last, self._read_to + _AT_ONCE)
        while self._read_to < end:
            upper = min(end, self._read_to + _WINDOW)
            self._reported.take(await _window(admin, self._read_to + 1, upper), names)
            self._read_to = upper
        return self._reported.samples(names, now)


async def _servers(system: Link) -> list[Measured] | None:
    """What each server says; None when none answers."""
    found = [orjson.loads(each) for each in await answers(system, "$SYS.REQ.SERVER.PING", expected=None)]
    return list(server_samples(each for each in found if isinstance(each, dict) and each.get("server"))) or None


async def _streams(admin: Link) -> list[Measured]:
    found: list[Measured] = []
    for name in (STREAM, FEEDBACK_STREAM):
        info = await read_stream(admin, name)
        found += stream_samples(info) if info is not None else ()
    audit = await admin.api(f"{API_PREFIX}.STREAM.INFO.{AUDIT_STREAM}", {"subjects_filter": _REFUSED})
    return [*found, *stream_samples(audit), *refused_logins(audit, _REFUSED)]


async def _window(admin: Link, lower: int, upper: int) -> list[Stored]:
    asked = (message_at(admin, FEEDBACK_STREAM, sequence) for sequence in range(lower, upper + 1))
    return [each for each in await asyncio.gather(*asked) if each is not None]
