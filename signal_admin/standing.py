"""What the operator last said to everybody and to each friend, kept in `<data>/control.json`.

A friend who comes later starts behind it in the stream; from here it is known that he has to hear it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import filelock
import orjson

from signal_admin.desk import Desk
from signal_contract.control import Verb
from signal_contract.creds import write_secret
from signal_contract.errors import Conflict, NameInvalid, StorageFailed
from signal_contract.subject import user_name_checked

# What it takes away, from nothing to everything; NOTICE is no state.
_STRICTNESS = {Verb.RESUME: 0, Verb.REDUCE: 1, Verb.HALT: 2}
_LOCK_PATIENCE_S = 15.0
_LOCK_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Word:
    """The last verb of one scope. `sequence` is its place in the stream; None: sent without a receipt so far."""

    verb: Verb
    reason: str
    issued_at: datetime
    sequence: int | None

    @property
    def is_active(self) -> bool:
        """Whether agents may trade as they decide."""
        return self.verb is Verb.RESUME

    def is_as_strict_as(self, other: Word | None) -> bool:
        """Whether it takes away at least as much as the other one; no word takes nothing away."""
        return _STRICTNESS[self.verb] >= (_STRICTNESS[other.verb] if other else 0)

    def as_dict(self) -> dict[str, Any]:
        """The form of control.json; the instant in ISO 8601, UTC."""
        return {
            "verb": self.verb.value,
            "reason": self.reason,
            "issued_at": self.issued_at.isoformat(),
            "sequence": self.sequence,
        }


# Scopes with their word; None is everybody's.
Scopes = tuple[tuple[str | None, Word], ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """The last word to everybody (None: there was none) and to single friends, by name."""

    everybody: Word | None = None
    users: Mapping[str, Word] = field(default_factory=dict)

    def of(self, user: str | None) -> Word | None:
        """The last word in one scope; `user` None is everybody's."""
        return self.everybody if user is None else self.users.get(user)

    def with_word(self, user: str | None, word: Word) -> Standing:
        """The same with another last word in one scope."""
        if user is None:
            return replace(self, everybody=word)
        return replace(self, users={**self.users, user: word})

    def without(self, user: str) -> Standing:
        """The same without what was said to one friend: he has left."""
        return replace(self, users={name: word for name, word in self.users.items() if name != user})

    def in_force_for(self, names: tuple[str, ...]) -> Scopes:
        """The scopes of these friends in which not everything is allowed."""
        scopes: tuple[str | None, ...] = (None, *names)
        found = ((scope, self.of(scope)) for scope in scopes)
        return tuple((scope, word) for scope, word in found if word is not None and not word.is_active)

    def as_dict(self) -> dict[str, Any]:
        """The form of control.json."""
        return {
            "all": self.everybody.as_dict() if self.everybody else None,
            "users": {name: word.as_dict() for name, word in sorted(self.users.items())},
        }


def _word_from(found: Any) -> Word:
    at, sequence, verb = datetime.fromisoformat(found["issued_at"]), found["sequence"], Verb(found["verb"])
    if at.tzinfo is None or verb not in _STRICTNESS:
        raise ValueError("a naive instant, or a verb that is no state")
    return Word(verb, str(found["reason"]), at.astimezone(UTC), int(sequence) if sequence is not None else None)


def read_standing(desk: Desk) -> Standing:
    """What stands now; nothing before the first control message. Raises StorageFailed when the file is damaged."""
    path = desk.control_json
    try:
        found = orjson.loads(path.read_bytes())
        everybody = _word_from(found["all"]) if found["all"] is not None else None
        return Standing(everybody, {user_name_checked(name): _word_from(each) for name, each in found["users"].items()})
    except FileNotFoundError:
        return Standing()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NameInvalid) as error:
        raise StorageFailed(
            f"{path} cannot be read: {error}",
            hint="Restore it from a backup. Or remove it and say again what is to hold: catalyst control halt",
        ) from error


def write_standing(desk: Desk, standing: Standing) -> None:
    """Keep it, in one step and for the operator alone (0600); raises StorageFailed."""
    content = orjson.dumps(standing.as_dict(), option=orjson.OPT_INDENT_2).decode() + "\n"
    try:
        write_secret(desk.control_json, content)
    except OSError as error:
        raise StorageFailed(f"cannot write {desk.control_json}: {error.strerror or error}") from error


@asynccontextmanager
async def standing_held(desk: Desk) -> AsyncIterator[None]:
    """Hold the word: what is sent and what is written down stay in one order. Not the registry's lock: a halt does
    not wait for another command's work on users. Raises Conflict.
    """
    lock = filelock.FileLock(desk.control_lock, mode=0o600)
    for _ in range(round(_LOCK_PATIENCE_S / _LOCK_POLL_S)):
        try:
            lock.acquire(timeout=0)
            break
        except filelock.Timeout:
            await asyncio.sleep(_LOCK_POLL_S)
    else:
        raise Conflict("another command is sending a control message right now", hint="Try again in a moment.")
    try:
        yield
    finally:
        lock.release()


async def forget_user(desk: Desk, name: str) -> None:
    """Drop what was said to a friend who has left: another one of this name starts clean. Raises StorageFailed."""
    async with standing_held(desk):
        standing = read_standing(desk)
        if name in standing.users:
            write_standing(desk, standing.without(name))
