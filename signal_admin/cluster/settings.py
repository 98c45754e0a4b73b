"""What an operator chose for many friends, kept in `<data>/scale.json`. It holds no secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import ConfigInvalid, InputError, StorageFailed

MAX_USERS = 100_000


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """With more users than `memory_consumers_above` their consumers' state is kept in memory; None: always on disk."""

    memory_consumers_above: int | None = None

    def wants_memory(self, users: int) -> bool:
        """Whether the consumers of this many users belong in memory."""
        return self.memory_consumers_above is not None and users > self.memory_consumers_above


def _file(desk: Desk) -> Path:
    return desk.root / "scale.json"


def limit_checked(above: int | None) -> int | None:
    """Return a limit that can be kept: 0 (always in memory) to 100,000 users, or None; raises InputError."""
    if above is not None and not 0 <= above <= MAX_USERS:
        raise InputError(f"{above} users: 0 to {MAX_USERS}", hint="--on-disk turns it off.")
    return above


def read_scale(desk: Desk) -> ScaleSettings:
    """The choice, or the default (on disk) when none was made; raises ConfigInvalid for a damaged file."""
    try:
        found = orjson.loads(_file(desk).read_bytes())
        above = found["memory_consumers_above"]
        if not (above is None or (type(above) is int and 0 <= above <= MAX_USERS)) or len(found) != 1:
            raise ValueError("memory_consumers_above: a whole number of users, or null")
        return ScaleSettings(above)
    except FileNotFoundError:
        return ScaleSettings()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigInvalid(
            f"{_file(desk)} cannot be used: {error}", hint="Remove it and choose again: catalyst cluster consumers."
        ) from error


def keep_scale(desk: Desk, settings: ScaleSettings) -> None:
    """Write the choice down for the next `catalyst up`; raises StorageFailed."""
    document = {"memory_consumers_above": limit_checked(settings.memory_consumers_above)}
    try:
        write_secret(_file(desk), orjson.dumps(document).decode() + "\n")
    except OSError as error:
        raise StorageFailed(f"cannot write {_file(desk)}: {error.strerror or error}") from error
