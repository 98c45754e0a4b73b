"""What a backup says of itself, first in the file: when, by what, which streams and durables, which files. Pure.

Whatever is read from a file is hostile until `manifest_from` has let it through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import orjson

from signal_contract.errors import InputError, SchemaTooNew

FORMAT = "catalyst-backup"
VERSION = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 64 << 20
_MAX_PARTS = 1_000_000
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the backup: where it goes (relative, `/` between folders), bytes, SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StreamPart:
    """One stream's snapshot: sequences and count when it was taken, and what is needed to make it again."""

    name: str
    first_sequence: int
    last_sequence: int
    messages: int
    config: Mapping[str, Any]
    state: Mapping[str, Any]
    part: str


@dataclass(frozen=True, slots=True)
class DurablePart:
    """A durable as it was listed just before the snapshot; it can have moved on in it, never back."""

    name: str
    ack_floor: int
    delivered: int
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole. `account` is the public key under which the streams lie; `outside` names files that are not in it.

    `source` is the directory it was taken from, on the machine `host`; `outbox` counts the publisher's entries.
    """

    created_at: datetime
    program: str
    server: str
    host: str
    source: str
    account: str
    is_encrypted: bool
    streams: tuple[StreamPart, ...]
    durables: tuple[DurablePart, ...]
    parts: tuple[Part, ...]
    outside: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        return sum(each.bytes for each in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """The form in the file; the instant in ISO 8601, UTC."""
        return {"format": FORMAT, "version": VERSION, **asdict(self), "created_at": self.created_at.isoformat()}


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    return orjson.dumps(manifest.as_dict(), option=orjson.OPT_INDENT_2) + b"\n"


def manifest_from(content: bytes) -> Manifest:
    """Read a manifest. Raises InputError for anything that is not one, SchemaTooNew for a newer version's."""
    try:
        document = orjson.loads(content)
        if document["format"] != FORMAT:
            raise ValueError("another format")
        if _count(document["version"]) > VERSION:
            raise SchemaTooNew("this backup was written by a newer version")
        return _read(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            "this is not a backup of catalyst, or it is damaged", hint="Use another copy of it."
        ) from error


def _read(document: Mapping[str, Any]) -> Manifest:
    created_at = datetime.fromisoformat(document["created_at"])
    if created_at.tzinfo is None:
        raise ValueError("a naive instant")
    parts = tuple(Part(path_checked(each["path"]), _count(each["bytes"]), _hex(each["sha256"])) for each in
                  _list(document["parts"]))  # fmt: skip
    if len({each.path for each in parts}) != len(parts):
        raise ValueError("a path is there twice")
    return Manifest(
        created_at=created_at.astimezone(UTC),
        program=_text(document["program"]),
        server=_text(document["server"]),
        host=_text(document["host"]),
        source=_text(document["source"]),
        account=_account(document["account"]),
        is_encrypted=document["is_encrypted"] is True,
        streams=tuple(_stream(each, {part.path for part in parts}) for each in _list(document["streams"])),
        durables=tuple(_durable(each) for each in _list(document["durables"])),
        parts=parts,
        outside=tuple(_text(each) for each in _list(document["outside"])),
    )


def _stream(found: Mapping[str, Any], paths: set[str]) -> StreamPart:
    name, config = _text(found["name"]), found["config"]
    is_plain = name.replace("_", "").isalnum()
    if not is_plain or not isinstance(config, dict) or config.get("name") != name or found["part"] not in paths:
        raise ValueError("a stream whose parts do not fit each other")
    state = found["state"]
    if not isinstance(state, dict):
        raise TypeError("a state is a table")
    return StreamPart(
        name=name,
        first_sequence=_count(found["first_sequence"]),
        last_sequence=_count(found["last_sequence"]),
        messages=_count(found["messages"]),
        config=config,
        state=state,
        part=path_checked(found["part"]),
    )


def _durable(found: Mapping[str, Any]) -> DurablePart:
    numbers = (_count(found[key]) for key in ("ack_floor", "delivered", "unacknowledged"))
    return DurablePart(_text(found["name"]), *numbers)


def path_checked(path: Any) -> str:
    """A path that stays inside the directory it is put into; raises ValueError."""
    text = _text(path)
    parts = PurePosixPath(text).parts
    is_plain = all(part not in ("..", ".", "/") and "\\" not in part and ":" not in part for part in parts)
    if not parts or not is_plain or text != "/".join(parts) or text.startswith("/"):
        raise ValueError("a path that leads elsewhere")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 4096 or "\0" in value:
        raise TypeError("a text is needed")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MAX_PARTS:
        raise TypeError("a list is needed")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a whole number from 0 is needed")
    return value


def _hex(value: Any) -> str:
    if len(_text(value)) != 64 or not set(value) <= _HEX:
        raise ValueError("a SHA-256 is needed")
    return str(value)


def _account(value: Any) -> str:
    # It becomes a folder's name and a part of the server's configuration.
    if len(_text(value)) != 56 or not value.isalnum() or not value.isupper() or not value.startswith("A"):
        raise ValueError("an account's public key is needed")
    return str(value)
