"""Feature flags: what the operator holds back for some or all friends. Signed like a signal, read by everybody. Pure.

A flag only ever takes away: it can keep an agent from opening positions, or make it ask first. It never stops an exit
and never allows what the friend's own config does not. All flags are one document under one key, so that nobody on the
way can leave one of them out.

    entries_percent  0..100                  this share of the friends may open positions; the others only close
    mode_floor       notify | approve | paper  for a share of the friends: no entries | his word for each entry |
                                               no entries with real money

The share is by a stable hash of flag and user name: who is in at 20 % is in at 50 %, on every machine and version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from signal_contract.codec import violations_text
from signal_contract.errors import InputError, SignalInvalid
from signal_contract.model import Instant, Wire
from signal_contract.subject import user_name_checked

ENTRIES_PERCENT, MODE_FLOOR = "entries_percent", "mode_floor"
MAX_BYTES = 8192
_BUCKETS = 10_000
_FlagName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]


class Floor(StrEnum):
    """NOTIFY opens nothing, APPROVE asks the friend for each entry, PAPER opens nothing with real money."""

    NOTIFY = "notify"
    APPROVE = "approve"
    PAPER = "paper"


# What each floor takes away at least as much as.
_COVERS = {
    Floor.NOTIFY: frozenset(Floor),
    Floor.APPROVE: frozenset({Floor.APPROVE}),
    Floor.PAPER: frozenset({Floor.PAPER}),
}


class Flag(Wire):
    """A flag's value in text, and for which share of the friends it counts, in percent."""

    value: Annotated[str, Field(pattern=r"^[a-z0-9_.\-]{1,32}$")]
    percent: Annotated[int, Field(ge=0, le=100)] = 100


class FlagSet(Wire):
    """All flags, schema version 1. `issued_at` orders them: an agent follows the latest one it has ever seen."""

    schema_version: Literal[1] = 1
    issued_at: Instant
    flags: Annotated[dict[_FlagName, Flag], Field(max_length=32)]


@dataclass(frozen=True, slots=True)
class Held:
    """What the flags take away from one friend; nothing by default. `reasons` are for people."""

    entries: bool = False
    real_money: bool = False
    asks: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def is_anything(self) -> bool:
        return self.entries or self.real_money or self.asks

    def stops_entries(self, *, is_paper: bool) -> bool:
        """Whether an engine of this kind may open nothing."""
        return self.entries or (self.real_money and not is_paper)


def flags_bytes(flags: FlagSet) -> bytes:
    """Canonical JSON: fields in order, flags by name."""
    document = flags.model_dump(mode="json")
    return orjson.dumps({**document, "flags": dict(sorted(document["flags"].items()))})


def read_flags(payload: bytes) -> FlagSet:
    """Read a document whose signature was checked. Raises SignalInvalid."""
    if len(payload) > MAX_BYTES:
        raise SignalInvalid(f"flags of {len(payload)} bytes are over the limit of {MAX_BYTES}")
    try:
        return FlagSet.model_validate_json(payload)
    except ValidationError as error:
        raise SignalInvalid(f"these are not flags: {violations_text(error)}") from error


def flag_checked(name: str, value: str, percent: int) -> Flag:
    """A flag that this version knows and an operator may set; raises InputError."""
    if name == ENTRIES_PERCENT:
        if not _is_percent(value) or percent != 100:
            raise InputError(
                f"{name} is a whole number from 0 to 100, and has no share of its own",
                hint=f"catalyst flag set {name} 50",
            )
    elif name == MODE_FLOOR:
        if value not in tuple(Floor):
            raise InputError(f"{value[:20]!r} is no floor", hint=f"One of: {', '.join(Floor)}.")
    else:
        raise InputError(f"{name[:40]!r} is no flag", hint=f"One of: {ENTRIES_PERCENT}, {MODE_FLOOR}.")
    if not 0 <= percent <= 100:
        raise InputError(f"a share of {percent} % is none", hint="From 0 to 100.")
    return Flag(value=value, percent=percent)


def bucket(name: str, user: str) -> int:
    """Where a friend stands for a flag: 0..9999, the same for ever. Raises NameInvalid.

    The flag's name goes in as well: it shall not be the same friends each time.
    """
    digest = hashlib.sha256(f"{name}:{user_name_checked(user)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _BUCKETS


def is_in_share(name: str, user: str, percent: int) -> bool:
    """Whether a friend belongs to the first `percent` of 100 for this flag."""
    return bucket(name, user) * 100 < percent * _BUCKETS


def held(flags: Mapping[str, Flag], user: str) -> Held:
    """What these flags take away from a friend. Unknown flags say nothing; an unknown value of a known one means no
    entries. Raises NameInvalid.
    """
    parts = (_of_entries(flags.get(ENTRIES_PERCENT), user), _of_floor(flags.get(MODE_FLOOR), user))
    return Held(
        entries=any(each.entries for each in parts),
        real_money=any(each.real_money for each in parts),
        asks=any(each.asks for each in parts),
        reasons=tuple(reason for each in parts for reason in each.reasons),
    )


def _of_entries(flag: Flag | None, user: str) -> Held:
    if flag is None:
        return Held()
    if not _is_percent(flag.value):
        return Held(entries=True, reasons=(f"{ENTRIES_PERCENT}: {flag.value} is not known here",))
    if is_in_share(ENTRIES_PERCENT, user, int(flag.value)):
        return Held()
    return Held(entries=True, reasons=(f"{ENTRIES_PERCENT} {flag.value}",))


def _of_floor(flag: Flag | None, user: str) -> Held:
    if flag is None or not is_in_share(MODE_FLOOR, user, flag.percent):
        return Held()
    reasons = (f"{MODE_FLOOR} {flag.value}",)
    match flag.value:
        case Floor.APPROVE:
            return Held(asks=True, reasons=reasons)
        case Floor.PAPER:
            return Held(real_money=True, reasons=reasons)
        case Floor.NOTIFY:
            return Held(entries=True, reasons=reasons)
        case _:
            return Held(entries=True, reasons=(f"{MODE_FLOOR}: {flag.value} is not known here",))


def loosens(name: str, before: Flag | None, after: Flag | None) -> bool:
    """Whether some friend might be allowed more by `after` than by `before`; None: the flag is not set."""
    if before is None:
        return False
    if name == ENTRIES_PERCENT:
        return _share_of(after) > _share_of(before)
    if before.percent == 0:
        return False
    if after is None or after.percent < before.percent:
        return True
    was = before.value
    return was not in tuple(Floor) or Floor(was) not in _COVERS.get(Floor(after.value), frozenset())


def _share_of(flag: Flag | None) -> int:
    if flag is None:
        return 100
    return int(flag.value) if _is_percent(flag.value) else 0


def _is_percent(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= 100
