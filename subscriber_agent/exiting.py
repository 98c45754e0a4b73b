"""Hands over orders; an exit only once nothing else can close the same shares.

    exit on disk ─▶ let go (legs, stop order, a rest of the entry) ─▶ book what they filled ─▶ submit what is left
                        │ still works: it waits, and is tried again          └ nothing left: ABANDONED

The intent is on disk before and without an outcome: a kill anywhere in between is recovered like any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from signal_contract import edges
from subscriber_agent.accounting.book import Leg
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import EngineSilent, Outcome, OutcomeState
from subscriber_agent.handover import Handover
from subscriber_agent.journal import Journal, OrderIntent
from subscriber_agent.protecting import Protecting
from subscriber_agent.situation import Rules

_WAITS = "not handed over yet: its stop still works at the engine"
_SILENT = "not handed over yet: the engine does not say whether its stop still works"
_GONE = "closed by its stop meanwhile"


class Exiting:
    """For one journal and engine. `tell` hears once of an exit that waits for its stop to be let go."""

    def __init__(
        self,
        journal: Journal,
        handover: Handover,
        protecting: Protecting,
        disk: Disk,
        tell: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._journal = journal
        self._handover = handover
        self._protecting = protecting
        self._disk = disk
        self._tell = tell
        self._told: set[str] = set()

    async def submit(self, intent: OrderIntent, rules: Rules) -> Outcome:
        """Hand over an order whose intent is on disk. UNKNOWN without a note on disk: an exit that waits, see above."""
        if intent.plan.leg is not Leg.EXIT:
            return await self._handover.submit(intent, rules)
        try:
            is_released = await self._protecting.release(intent.plan.ticker, rules)
        except EngineSilent:
            return self._waits(intent, _SILENT)
        edges.reached("exit.released")
        if not is_released:
            return self._waits(intent, _WAITS)
        left = await self._disk.brief(self._left, intent)
        if left is None:
            outcome = Outcome(OutcomeState.ABANDONED, detail=_GONE)
            await self._handover.keep(intent, outcome, rules)
            return outcome
        return await self._handover.submit(left, rules)

    def _waits(self, intent: OrderIntent, reason: str) -> Outcome:
        if intent.order_id not in self._told:
            self._told.add(intent.order_id)
            self._tell("exit_waits", {"order_id": intent.order_id, "ticker": intent.plan.ticker, "reason": reason})
        return Outcome(OutcomeState.UNKNOWN, detail=reason)

    def _left(self, intent: OrderIntent) -> OrderIntent | None:
        """The exit for the shares that are left of ours, on disk as it will go; None when there are none."""
        plan, held = intent.plan, self._journal.held(intent.plan.ticker)
        if held * plan.side.sign >= 0:
            return None
        if plan.quantity <= abs(held):
            return intent
        smaller = replace(plan, quantity=abs(held))
        self._journal.reduce_order(intent.order_id, smaller)
        return replace(intent, plan=smaller)
