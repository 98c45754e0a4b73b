"""Looks at a stream message by message, oldest first, and says at the end what holds. Knows no server. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from signal_admin.audit import entry_from
from signal_admin.backup.findings import Cases, Finding, Level, judged
from signal_admin.backup.key_history import KeyHistory
from signal_admin.backup.manifest import StreamPart
from signal_admin.backup.outbox_copy import Confirmed
from signal_contract.errors import InputError
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER
from signal_contract.topology import DAY_NS, SECOND_NS

_WINDOW = timedelta(seconds=DAY_NS // SECOND_NS)
# An entry is written down before it is stored, by the same machine; more than this is a clock that was set back.
_CLOCK_SLACK = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; `at` is when the server stored it, aware UTC."""

    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str]
    at: datetime


def is_log(part: StreamPart) -> bool:
    """Whether nothing can be deleted from a stream but its oldest messages, by age or size."""
    config = part.config
    return bool(config.get("deny_delete")) and bool(config.get("deny_purge")) and config["max_msgs_per_subject"] == -1


@dataclass(slots=True)
class Order:
    """Sequences, times and message ids of any stream. `ids` maps sequences to message ids."""

    stream: str
    first: int = 0
    last: int = 0
    count: int = 0
    holes: Cases = field(default_factory=Cases)
    backwards: Cases = field(default_factory=Cases)
    ids: dict[int, str] = field(default_factory=dict)
    twice_soon: Cases = field(default_factory=Cases)
    twice: Cases = field(default_factory=Cases)
    _seen: dict[str, datetime] = field(default_factory=dict)
    _at: datetime | None = None

    def take(self, message: Message) -> None:
        """Look at the next message."""
        if self.count and message.sequence != self.last + 1:
            self.holes.add(f"{self.last + 1}–{message.sequence - 1}")
        self.first = self.first or message.sequence
        self.last, self.count = message.sequence, self.count + 1
        if self._at is not None and message.at < self._at:
            self.backwards.add(message.sequence)
        self._at = message.at
        self._identified(message)

    def _identified(self, message: Message) -> None:
        name = message.headers.get(MESSAGE_ID_HEADER)
        if name is None:
            return
        before = self._seen.get(name)
        if before is not None:
            (self.twice_soon if message.at - before < _WINDOW else self.twice).add(message.sequence)
        self._seen[name] = message.at
        self.ids[message.sequence] = name

    def findings(self, part: StreamPart) -> list[Finding]:
        """What holds, compared with what the server said of the stream when the snapshot was taken."""
        name = self.stream
        # Reports may be cleared by the operator, and a bucket keeps the last word only.
        level = Level.FAIL if is_log(part) else Level.OK
        return [
            self._extent(part),
            judged(name, self.holes, fine="no sequence is missing inside", wrong="gaps inside", level=level),
            judged(
                name,
                self.twice_soon,
                fine="no message id is there twice within the server's memory of a day",
                wrong="messages stored twice within a day",
            ),
            *self._oddities(),
        ]

    def _oddities(self) -> Iterable[Finding]:
        if self.twice.count:
            yield Finding(Level.WARN, self.stream, f"{self.twice.count:,} stored again after a day: {self.twice.text}")
        if self.backwards.count:
            text = f"the clock was set back before {self.backwards.count:,} messages: {self.backwards.text}"
            yield Finding(Level.WARN, self.stream, text)

    def _extent(self, part: StreamPart) -> Finding:
        if not self.count:
            level = Level.FAIL if part.messages else Level.OK
            return Finding(level, self.stream, f"empty; the next sequence is {part.last_sequence + 1:,}")
        words = f"{self.count:,} messages, sequences {self.first:,} to {self.last:,}"
        if self.last != part.last_sequence and (is_log(part) or self.last > part.last_sequence):
            return Finding(Level.FAIL, self.stream, f"{words}; the server's own last is {part.last_sequence:,}")
        if self.count == part.messages:
            return Finding(Level.OK, self.stream, words)
        aged = self.first - part.first_sequence
        if aged > 0 and self.count + aged == part.messages:
            return Finding(Level.OK, self.stream, f"{words}; {aged:,} left for their age while it was taken")
        level = Level.FAIL if is_log(part) else Level.WARN
        return Finding(level, self.stream, f"{words}; the server counted {part.messages:,}")


