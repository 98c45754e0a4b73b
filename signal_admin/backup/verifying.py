"""Looks at everything that a backup or a data directory holds, and says what holds and what does not.

It always works on a copy that was put back like a restore: what it calls sound can be restored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from signal_admin.apply import read_durables
from signal_admin.backup.copy_server import streams_of
from signal_admin.backup.durable_checks import durable_findings
from signal_admin.backup.findings import Finding, Level, has_failed
from signal_admin.backup.key_history import Announced, KeyHistory, announced_from, history_from
from signal_admin.backup.manifest import Manifest, StreamPart
from signal_admin.backup.outbox_copy import confirmed
from signal_admin.backup.pace import Pace
from signal_admin.backup.reading import messages, readable
from signal_admin.backup.spool import Spool
from signal_admin.backup.stream_checks import AuditLog, Message, Order, Signatures, outbox_findings
from signal_admin.registry import all_users
from signal_admin.standing import Standing, read_standing
from signal_contract.announce import ANNOUNCE_SUBJECT
from signal_contract.creds import read_secret
from signal_contract.errors import CatalystError, InputError
from signal_contract.link import Link
from signal_contract.signing import SIGNATURE_HEADER, Signer
from signal_contract.topology import AUDIT_STREAM, FLAGS_STREAM, STREAM

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and every finding, in the order of the checks."""

    manifest: Manifest
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        return not has_failed(self.findings)


@dataclass(slots=True)
class _Survey:
    """What the passes over the streams leave behind."""

    keys: KeyHistory
    signatures: Signatures
    audit: AuditLog = field(default_factory=AuditLog)
    orders: dict[str, Order] = field(default_factory=dict)

    def looks_closer(self) -> dict[str, Callable[[Message], None]]:
        """What is looked at beyond order, by stream."""
        return {STREAM: self.signatures.take, AUDIT_STREAM: self.audit.take, FLAGS_STREAM: self.signatures.take_flags}


def _glance(_message: Message) -> None:
    """Nothing beyond order: reports are signed by nobody."""


async def verified(spool: Spool, scratch: Path, say: Say, *, binary: Path | None = None) -> Verdict:
    """Put the streams back below `scratch` and look at all of it. Raises StorageFailed where it cannot be put back."""
    store, work = scratch / "copy", scratch / "copy-server"
    for folder in (store, work):
        folder.mkdir(mode=0o700)
    async with streams_of(spool, store, work, key=None, binary=binary, changed=readable) as link:
        survey = await _surveyed(link, spool, say)
        durables = await read_durables(link) if STREAM in survey.orders else {}
    found = [finding for part in spool.manifest.streams for finding in survey.orders[part.name].findings(part)]
    found += survey.signatures.findings() + survey.audit.findings(survey.keys)
    signals = _part(spool.manifest, STREAM)
    if signals is not None:
        order = survey.orders[STREAM]
        users = [user.name for user in all_users(spool.desk) if user.start_sequence is not None]
        listed = spool.manifest.durables
        found += durable_findings(durables, users, listed, first=order.first, last=signals.last_sequence)
        receipts = confirmed(spool.desk.publisher / "outbox.sqlite")
        found += outbox_findings(receipts, order, signals.last_sequence)
        found += _standing_findings(spool, order, signals.last_sequence)
    return Verdict(spool.manifest, (*found, *_outside(spool.manifest)))


def _part(manifest: Manifest, name: str) -> StreamPart | None:
    return next((each for each in manifest.streams if each.name == name), None)


async def _surveyed(link: Link, spool: Spool, say: Say) -> _Survey:
    names = [each.name for each in spool.manifest.streams]
    keys = await _keys(link, spool, has_signals=STREAM in names)
    survey = _Survey(keys, Signatures(keys))
    for part in spool.manifest.streams:
        order = survey.orders[part.name] = Order(part.name)
        closer = survey.looks_closer().get(part.name, _glance)
        pace = Pace(say)
        async for message in messages(link, part.name):
            order.take(message)
            closer(message)
            pace.tell(f"{part.name}: {order.count:,} of {part.messages:,} messages read …")
    return survey


async def _keys(link: Link, spool: Spool, *, has_signals: bool) -> KeyHistory:
    current = Signer.from_secret_text(read_secret(spool.desk.publisher / "signing.seed", what="signing seed"))
    found: list[Announced] = []
    broken: list[str] = []
    if has_signals:
        async for message in messages(link, STREAM, ANNOUNCE_SUBJECT):
            try:
                signature = message.headers.get(SIGNATURE_HEADER)
                found.append(announced_from(message.sequence, message.data, signature))
            except InputError as error:
                broken.append(f"the announcement at {message.sequence} cannot be trusted: {error.message}")
    history = history_from(found, current.public_key)
    return KeyHistory(history.verifiers, history.ends, (*history.faults, *broken))


def _standing_findings(spool: Spool, order: Order, last: int) -> list[Finding]:
    try:
        standing = read_standing(spool.desk)
    except CatalystError as error:
        return [Finding(Level.FAIL, "standing control", error.message)]
    late = [text for text, sequence in _words(standing) if sequence is not None and sequence > last]
    if late:
        return [Finding(Level.FAIL, "standing control", f"said beyond the stream's end: {', '.join(late)}")]
    return [Finding(Level.OK, "standing control", _in_force(standing))]


def _words(standing: Standing) -> list[tuple[str, int | None]]:
    words = [("everybody", standing.everybody), *sorted(standing.users.items())]
    return [(f"{word.verb.value} for {who}", word.sequence) for who, word in words if word is not None]


def _in_force(standing: Standing) -> str:
    held = standing.in_force_for(tuple(standing.users))
    if not held:
        return "nothing is held back"
    return ", ".join(f"{word.verb.value} for {who or 'everybody'}" for who, word in held)


def _outside(manifest: Manifest) -> list[Finding]:
    return [Finding(Level.WARN, "not in the backup", path) for path in manifest.outside]
