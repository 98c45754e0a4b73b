"""Where a followed file was left, and where to go on: after a restart, a rotation, a truncation. Pure.

The place is remembered by inode, offset and a digest of the last line before it: an inode is used again, and a
truncated file may have grown past the offset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

import orjson

from signal_contract.errors import ConfigInvalid


@dataclass(frozen=True, slots=True)
class Place:
    """All before `offset` (bytes, at the beginning of a line) of file `inode` was taken.

    The last line before it began at `line_at` and has this digest; both say nothing at offset 0.
    """

    inode: int
    offset: int = 0
    line_at: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be the one of a place, or have come after it: the followed one, or a rotated neighbour."""

    name: str
    inode: int
    size: int
    modified_ns: int


class Turn(StrEnum):
    """Why reading does not simply go on."""

    ROTATED = "rotated"
    TRUNCATED = "truncated"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Route:
    """The files to read in this order: the first one from `offset`, the others from their beginning."""

    names: tuple[str, ...]
    offset: int
    turn: Turn | None = None


def line_digest(line: bytes) -> str:
    """The digest by which a line is known again."""
    return hashlib.sha256(line).hexdigest()[:32]


def route_from(place: Place, current: Candidate | None, rotated: Sequence[Candidate]) -> Route:
    """The way on after a restart; whether the digest still fits is looked at when the file is open.

    A rotated file is read to its end first, then what was rotated after it, then the current one. When the file is
    gone, everything from the beginning of the current one is read again: ids keep that from doubling.
    """
    now = () if current is None else (current.name,)
    if current is not None and current.inode == place.inode:
        if current.size < place.offset:
            return Route(now, 0, Turn.TRUNCATED)
        return Route(now, place.offset)
    left = next((each for each in rotated if each.inode == place.inode and each.size >= place.offset), None)
    if left is None:
        return Route(now, 0, Turn.LOST)
    later = later_than(left, rotated, older={each.inode for each in rotated})
    return Route((left.name, *(each.name for each in later), *now), place.offset, Turn.ROTATED)


def later_than(left: Candidate, rotated: Sequence[Candidate], *, older: Set[int]) -> list[Candidate]:
    """What was rotated after `left`, in its order. `older` are inodes that were there before it: two files may have
    been written to within the time that a file system can tell.
    """
    found = [
        each
        for each in rotated
        if each.inode != left.inode
        and each.size > 0
        and (each.modified_ns > left.modified_ns or (each.modified_ns == left.modified_ns and each.inode not in older))
    ]
    return sorted(found, key=lambda each: each.modified_ns)


def place_bytes(place: Place, path: str) -> bytes:
    """The content of a place's file; the path is in it for people."""
    document = {"path": path, "inode": place.inode, "offset": place.offset, "line_at": place.line_at}
    return orjson.dumps({**document, "digest": place.digest})


def place_from(content: bytes, name: str) -> Place:
    """Read a place. Raises ConfigInvalid: guessing would skip signals or repeat them."""
    try:
        found = orjson.loads(content)
        numbers = [found["inode"], found["offset"], found["line_at"]]
        if not all(isinstance(each, int) and each >= 0 for each in numbers) or not isinstance(found["digest"], str):
            raise ValueError("a field has the wrong type")
        if found["line_at"] > found["offset"]:
            raise ValueError("the line begins after its end")
        return Place(numbers[0], numbers[1], numbers[2], found["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigInvalid(
            f"{name} does not hold a place in a file",
            hint="Remove it and follow with --from-start: what is out already is not sent twice.",
        ) from error
