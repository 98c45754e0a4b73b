"""Which publisher key signed which part of the stream, told from its end: the key in force now, and the announcements.

… ── key A ──▶ announcement at 500, signed by A: "B follows" ── key B ──▶ the end; B is the key in force
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import orjson

from signal_contract.announce import ANNOUNCE_SUBJECT, Announcement, read_announcement
from signal_contract.errors import InputError, SignatureInvalid
from signal_contract.signing import Verifier


@dataclass(frozen=True, slots=True)
class Announced:
    """One announcement with its place; it is signed by the key that it retires."""

    sequence: int
    announcement: Announcement


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """Keys in their order; `ends` are the sequences at which all but the last retired. `faults` break the chain."""

    verifiers: tuple[Verifier, ...]
    ends: tuple[int, ...]
    faults: tuple[str, ...] = ()

    def check(self, sequence: int, subject: str, payload: bytes, signature: str | None) -> str | None:
        """None when the key of that time signed it; else why not."""
        ours = self.verifiers[bisect_left(self.ends, sequence)]
        if _fits(ours, subject, payload, signature):
            return None
        if any(_fits(each, subject, payload, signature) for each in self.verifiers if each is not ours):
            return "signed by a key of another time"
        return "not signed" if not signature else "signed by none of the publisher's keys"

    def is_known(self, subject: str, payload: bytes, signature: str | None) -> bool:
        """Whether one of the keys signed it, at whatever time."""
        return any(_fits(each, subject, payload, signature) for each in self.verifiers)

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """Each change of keys as (old, new)."""
        keys = [each.public_key for each in self.verifiers]
        return tuple(pairwise(keys))


def announced_from(sequence: int, payload: bytes, signature: str | None) -> Announced:
    """Read an announcement and check that the key which it retires signed it; raises InputError, SignatureInvalid."""
    # Which key that was is not known yet: the announcement has to name it, and its signature has to fit.
    try:
        named = Verifier.from_text(str(orjson.loads(payload)["old_key"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("this is not an announcement of a key") from error
    named.check(ANNOUNCE_SUBJECT, payload, signature)
    return Announced(sequence, read_announcement(payload, named))


def history_from(found: Sequence[Announced], current_key: str) -> KeyHistory:
    """The keys from the oldest announcement to the key in force; raises InputError for a malformed `current_key`."""
    ordered = sorted(found, key=lambda each: each.sequence)
    current = Verifier.from_text(current_key)
    if not ordered:
        return KeyHistory((current,), ())
    faults = [
        f"the announcement at {later.sequence} retires another key than the one in force there"
        for earlier, later in pairwise(ordered)
        if later.announcement.old_key != earlier.announcement.next_key
    ]
    last = ordered[-1].announcement
    if current_key == last.old_key:
        faults.append("the next key is announced and not in force yet: run `catalyst vault rotate-publisher-key` again")
    elif current_key != last.next_key:
        faults.append("the last announcement names another key than the one in force")
    keys = [each.announcement.old_key for each in ordered] + [last.next_key]
    verifiers = tuple(map(Verifier.from_text, keys))
    return KeyHistory(verifiers, tuple(each.sequence for each in ordered), tuple(faults))


def _fits(verifier: Verifier, subject: str, payload: bytes, signature: str | None) -> bool:
    try:
        verifier.check(subject, payload, signature)
    except SignatureInvalid:
        return False
    return True
