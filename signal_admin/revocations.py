"""Withdrawn user keys: `<data>/accounts/revocations.json`, part of account FRIENDS' JWT from the moment it is written.

Kept apart from the registry: a key stays withdrawn when its user is long gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import CatalystError, StorageFailed
from signal_contract.nkey import KeyKind, public_key_checked

# Clocks differ: a revocation is dropped only when its last JWT has been expired for a day.
_GRACE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Revocation:
    """JWTs of `public_key` issued until `revoked_at` are refused. `expires_at`: the last of them; None is never."""

    public_key: str
    user: str
    revoked_at: datetime
    expires_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "public_key": self.public_key,
            "user": self.user,
            "revoked_at": self.revoked_at.isoformat(),
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
        }


def still_needed(revocations: Iterable[Revocation], now: datetime) -> tuple[Revocation, ...]:
    """Those whose JWTs could still be shown to the server at `now`: the list would grow for ever otherwise."""
    return tuple(each for each in revocations if each.expires_at is None or each.expires_at + _GRACE > now)


def merged(known: Iterable[Revocation], new: Iterable[Revocation]) -> tuple[Revocation, ...]:
    """Both together, one entry a key: the later instant counts, and the later expiry (None is the latest)."""
    by_key = {each.public_key: each for each in known}
    for each in new:
        old = by_key.get(each.public_key)
        by_key[each.public_key] = each if old is None else _later(old, each)
    return tuple(by_key[key] for key in sorted(by_key))


def _later(one: Revocation, other: Revocation) -> Revocation:
    end = None if one.expires_at is None or other.expires_at is None else max(one.expires_at, other.expires_at)
    return Revocation(one.public_key, other.user, max(one.revoked_at, other.revoked_at), end)


def _path(desk: Desk) -> Path:
    return desk.accounts / "revocations.json"


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without time zone")
    return instant.astimezone(UTC)


def read_revocations(desk: Desk) -> tuple[Revocation, ...]:
    """Every revocation; raises StorageFailed for a damaged file, which must never count as "nobody is revoked"."""
    path = _path(desk)
    try:
        found = orjson.loads(path.read_bytes())
        if not isinstance(found, list):
            raise TypeError("not a list")
        return tuple(
            Revocation(
                public_key=public_key_checked(each["public_key"], KeyKind.USER),
                user=str(each["user"]),
                revoked_at=_instant(each["revoked_at"]),
                expires_at=_instant(each["expires_at"]) if each["expires_at"] else None,
            )
            for each in found
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, CatalystError) as error:
        raise StorageFailed(f"{path} cannot be read: {error}", hint="Restore it from a backup.") from error


def add_revocations(desk: Desk, new: Iterable[Revocation], now: datetime) -> None:
    """Write them down beside the known ones; the registry must be held. Raises StorageFailed."""
    entries = still_needed(merged(read_revocations(desk), new), now)
    content = orjson.dumps([each.as_dict() for each in entries], option=orjson.OPT_INDENT_2).decode() + "\n"
    try:
        write_secret(_path(desk), content)
    except OSError as error:
        raise StorageFailed(f"cannot write {_path(desk)}: {error.strerror or error}") from error
