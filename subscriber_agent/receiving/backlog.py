"""Whether all that was waiting has arrived: nothing is decided before, a retraction may be further back. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from signal_contract.delivery import Delivery
from subscriber_agent.receiving.pull import ack_info

# Messages that were in flight when this identity was killed come back after the durable's ack_wait of 30 s.
IN_FLIGHT_S = 31.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """`in_flight` were un-acknowledged when we looked, `returned` have come again; `more` wait on the server.

    Only deliveries that say that they are not the first count as returned: live messages must not stand in for them.
    What has not returned at `until` (monotonic seconds) will not: it was acknowledged after all, or belongs to nobody.
    """

    in_flight: int
    more: bool
    until: float
    returned: int = 0

    @classmethod
    def measured(cls, *, waiting: int, in_flight: int, now: float) -> Backlog:
        """From the durable's counts, at the start and after a reconnect; `in_flight` without what we hold already."""
        return cls(in_flight=in_flight, more=waiting > 0, until=now + IN_FLIGHT_S)

    def after(self, batch: list[Delivery]) -> Backlog:
        """The state after a batch has been journaled; an empty batch changes nothing."""
        infos = [info for message in batch if (info := ack_info(message.reply)) is not None]
        if not infos:
            return self
        again = sum(info.delivered > 1 for info in infos)
        return replace(self, returned=self.returned + again, more=infos[-1].pending > 0)

    def is_drained(self, now: float) -> bool:
        """Nothing waits on the server, and what was in flight has come back or had its time to."""
        return not self.more and (self.returned >= self.in_flight or now >= self.until)
