"""The users as files: `users/<name>/user.json`, one each, so that 500 of them stay easy to read, copy and back up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import orjson

from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import CatalystError, Conflict, NotFound, StorageFailed
from signal_contract.subject import entitlement, user_name_checked

_LOCK_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class User:
    """A friend's identity and entitlement.

    `start_sequence` is the first stream sequence that is his; None until his durable was made for the first time.
    A durable that got lost is made again from there: his agent drops what it has had, and nothing is missed.
    """

    name: str
    public_key: str
    filters: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    start_sequence: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The form of user.json; instants in ISO 8601, UTC."""
        return {
            "name": self.name,
            "public_key": self.public_key,
            "filters": list(self.filters),
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "start_sequence": self.start_sequence,
        }


def user_folder(desk: Desk, name: str) -> Path:
    """Where a user's files are; raises NameInvalid, so a name can never lead out of the directory."""
    return desk.users / user_name_checked(name)


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("an instant without time zone")
    return instant.astimezone(UTC)


def _user_from(path: Path) -> User:
    try:
        found = orjson.loads(path.read_bytes())
        start = found.get("start_sequence")
        return User(
            name=user_name_checked(found["name"]),
            public_key=str(found["public_key"]),
            filters=entitlement(list(found["filters"])),
            created_at=_instant(found["created_at"]),
            expires_at=_instant(found["expires_at"]) if found.get("expires_at") else None,
            start_sequence=int(start) if start is not None else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, CatalystError) as error:
        # A user who cannot be read must not be taken for one who does not exist.
        raise StorageFailed(f"{path} cannot be read as a user: {error}", hint="Restore it from a backup.") from error


def read_user(desk: Desk, name: str) -> User:
    """One user; raises NotFound, StorageFailed when his file is damaged."""
    path = user_folder(desk, name) / "user.json"
    if not path.exists():
        raise NotFound(f"there is no user {name}", hint="`catalyst user list` shows all of them.")
    return _user_from(path)


def all_users(desk: Desk) -> tuple[User, ...]:
    """Every user, by name; raises StorageFailed when one file is damaged."""
    return tuple(_user_from(path) for path in sorted(desk.users.glob("*/user.json")))


def write_user(desk: Desk, user: User) -> None:
    """Write a user's file in place of what is there."""
    content = orjson.dumps(user.as_dict(), option=orjson.OPT_INDENT_2).decode() + "\n"
    write_secret(user_folder(desk, user.name) / "user.json", content)


@contextmanager
def registry_locked(desk: Desk) -> Iterator[None]:
    """Hold the registry: a user is added before or after `catalyst up` makes the durables, never in between."""
    try:
        with filelock.FileLock(desk.users_lock, timeout=_LOCK_PATIENCE_S):
            yield
    except filelock.Timeout as error:
        raise Conflict("another command is changing users right now", hint="Try again in a moment.") from error
