"""What the server says of this user's durable, read from one answer of its API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from subscriber_agent.receiving.gaps import Tracker


@dataclass(frozen=True, slots=True)
class Durable:
    """The durable at one moment. `waiting` messages were never delivered, `in_flight` are delivered and not acked.

    `position` is the stream sequence up to which all is acknowledged: the place to restore it from. `deliveries`
    is how many it has made, repeated ones included.
    """

    waiting: int
    in_flight: int
    position: int
    deliveries: int
    pulls: int
    filters: tuple[str, ...]
    skew_s: float | None

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any], local: datetime) -> Durable:
        """Read the answer to a CONSUMER.INFO that was under way at `local`; what is missing counts as 0."""
        settings = _part(answer, "config")
        filters = settings.get("filter_subjects") or [settings.get("filter_subject")]
        return cls(
            waiting=_count(answer.get("num_pending")),
            in_flight=_count(answer.get("num_ack_pending")),
            position=_count(_part(answer, "ack_floor").get("stream_seq")),
            deliveries=_count(_part(answer, "delivered").get("consumer_seq")),
            pulls=_count(answer.get("num_waiting")),
            filters=tuple(sorted(str(each) for each in filters if each)),
            skew_s=skew_s(answer.get("ts"), local),
        )

    def unseen_in_flight(self, seen: Tracker) -> int:
        """How many un-acknowledged messages are not in the journal; `seen` are its accounts, `opened` with us.

        When every delivery is accounted for, what the server still awaits is only our acks: they were lost, and the
        messages come again as duplicates.
        """
        return min(self.in_flight, max(0, seen.missing + self.deliveries - seen.consumer_seq))


def skew_s(server_time: object, local: datetime) -> float | None:
    """Seconds that the local clock is ahead of the server's; None when the server's time cannot be read."""
    if not isinstance(server_time, str):
        return None
    try:
        # The server prints nanoseconds; six digits are what a datetime holds.
        head, _, fraction = server_time.rstrip("Z").partition(".")
        server = datetime.fromisoformat(head).replace(tzinfo=UTC) + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None
    return round((local - server).total_seconds(), 3)


def _part(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
