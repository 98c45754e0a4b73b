"""Whether all that was waiting has arrived: nothing is decided before, a retraction may be further back. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from signal_contract.link import Delivery
from subscriber_agent.pull import ack_info

# Messages that were in flight when this identity was killed come back after the durable's ack_wait of 30 s.
IN_FLIGHT = timedelta(seconds=31)


@dataclass(frozen=True, slots=True)
class Backlog:
    """`expected` were waiting or in flight at the start, `seen` have come, `more` is what the last one said."""

    expected: int
    more: bool
    heard_at: datetime
    seen: int = 0

    @classmethod
    def at_start(cls, *, waiting: int, in_flight: int, now: datetime) -> Backlog:
        """From the durable's counts of waiting and un-acknowledged messages."""
        return cls(expected=waiting + in_flight, more=waiting > 0, heard_at=now)

    def after(self, batch: list[Delivery], now: datetime) -> Backlog:
        """The state after a batch has been journaled; an empty batch changes nothing."""
        if not batch:
            return self
        info = ack_info(batch[-1].reply)
        return replace(self, seen=self.seen + len(batch), more=info is not None and info.pending > 0, heard_at=now)

    def is_drained(self, now: datetime) -> bool:
        """Nothing waits on the server, and what was in flight has come back or had its time to."""
        return not self.more and (self.seen >= self.expected or now - self.heard_at >= IN_FLIGHT)
