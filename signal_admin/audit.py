"""The audit log's writing side: one entry for each thing that an operator or a connection did, in stream AUDIT.

Nobody can delete from that stream. While the server is away, entries wait in `<data>/audit-pending.jsonl` and go out
at the next `catalyst up`. Secrets are taken out of every entry before it is written anywhere.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import orjson

from signal_admin.desk import Desk
from signal_contract.errors import InputError, LinkError, StorageFailed, StreamMissing
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import AUDIT_STREAM, audit_stream_config

_log = logging.getLogger("catalyst.audit")

SUBJECT_ROOT = "audit"
_MAX_ENTRY_BYTES = 48 * 1024
_LOCK_PATIENCE_S = 10.0
_TOKEN = re.compile(r"[^a-z0-9]+")
# NKey seeds, our own signing seeds, age files, private keys in PEM form.
_SECRET = re.compile(
    r"\bS[A-Z][A-Z2-7]{56}\b|ed25519-seed:[\w-]+|AGE-SECRET-KEY-1[A-Z0-9]+"
    r"|-----BEGIN [A-Z ]*(?:PRIVATE KEY|SEED|AGE ENCRYPTED FILE)-----.*",
    re.DOTALL,
)
_REMOVED = "<secret removed>"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log. `before` and `after` are JSON values; `id` is what recognises an entry sent twice."""

    id: str
    at: datetime
    who: str
    action: str
    target: str
    before: Any
    after: Any
    outcome: str

    def as_dict(self) -> dict[str, Any]:
        """The form on the wire and on disk; the instant in ISO 8601, UTC."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "who": self.who,
            "action": self.action,
            "target": self.target,
            "before": self.before,
            "after": self.after,
            "outcome": self.outcome,
        }

    @property
    def subject(self) -> str:
        """`audit.<action>`, the action as one token (`user invite` → `user-invite`)."""
        return f"{SUBJECT_ROOT}.{_TOKEN.sub('-', self.action.lower()).strip('-') or 'unnamed'}"


def entry_from(document: Any) -> AuditEntry:
    """Read an entry; raises InputError for anything that is not one."""
    try:
        at = datetime.fromisoformat(document["at"])
        texts = {key: document[key] for key in ("id", "who", "action", "target", "outcome")}
        if at.tzinfo is None or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("a naive instant or a field that is no text")
        return AuditEntry(at=at.astimezone(UTC), before=document.get("before"), after=document.get("after"), **texts)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError("this is not an audit entry", hint="It was not written by catalyst.") from error


def without_secrets(value: Any) -> Any:
    """The value as JSON holds it, every seed and private key in it replaced. Unknown types become their text."""
    if isinstance(value, str):
        return _SECRET.sub(_REMOVED, value)
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    if isinstance(value, Mapping):
        return {str(key): without_secrets(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(each) for each in value]
    return without_secrets(value.isoformat() if isinstance(value, datetime) else str(value))


def operator_name() -> str:
    """Who is at this machine: OS user @ host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user in a container
        user = f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def new_entry(
    *, who: str, action: str, target: str, before: object, after: object, outcome: str, at: datetime, entry_id: str = ""
) -> AuditEntry:
    """An entry that is safe to keep: without secrets, and with values that are too large replaced by their size."""
    entry = AuditEntry(
        id=entry_id or secrets.token_hex(12),
        at=at,
        who=who,
        action=without_secrets(action),
        target=without_secrets(target)[:500],
        before=without_secrets(before),
        after=without_secrets(after),
        outcome=without_secrets(outcome)[:2000],
    )
    size = len(encoded(entry))
    if size <= _MAX_ENTRY_BYTES:
        return entry
    digest = hashlib.sha256(encoded(entry)).hexdigest()
    return AuditEntry(
        entry.id, at, who, entry.action, entry.target, None, {"too_large": size, "sha256": digest}, entry.outcome
    )


def encoded(entry: AuditEntry) -> bytes:
    """The entry's bytes."""
    return orjson.dumps(entry.as_dict(), option=orjson.OPT_NON_STR_KEYS)


async def record(
    link: Link | None,
    desk: Desk,
    *,
    action: str,
    target: str,
    before: object,
    after: object,
    outcome: str = "done",
) -> None:
    """Write down what the operator just did; `link` is an admin link, or None when the server is not running.

    When the server cannot take the entry it waits on disk; raises StorageFailed when the disk cannot either.
    """
    entry = new_entry(
        who=operator_name(),
        action=action,
        target=target,
        before=before,
        after=after,
        outcome=outcome,
        at=datetime.now(UTC),
    )
    if link is not None:
        try:
            await send(link, entry)
        except LinkError as error:
            _log.warning("the audit entry waits for the next `catalyst up`: %s", error.message)
        else:
            return
    _keep(desk, entry)


async def send(link: Link, entry: AuditEntry) -> None:
    """Store an entry in AUDIT; raises a LinkError."""
    await link.publish_stored(entry.subject, encoded(entry), headers={MESSAGE_ID_HEADER: entry.id})


async def ensure_stream(link: Link) -> None:
    """Make stream AUDIT where it is missing; raises a LinkError. An existing one is left as it is."""
    try:
        await link.api(f"$JS.API.STREAM.INFO.{AUDIT_STREAM}")
    except StreamMissing:
        await link.api(f"$JS.API.STREAM.CREATE.{AUDIT_STREAM}", audit_stream_config())


# The waiting room on disk -----------------------------------------------------------------------------------------


def pending_path(desk: Desk) -> Path:
    """Where entries wait while the server is away."""
    return desk.root / "audit-pending.jsonl"


@contextmanager
def _pending_held(desk: Desk) -> Iterator[Path]:
    path = pending_path(desk)
    try:
        with filelock.FileLock(f"{path}.lock", timeout=_LOCK_PATIENCE_S, mode=0o600):
            yield path
    except (filelock.Timeout, OSError) as error:
        raise StorageFailed(f"cannot write the audit log {path}: {error}") from error


def _keep(desk: Desk, entry: AuditEntry) -> None:
    with _pending_held(desk) as path:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            # A line that a crash cut short must not swallow this one.
            file.write((b"\n" if file.tell() else b"") + encoded(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def pending_entries(desk: Desk) -> tuple[AuditEntry, ...]:
    """The entries that wait for the server, in their order. A damaged line becomes an entry that holds its text."""
    try:
        lines = pending_path(desk).read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageFailed(f"cannot read the audit log {pending_path(desk)}: {error}") from error
    return tuple(_entry_of_line(line) for line in lines if line.strip())


def _entry_of_line(line: bytes) -> AuditEntry:
    try:
        return entry_from(orjson.loads(line))
    except (InputError, orjson.JSONDecodeError):
        # It counts as evidence all the same; its id follows from the text, so that it is sent once.
        return new_entry(
            who="unknown",
            action="damaged-entry",
            target="audit-pending.jsonl",
            before=None,
            after=line.decode(errors="replace"),
            outcome="damaged",
            at=datetime.now(UTC),
            entry_id=hashlib.sha256(line).hexdigest()[:24],
        )


async def flush_pending(link: Link, desk: Desk) -> int:
    """Make stream AUDIT when it is missing and send what waited; returns how many entries were sent.

    After a crash in between, an entry is sent again under its own id and stored once. Raises a LinkError when the
    server does not take them (they go on waiting), StorageFailed.
    """
    await ensure_stream(link)
    if not pending_path(desk).exists():
        return 0
    with _pending_held(desk) as path:
        entries = pending_entries(desk)
        for entry in entries:
            await send(link, entry)
        path.unlink(missing_ok=True)
    return len(entries)
