"""The friend's word on looser settings: what waits for it (`config.pending`) and that it came (`config.accepted`).

Both lie in the data directory, so a word given once for one config and one moment can never let another one in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from signal_contract.creds import write_secret
from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.directions import Change, Verdict, needs_restart
from subscriber_agent.settings.fields import leaves, plain, value_at
from subscriber_agent.settings.yaml_source import dotted

_PENDING_FILE = "config.pending"
_ACCEPTED_FILE = "config.accepted"
_MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Pending:
    """A config that waits: since when, under which id, with which hash, and what it would change."""

    at: datetime
    pending_id: str
    config_hash: str
    changes: tuple[Change, ...]


def pending_of(config: AgentConfig, changes: tuple[Change, ...], at: datetime) -> Pending:
    """What waits when the file says `config`, since `at`, and `changes` is what it would change."""
    return Pending(at, _id(config, at), config.config_hash(), changes)


def _id(config: AgentConfig, at: datetime) -> str:
    """16 hex digits over the moment and every setting that can change while running."""
    values = {
        key: plain(value)
        for path, _ in leaves(AgentConfig)
        if not needs_restart(key := dotted(path), value := value_at(config, path)) and key != "extends"
    }
    document = orjson.dumps([at.isoformat(), values], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(document).hexdigest()[:16]


def write_pending(data: Path, pending: Pending) -> None:
    """Leave word for `config accept`. Raises StorageFailed."""
    document = {
        "at": pending.at.isoformat(),
        "id": pending.pending_id,
        "config_hash": pending.config_hash,
        "changes": [each.as_dict() for each in pending.changes],
    }
    _write(data / _PENDING_FILE, document)


def read_pending(data: Path) -> Pending:
    """What waits for the friend's word. Raises NotFound when nothing does."""
    document = _read(data / _PENDING_FILE)
    try:
        changes = tuple(
            Change(each["key"], each["before"], each["after"], Verdict(each["direction"]))
            for each in document["changes"]
        )
        at = datetime.fromisoformat(document["at"])
        return Pending(at, str(document["id"]), str(document["config_hash"]), changes)
    except (KeyError, TypeError, ValueError) as error:
        raise NotFound(
            "no looser settings wait for your word",
            hint="A running agent notices a changed config within seconds; `config diff` shows what differs.",
        ) from error


def accept(data: Path, config: AgentConfig) -> Pending:
    """Give the word for what waits, which must be `config`, just read. Raises NotFound, Conflict, StorageFailed."""
    pending = read_pending(data)
    check_is_pending(pending, config)
    _write(data / _ACCEPTED_FILE, {"config_hash": pending.config_hash, "id": pending.pending_id})
    return pending


def check_is_pending(pending: Pending, config: AgentConfig) -> None:
    """Raise Conflict unless `config` is what waits."""
    if _id(config, pending.at) != pending.pending_id:
        raise Conflict(
            "the config is not the one that waits",
            hint="It was changed a moment ago, or SUBSCRIBER_AGENT__ variables differ here. Look again, then accept.",
        )


def is_accepted(data: Path, pending: Pending) -> bool:
    """Whether the friend gave the word for exactly this."""
    document = _read(data / _ACCEPTED_FILE)
    return (document.get("id"), document.get("config_hash")) == (pending.pending_id, pending.config_hash)


def forget(data: Path) -> None:
    """Take both files away. Raises StorageFailed: a word that stays could be taken for a later one."""
    try:
        for name in (_ACCEPTED_FILE, _PENDING_FILE):
            (data / name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"{data} cannot be cleared of an old confirmation: {error.strerror}") from error


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        write_secret(path, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    except OSError as error:
        raise StorageFailed(f"{path} cannot be written: {error.strerror}") from error


def _read(path: Path) -> dict[str, Any]:
    """The document, or an empty one for whatever is no such document: what cannot be read is no word."""
    try:
        document = orjson.loads(path.read_bytes()) if path.stat().st_size <= _MAX_BYTES else {}
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
