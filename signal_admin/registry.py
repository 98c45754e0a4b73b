"""The users as files: `users/<name>/user.json`, one each, so that 500 of them stay easy to read, copy and back up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import orjson

from signal_admin.constraints import UNCONSTRAINED, Constraints
from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import CatalystError, Conflict, NotFound, StorageFailed
from signal_contract.nkey import KeyKind, public_key_checked
from signal_contract.subject import entitlement, user_name_checked

_LOCK_PATIENCE_S = 15.0
_LOCK_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class RetiringKey:
    """A key that was replaced and still works until `retire_at`; `expires_at` is when its JWT ends anyway."""

    public_key: str
    retire_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A friend's identity and entitlement.

    `start_sequence` is the first stream sequence that is his; None until his durable was made for the first time.
    A durable that got lost is made again from there: his agent drops what it has had, and nothing is missed.
    `scope_key` signs for him alone and carries his constraints; None: the role's key does. With `keeps_own_key` the
    seed was made on his machine and is not here. `is_leaving`: he was offboarded, and something is still to be done.
    """

    name: str
    public_key: str
    filters: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    start_sequence: int | None = None
    issued_at: datetime | None = None
    constraints: Constraints = UNCONSTRAINED
    scope_key: str | None = None
    keeps_own_key: bool = False
    retiring: tuple[RetiringKey, ...] = ()
    revoked_at: datetime | None = None
    is_leaving: bool = False

    def status(self, now: datetime) -> str:
        """`active`, `expired`, `revoked` or `leaving`."""
        if self.is_leaving:
            return "leaving"
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "active"

    def as_dict(self) -> dict[str, Any]:
        """The form of user.json; instants in ISO 8601, UTC. It holds no secret."""
        return {
            "name": self.name,
            "public_key": self.public_key,
            "filters": list(self.filters),
            "created_at": self.created_at.isoformat(),
            "expires_at": _text(self.expires_at),
            "start_sequence": self.start_sequence,
            "issued_at": _text(self.issued_at),
            "constraints": self.constraints.as_dict(),
            "scope_key": self.scope_key,
            "keeps_own_key": self.keeps_own_key,
            "retiring": [
                {
                    "public_key": each.public_key,
                    "retire_at": each.retire_at.isoformat(),
                    "expires_at": _text(each.expires_at),
                }
                for each in self.retiring
            ],
            "revoked_at": _text(self.revoked_at),
            "is_leaving": self.is_leaving,
        }


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None


def user_folder(desk: Desk, name: str) -> Path:
    """Where a user's files are; raises NameInvalid, so a name can never lead out of the directory."""
    return desk.users / user_name_checked(name)


def _instant(value: Any) -> datetime:
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("an instant without time zone")
    return instant.astimezone(UTC)


def _instant_or_none(value: Any) -> datetime | None:
    return _instant(value) if value else None


def _user_from(path: Path) -> User:
    try:
        found = orjson.loads(path.read_bytes())
        start = found.get("start_sequence")
        limits = found.get("constraints")
        return User(
            name=user_name_checked(found["name"]),
            public_key=str(found["public_key"]),
            filters=entitlement(list(found["filters"])),
            created_at=_instant(found["created_at"]),
            expires_at=_instant_or_none(found.get("expires_at")),
            start_sequence=int(start) if start is not None else None,
            issued_at=_instant_or_none(found.get("issued_at")),
            constraints=Constraints.from_dict(limits) if limits is not None else UNCONSTRAINED,
            scope_key=_account_key_or_none(found.get("scope_key")),
            keeps_own_key=found.get("keeps_own_key") is True,
            retiring=tuple(_retiring_from(each) for each in found.get("retiring", ())),
            revoked_at=_instant_or_none(found.get("revoked_at")),
            is_leaving=found.get("is_leaving") is True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, CatalystError) as error:
        # A user who cannot be read must not be taken for one who does not exist.
        raise StorageFailed(f"{path} cannot be read as a user: {error}", hint="Restore it from a backup.") from error


def _account_key_or_none(value: Any) -> str | None:
    return None if value is None else public_key_checked(str(value), KeyKind.ACCOUNT)


def _retiring_from(found: Any) -> RetiringKey:
    return RetiringKey(
        public_key_checked(found["public_key"], KeyKind.USER),
        _instant(found["retire_at"]),
        _instant_or_none(found["expires_at"]),
    )


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


def archive_user(desk: Desk, name: str, now: datetime) -> Path:
    """Take a user out of the registry: his entry is kept in `<data>/former`, his secrets are removed.

    Secrets go first, the entry last: after a crash in between it is simply done again. Raises StorageFailed.
    """
    folder = user_folder(desk, name)
    place = desk.root / "former" / f"{name}-{now:%Y%m%dT%H%M%SZ}.json"
    try:
        for path in folder.iterdir():
            if path.name != "user.json":
                path.unlink()
        place.parent.mkdir(mode=0o700, exist_ok=True)
        (folder / "user.json").replace(place)
        folder.rmdir()
    except OSError as error:
        raise StorageFailed(f"cannot clear {folder}: {error.strerror or error}") from error
    return place


@asynccontextmanager
async def registry_held(desk: Desk) -> AsyncIterator[None]:
    """As `registry_locked`, for code that awaits while it holds it: waiting for the lock lets other tasks run.

    With the blocking form, two tasks of one process would wait for each other until the time is over.
    """
    lock = filelock.FileLock(desk.users_lock)
    for _ in range(round(_LOCK_PATIENCE_S / _LOCK_POLL_S)):
        try:
            lock.acquire(timeout=0)
            break
        except filelock.Timeout:
            await asyncio.sleep(_LOCK_POLL_S)
    else:
        raise Conflict("another command is changing users right now", hint="Try again in a moment.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def registry_locked(desk: Desk) -> Iterator[None]:
    """Hold the registry: a user is added before or after `catalyst up` makes the durables, never in between."""
    try:
        with filelock.FileLock(desk.users_lock, timeout=_LOCK_PATIENCE_S):
            yield
    except filelock.Timeout as error:
        raise Conflict("another command is changing users right now", hint="Try again in a moment.") from error
