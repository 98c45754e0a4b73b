"""Writes down who comes, goes and is refused: the server's own events (system account) become entries of stream AUDIT.

It runs beside `catalyst up` and never holds it up: what cannot be written is counted, and failures end in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from signal_admin.audit import AuditEntry, ensure_stream, new_entry, send
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.issuing import own_creds
from signal_contract.creds import claims_of
from signal_contract.delivery import Delivery
from signal_contract.errors import CatalystError, CredsInvalid, LinkError, NameInvalid
from signal_contract.link import Link
from signal_contract.nkey import KeyKind, public_key_checked
from signal_contract.permissions import RoleName
from signal_contract.subject import user_name_checked

_log = logging.getLogger("catalyst.audit")

_LABEL = "catalyst-audit-tail"
_SERVER = "nats-server"
_CONNECT, _DISCONNECT, _AUTH_FAILURE = "connect", "disconnect", "auth-failure"
_SUBJECTS = {
    "$SYS.ACCOUNT.*.CONNECT": _CONNECT,
    "$SYS.ACCOUNT.*.DISCONNECT": _DISCONNECT,
    "$SYS.SERVER.*.CLIENT.AUTH.ERR": _AUTH_FAILURE,
}
# The server's own account for connections that have none: each refused log-in also "disconnects" there.
_NO_ACCOUNT = "$G"
_QUEUE_ENTRIES = 5_000
# A stranger who knocks without end must not fill the log: beyond this, one line a minute says how many there were.
_ENTRIES_A_MINUTE = 120
_WINDOW_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(slots=True)
class Throttle:
    """Lets `limit` events of a kind through in each window of 60 s, and counts the others. Times are monotonic."""

    limit: int = _ENTRIES_A_MINUTE
    _since: float = float("-inf")
    _counts: dict[str, int] = field(default_factory=dict)

    def admits(self, kind: str) -> bool:
        """Count one event; whether it is to be written."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind] <= self.limit

    def turned_away(self, now_s: float) -> dict[str, int]:
        """At the end of a window: how many of each kind were not written in it; a new window begins. Else empty."""
        if now_s - self._since < _WINDOW_S:
            return {}
        over = {kind: count - self.limit for kind, count in self._counts.items() if count > self.limit}
        self._since, self._counts = now_s, {}
        return over


def entry_of_event(action: str, payload: bytes, now: datetime) -> AuditEntry | None:
    """The entry for one event of the server, or None when it says nothing that can be used."""
    try:
        event = orjson.loads(payload)
        client = event.get("client")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    if not isinstance(client, dict) or (action != _AUTH_FAILURE and client.get("acc") == _NO_ACCOUNT):
        return None
    name, key = _identity(client)
    return new_entry(
        who=_SERVER,
        action=action,
        target=name or key or "unknown",
        before=None,
        after={
            "ip": _text(client, "host"),
            "public_key": key,
            "client": _text(client, "name"),
            "version": " ".join(filter(None, (_text(client, "lang"), _text(client, "ver")))) or None,
            "kind": _text(client, "client_type"),
        },
        outcome=_text(event, "reason") or "done",
        at=_instant(event.get("timestamp")) or now,
        entry_id=_text(event, "id") or "",
    )


def _identity(client: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Name and public key in the JWT that the client showed. Behind a refused log-in they are a mere claim."""
    try:
        claims = claims_of(client["jwt"]) if isinstance(client.get("jwt"), str) else {}
        return user_name_checked(str(claims["name"])), public_key_checked(str(claims["sub"]), KeyKind.USER)
    except (KeyError, CredsInvalid, NameInvalid):
        return None, _text(client, "user")


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value[:200] if isinstance(value, str) and value else None


def _instant(value: Any) -> datetime | None:
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return instant.astimezone(UTC) if instant.tzinfo is not None else None


class AuditTail:
    """One running tail: events into a bounded queue, from there into the stream, in their order."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._queue: asyncio.Queue[AuditEntry] = asyncio.Queue(_QUEUE_ENTRIES)
        self._throttle = Throttle()
        self._own_keys: set[str] = set()

    async def run_once(self) -> None:
        """Listen and write until a connection ends for good; raises the CatalystError that ended it."""
        desk = self._desk
        self._own_keys = {own_creds(desk, role).public_key for role in (RoleName.SYSTEM, RoleName.ADMIN)}
        async with dial(desk, RoleName.SYSTEM, _LABEL) as system, dial(desk, RoleName.ADMIN, _LABEL) as admin:
            await ensure_stream(admin)
            for subject, action in _SUBJECTS.items():
                await system.subscribe(subject, _Listener(self, action))
            await system.flush()
            await self._write(system, admin)

    def hear(self, action: str, payload: bytes) -> None:
        """Queue the entry for one event, unless it is the tail's own connection or there are too many."""
        now_s = asyncio.get_running_loop().time()
        entry = entry_of_event(action, payload, datetime.now(UTC))
        if entry is None or self._is_own(entry):
            return
        self._note_turned_away(now_s)
        if self._throttle.admits(action):
            self._put(entry)

    def _is_own(self, entry: AuditEntry) -> bool:
        # By key and label: a label alone is free for anybody to choose.
        return entry.after.get("client") == _LABEL and entry.after.get("public_key") in self._own_keys

    def _note_turned_away(self, now_s: float) -> None:
        for action, count in self._throttle.turned_away(now_s).items():
            self._put(
                new_entry(
                    who=_SERVER,
                    action=action,
                    target="several",
                    before=None,
                    after={"not_written": count},
                    outcome=f"{count} more within a minute",
                    at=datetime.now(UTC),
                )
            )

    def _put(self, entry: AuditEntry) -> None:
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            _log.warning("the audit log cannot keep up; not written: %s %s", entry.action, entry.target)

    async def _write(self, system: Link, admin: Link) -> None:
        pause_s = _FIRST_PAUSE_S
        entry = await self._next(system, admin)
        while True:
            try:
                await send(admin, entry)
            except LinkError as error:
                _log.warning("the audit log does not take an entry yet: %s", error.message)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                _still_open(system, admin)
                continue
            pause_s = _FIRST_PAUSE_S
            entry = await self._next(system, admin)

    async def _next(self, system: Link, admin: Link) -> AuditEntry:
        while True:
            _still_open(system, admin)
            try:
                async with asyncio.timeout(_WINDOW_S):
                    return await self._queue.get()
            except TimeoutError:
                self._note_turned_away(asyncio.get_running_loop().time())


class _Listener:
    """The handler of one kind of event."""

    def __init__(self, tail: AuditTail, action: str) -> None:
        self._tail = tail
        self._action = action

    async def __call__(self, message: Delivery) -> None:
        self._tail.hear(self._action, message.data)


def _still_open(*links: Link) -> None:
    for link in links:
        if link.closed.is_set():
            raise link.failure or LinkError("the connection of the audit log ended")


async def run_audit_tail(desk: Desk) -> None:
    """Write connects, disconnects and refused log-ins into AUDIT until cancelled; raises nothing else.

    It connects again, 0.5 to 30 s later, whenever its connection ends.
    """
    tail, pause_s = AuditTail(desk), _FIRST_PAUSE_S
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        try:
            await tail.run_once()
        except CatalystError as error:
            _log.warning("connections are not written to the audit log right now: %s", error.message)
        pause_s = _FIRST_PAUSE_S if clock() - started > _LONGEST_PAUSE_S else min(pause_s * 2, _LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)
