"""What is missing from the sequences, and why: not for us, gone before we came, or taken by somebody else. Pure.

The durable counts its own deliveries. A jump in that count is a delivery that we never saw: it is on its way, it came
back to us later as a redelivery, or somebody else has received it with our name.

    missing delivery                        explained by
    ──────────────────────────────────────  ─────────────────────────────────────────────
    comes late, out of order                its own number
    comes again, and is new to the journal  its delivery count: each earlier one was missing
    the durable still waits for an ack      nothing yet: it will come again
    the durable waits for nothing           LOST: somebody else acknowledged it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

# A number that is further back than this belongs to a durable made anew: no more are ever un-acknowledged at once.
_MAX_IN_FLIGHT = 256


class Numbered(Protocol):
    """What a reply subject says of its message: the durable's own count, and which delivery of it this is."""

    @property
    def consumer_seq(self) -> int: ...

    @property
    def delivered(self) -> int: ...


class GapKind(StrEnum):
    """FILTERED: in the stream, and not for us; EXPIRED: gone from the stream before we came; LOST: taken by another."""

    FILTERED = "filtered"
    EXPIRED = "expired"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Gap:
    """`count` messages from stream sequence `first` to `last`; LOST ones have no place, only a count."""

    kind: GapKind
    count: int
    first: int | None
    last: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Tracker:
    """The accounts of one durable. `consumer_seq` is the highest delivery seen (0: none), `missing` how many before it
    were not; up to stream sequence `settled` everything is known to be here or not for us.
    """

    consumer_seq: int = 0
    missing: int = 0
    settled: int = 0

    @classmethod
    def from_text(cls, text: str | None) -> Tracker:
        """Read what `text` made; None, or anything else, starts new accounts."""
        parts = (text or "").split()
        if len(parts) != 3 or not all(each.isascii() and each.isdigit() for each in parts):
            return cls()
        return cls(*map(int, parts))

    @property
    def text(self) -> str:
        """What the journal keeps."""
        return f"{self.consumer_seq} {self.missing} {self.settled}"

    def opened(self, *, deliveries: int, in_flight: int) -> Tracker:
        """The accounts of a durable that has made `deliveries` and awaits `in_flight` acks.

        Accounts of another durable (it was made anew), or none at all, vouch for nothing that is in flight.
        """
        if 0 < self.consumer_seq <= deliveries:
            return self
        return replace(self, consumer_seq=deliveries, missing=in_flight)

    def after(self, info: Numbered, *, is_new: bool) -> Tracker:
        """The accounts after one delivery; `is_new`: the journal did not have its message."""
        counted = self._counted(info.consumer_seq)
        if is_new and info.delivered > 1:
            return replace(counted, missing=max(0, counted.missing - (info.delivered - 1)))
        return counted

    def _counted(self, consumer_seq: int) -> Tracker:
        back = self.consumer_seq - consumer_seq
        if self.consumer_seq == 0 or (back > 0 and (consumer_seq == 1 or back > _MAX_IN_FLIGHT)):
            return replace(self, consumer_seq=consumer_seq, missing=0)
        if back >= 0:
            return replace(self, missing=max(0, self.missing - 1)) if back else self
        return Tracker(consumer_seq, self.missing - back - 1, self.settled)

    def drained(self, last_sequence: int) -> Tracker:
        """The accounts once nothing waits in the durable: up to the stream's end, what is not here is not for us."""
        return replace(self, settled=last_sequence)


def explained(
    tracker: Tracker,
    position: int,
    *,
    first_sequence: int | None,
    last_sequence: int | None,
    ack_pending: int,
    pending: int | None,
) -> tuple[Gap, ...]:
    """What is missing and why. `position` is the durable's ack floor, the sequences are the stream's (None: unknown).

    `ack_pending` messages were delivered and not acknowledged, `pending` still wait (None: not known). What expired may
    have been for others too; nobody can tell any more.
    """
    known = max(position, tracker.settled)
    found = [_expired(known, first_sequence), _filtered(known, first_sequence, last_sequence, ack_pending, pending)]
    if tracker.missing and ack_pending == 0:
        text = f"{tracker.missing} deliveries were acknowledged by somebody else who uses these credentials"
        found.append(Gap(GapKind.LOST, tracker.missing, None, None, text))
    return tuple(each for each in found if each is not None)


def _expired(known: int, first_sequence: int | None) -> Gap | None:
    if not known or first_sequence is None or first_sequence <= known + 1:
        return None
    first, last = known + 1, first_sequence - 1
    text = f"{first} to {last} left the stream for their age before this agent came for them"
    return Gap(GapKind.EXPIRED, last - known, first, last, text)


def _filtered(
    known: int, first_sequence: int | None, last_sequence: int | None, ack_pending: int, pending: int | None
) -> Gap | None:
    first = max(known + 1, first_sequence or 0)
    if last_sequence is None or pending != 0 or ack_pending or last_sequence < first:
        return None
    text = f"{first} to {last_sequence} are not for this user"
    return Gap(GapKind.FILTERED, last_sequence - first + 1, first, last_sequence, text)
