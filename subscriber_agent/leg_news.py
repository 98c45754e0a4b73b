"""Which stops and targets an engine has filled by itself. On the disk's thread."""

from __future__ import annotations

from typing import Any

from subscriber_agent.accounting.book import Fill, Leg
from subscriber_agent.accounting.ledger_rows import fill_as_dict
from subscriber_agent.journal import Journal


class LegNews:
    """For one journal; what was booked before `begin` is no news."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told = 0

    def begin(self) -> None:
        """Take all that is booked for known."""
        self._told, _ = self._journal.last_fill()

    def new(self) -> list[dict[str, Any]]:
        """What was filled since the last call, as it is told."""
        fills = self._journal.fills(self._told)
        self._told += len(fills)
        # A stop order of our own is told as an order.
        legs = (each for each in fills if each.leg in (Leg.STOP, Leg.TARGET))
        return [_facts(each) for each in legs if self._journal.order(each.order_id) is None]


def _facts(fill: Fill) -> dict[str, Any]:
    # When it is told is said beside it.
    return {name: value for name, value in fill_as_dict(fill).items() if name != "at"}
