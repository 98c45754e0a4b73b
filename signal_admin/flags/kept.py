"""What the operator set, kept in `<data>/flags.json`. The bucket on the server is made from it, never the other way."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import SignalInvalid, StorageFailed
from signal_contract.flags import Flag, FlagSet, flags_bytes, read_flags


def flags_file(desk: Desk) -> Path:
    """Where the flags are kept."""
    return desk.root / "flags.json"


def read_kept(desk: Desk) -> FlagSet | None:
    """The flags as they were set last; None before the first one. Raises StorageFailed when the file is damaged."""
    path = flags_file(desk)
    try:
        return read_flags(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, SignalInvalid) as error:
        raise StorageFailed(
            f"{path} cannot be read: {error}",
            hint="Restore it from a backup. Agents go on with the flags that they have.",
        ) from error


def write_kept(desk: Desk, flags: FlagSet) -> None:
    """Keep them, in one step and for the operator alone (0600); raises StorageFailed."""
    try:
        write_secret(flags_file(desk), flags_bytes(flags).decode())
    except OSError as error:
        raise StorageFailed(f"cannot write {flags_file(desk)}: {error.strerror or error}") from error


def with_flag(before: FlagSet | None, name: str, flag: Flag | None, now: datetime) -> FlagSet:
    """The flags with one of them set, or taken away (None). Pure.

    Issued later than the ones before, whatever the clock says: agents follow the latest.
    """
    others = {key: each for key, each in (before.flags if before else {}).items() if key != name}
    earliest = before.issued_at + timedelta(milliseconds=1) if before else now
    return FlagSet(issued_at=max(now, earliest), flags=others if flag is None else {**others, name: flag})