@dataclass(slots=True)
class Signatures:
    """Whether each signal and control message was signed by the publisher's key of its time."""

    keys: KeyHistory
    wrong: Cases = field(default_factory=Cases)
    signals: int = 0
    controls: int = 0

    def take(self, message: Message) -> None:
        """Check one message of stream SIGNALS."""
        if message.subject.startswith("control."):
            self.controls += 1
        else:
            self.signals += 1
        why = self.keys.check(message.sequence, message.subject, message.data, message.headers.get(SIGNATURE_HEADER))
        if why is not None:
            self.wrong.add(f"{message.sequence} ({why})")

    def take_flags(self, message: Message) -> None:
        """Check one message of bucket FLAGS; one that an earlier key signed is signed anew at the next start."""
        if not self.keys.is_known(message.subject, message.data, message.headers.get(SIGNATURE_HEADER)):
            self.wrong.add(f"the flags of {message.at:%Y-%m-%d %H:%M}")

    def findings(self) -> list[Finding]:
        """Signatures, and the chain of keys."""
        fine = f"{self.signals:,} signals and {self.controls:,} control messages are signed by the publisher's key"
        found = [judged("signatures", self.wrong, fine=fine, wrong="not as they should be")]
        found += [Finding(Level.FAIL, "publisher's key", fault) for fault in self.keys.faults]
        if not self.keys.faults:
            changes = len(self.keys.ends)
            text = "never changed in this stream" if not changes else f"changed {changes} times, each one announced"
            found.append(Finding(Level.OK, "publisher's key", text))
        return found


@dataclass(slots=True)
class AuditLog:
    """The audit entries: readable, each once, none from the future; and the changes of keys that they tell of."""

    unreadable: Cases = field(default_factory=Cases)
    twice: Cases = field(default_factory=Cases)
    early: Cases = field(default_factory=Cases)
    rotations: set[tuple[str, str]] = field(default_factory=set)
    _ids: set[str] = field(default_factory=set)

    def take(self, message: Message) -> None:
        """Look at one message of stream AUDIT."""
        try:
            entry = entry_from(orjson.loads(message.data))
        except (InputError, orjson.JSONDecodeError):
            self.unreadable.add(message.sequence)
            return
        if entry.id in self._ids:
            self.twice.add(message.sequence)
        self._ids.add(entry.id)
        if entry.at > message.at + _CLOCK_SLACK:
            self.early.add(message.sequence)
        if entry.action == "vault rotate-publisher-key":
            step = (_key_in(entry.before), _key_in(entry.after))
            self.rotations.add(step)

    def findings(self, keys: KeyHistory) -> list[Finding]:
        """What holds; a change of keys that nobody wrote down is a warning (its entry may still wait on disk)."""
        found = [
            judged("audit", self.unreadable, fine="every entry can be read", wrong="entries cannot be read"),
            judged(
                "audit", self.twice, fine="each entry is there once", wrong="entries stored twice", level=Level.WARN
            ),
        ]
        if self.early.count:
            text = f"{self.early.count:,} entries say a later time than the server had: {self.early.text}"
            found.append(Finding(Level.WARN, "audit", text))
        told = {after for _, after in self.rotations}
        silent = [new for _, new in keys.steps if new not in told]
        found += [Finding(Level.WARN, "audit", f"nobody wrote down the change to the key {key}") for key in silent]
        return found


def _key_in(value: Any) -> str:
    return str(value.get("publisher_key") or "") if isinstance(value, dict) else ""


def outbox_findings(receipts: Iterable[Confirmed], order: Order, last: int) -> list[Finding]:
    """Whether the stream holds each message that the outbox calls confirmed, unless it has left for its age."""
    missing, other = Cases(), Cases()
    held = gone = 0
    for each in receipts:
        if each.sequence > last:
            missing.add(f"{each.message_id[:12]} at {each.sequence}")
        elif not order.first or each.sequence < order.first:
            gone += 1
        elif order.ids.get(each.sequence) != each.message_id:
            other.add(f"{each.message_id[:12]} at {each.sequence}")
        else:
            held += 1
    fine = f"all {held:,} confirmed signals are in the stream" + (f"; {gone:,} have left it for their age" * bool(gone))
    return [
        judged("outbox", missing, fine=fine, wrong="confirmed, and beyond the stream's end"),
        *(
            [judged("outbox", other, fine="", wrong="confirmed, and something else is in their place")]
            * bool(other.count)
        ),
    ]
