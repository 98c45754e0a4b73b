"""The audit log's reading side: entries out of stream AUDIT by direct get in batches (NATS ADR-31), oldest first.

No consumer is made for it: an auditor may read and do nothing else.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from signal_admin.audit import AuditEntry, entry_from
from signal_contract.delivery import Delivery
from signal_contract.errors import InputError, RequestTimedOut
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.topology import AUDIT_BATCH_SUBJECT

MAX_LIMIT = 100_000
_BATCH = 500
_TIMEOUT_S = 10.0
_DURATION = re.compile(r"([1-9]\d{0,4})([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: from `since` on (aware), about `user`, of `action` (`user` means every `user …`), the newest ones.

    None means all of them; `limit` is 1 to 100,000. `with_own` includes the coming and going of the operator's own
    programs, which outnumbers everything else.
    """

    since: datetime | None = None
    user: str | None = None
    action: str | None = None
    limit: int = 100
    with_own: bool = True

    def takes(self, entry: AuditEntry) -> bool:
        """Whether an entry is one of these."""
        return (
            (self.since is None or entry.at >= self.since)
            and (self.user is None or _is_about(entry, self.user))
            and (self.action is None or entry.action == self.action or entry.action.startswith(f"{self.action} "))
            and (self.with_own or not _is_own_traffic(entry))
        )


def _is_own_traffic(entry: AuditEntry) -> bool:
    own = {role.value for role in RoleName} - {RoleName.SUBSCRIBER.value}
    return entry.action in ("connect", "disconnect") and entry.target in own


def _is_about(entry: AuditEntry, user: str) -> bool:
    """By target (`alice`, `user alice`), by OS user, or by the user's public key."""
    key = entry.after.get("public_key") if isinstance(entry.after, dict) else None
    return user in entry.target.split() or user in (entry.who, entry.who.partition("@")[0], key)


def since_from(text: str, now: datetime) -> datetime:
    """`90m`, `12h`, `7d` or `4w` before `now`; raises InputError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InputError(f"{text[:20]!r} is not a duration", hint="Such as 90m, 12h, 7d or 4w.")
    try:
        return now - int(found[1]) * _UNITS[found[2]]
    except OverflowError as error:
        raise InputError(f"{text[:20]!r} reaches beyond the calendar", hint="Such as 90m, 12h, 7d or 4w.") from error


def limit_checked(limit: int) -> int:
    """Return the limit, or raise InputError outside 1 to 100,000."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InputError(f"a limit of {limit} cannot be", hint=f"From 1 to {MAX_LIMIT}.")
    return limit


async def read_audit(link: Link, wanted: Wanted) -> tuple[AuditEntry, ...]:
    """The newest `wanted.limit` entries that are wanted, newest last. `link` is an auditor's.

    An entry that was stored twice under one id counts once. Raises RequestTimedOut, Denied.
    """
    kept: deque[AuditEntry] = deque(maxlen=limit_checked(wanted.limit))
    seen: set[str] = set()
    async for payload in _payloads(link, wanted.since):
        try:
            entry = entry_from(orjson.loads(payload))
        except (InputError, orjson.JSONDecodeError):
            continue  # written by something else than `audit`; the stream keeps it
        if entry.id not in seen and wanted.takes(entry):
            kept.append(entry)
        seen.add(entry.id)
    return tuple(sorted(kept, key=lambda each: each.at))


async def _payloads(link: Link, since: datetime | None) -> AsyncIterator[bytes]:
    start: dict[str, Any] = {"seq": 1} if since is None else {"start_time": since.isoformat()}
    while True:
        batch = await _batch(link, {**start, "batch": _BATCH})
        for message in batch:
            yield message.data
        if len(batch) < _BATCH:
            return
        start = {"seq": int(batch[-1].headers["Nats-Sequence"]) + 1}


async def _batch(link: Link, body: dict[str, Any]) -> list[Delivery]:
    found: list[Delivery] = []
    ended = asyncio.Event()

    async def take(message: Delivery) -> None:
        if message.status:  # 204 after the last one, 404 when there is none
            ended.set()
        else:
            found.append(message)

    inbox = link.new_inbox()
    subscription = await link.subscribe(inbox, take)
    try:
        await link.publish(AUDIT_BATCH_SUBJECT, orjson.dumps(body), reply=inbox)
        async with asyncio.timeout(_TIMEOUT_S):
            await ended.wait()
    except TimeoutError as error:
        raise RequestTimedOut(f"the audit log did not answer within {_TIMEOUT_S:g} s") from error
    finally:
        await subscription.unsubscribe()
    return found
