"""Compares what the journal says is held with what the engine says: at the start, after a gap, and by the clock.

    look 1 ── agree ──────────────────────────────────────▶ an open row is RESOLVED
       └── differ ──(a few seconds)──▶ look 2 ── agree ───▶ as above: a fill was on its way
                                          └── still ──────▶ an open row: entries are refused until a look agrees, or
                                                            the friend takes the engine's word (ACCEPTED)

It orders nothing and changes no order. Before the first look of a run has ended no entry is made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from subscriber_agent.accounting.book import ZERO, Leg, Side
from subscriber_agent.accounting.differences import (
    Difference,
    Ours,
    OwnOrder,
    OwnStop,
    Theirs,
    differences,
    lasting,
)
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import (
    Account,
    Engine,
    EngineSilent,
    Outcome,
    WorkingOrder,
    is_ours,
    triggered_order_id,
)
from subscriber_agent.inquiry import all_answered, answered, asking, silence_in
from subscriber_agent.journal import (
    EngineSnapshot,
    Journal,
    JournalReader,
    OrderRow,
    ReconcileRow,
    ReconcileState,
)
from subscriber_agent.left_alone import left_alone
from subscriber_agent.risk.protection import Holder, Protection, ProtectionState

Report = Callable[[str, dict[str, Any]], None]

# A fill shows at the broker before its message reaches us, or the other way round, for a second or two.
LOOK_AGAIN_S = 2.5
# While something differs, and while the engine does not answer.
_OPEN_AGAIN_S, _SILENT_AGAIN_S = 30.0, 5.0

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Look:
    """What the engine said at one moment."""

    at: datetime
    account: Account
    theirs: Theirs


async def asked(engine: Engine, clock: Callable[[], datetime]) -> Look:
    """Ask the engine for all it holds and all that works. Raises EngineSilent."""
    questions = [asking(each, _as_it_is) for each in (engine.account, engine.positions, engine.orders)]
    answers = await all_answered(questions, is_at_once=engine.capabilities().concurrent)
    silent = silence_in(answers)
    if silent is not None:
        raise silent
    account, holdings, orders = answers
    return Look(clock(), account, Theirs(tuple(holdings), tuple(orders)))


async def cancelled(engine: Engine, order_id: str) -> Outcome | None:
    """End what still works of an order; what became of it, None: the engine does not know it. Raises EngineSilent."""
    return await answered(partial(engine.cancel, order_id), _as_it_is)


def _as_it_is(answer: _Answer) -> _Answer:
    return answer


class Reconciling:
    """Looks at one engine for one journal, with the worker's turn held. `report` hears what is found, once.

    `every_s` is the time between two looks by the clock; it may be set at any time.
    """

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        disk: Disk,
        clock: Callable[[], datetime],
        report: Report,
        *,
        every_s: float,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._disk = disk
        self._clock = clock
        self._report = report
        self._ticks = ticks
        self.every_s = every_s
        self._due_at = -math.inf
        self._doubts: tuple[Difference, ...] = ()
        self._is_silent_told = False
        self.has_looked = False

    def ask(self) -> None:
        """Look at the next step: something may have been missed."""
        self._due_at = -math.inf

    @property
    def is_doubtful(self) -> bool:
        """Whether a first look found a difference, and the second is still to come."""
        return bool(self._doubts)

    async def step(self) -> None:
        """Look, when it is time to. Raises StorageFailed and whatever else stops the agent."""
        now = self._ticks()
        if now < self._due_at:
            return
        try:
            look = await asked(self._engine, self._clock)
        except EngineSilent as silent:
            self._due_at = now + _SILENT_AGAIN_S
            self._told_silent(str(silent))
            return
        self._is_silent_told = False
        self._due_at = now + await self._seen(look)

    async def _seen(self, look: Look) -> float:
        """Take up one look; the seconds until the next."""
        found = await self._disk.run(self._compared, look)
        sure = lasting(self._doubts, found)
        if found and not sure:
            self._doubts = found
            return LOOK_AGAIN_S
        self._doubts, self.has_looked = (), True
        row = await self._disk.run(self._written, sure)
        if row is not None:
            self._told(row)
        return min(_OPEN_AGAIN_S, self.every_s) if sure else self.every_s

    def _told_silent(self, detail: str) -> None:
        if not self._is_silent_told:
            self._is_silent_told = True
            self._report("reconcile_waits", {"engine": self._engine.name, "detail": detail})

    def _told(self, row: ReconcileRow) -> None:
        facts = {"number": row.number, "differences": [dict(each) for each in row.differences]}
        self._report("reconcile" if row.state is ReconcileState.OPEN else "reconciled", facts)

    # The journal's part: on the disk's thread -------------------------------------------------------------------

    def _compared(self, look: Look) -> tuple[Difference, ...]:
        self._journal.write_snapshot(snapshot_from(self._engine, look))
        return differences(ours_from(self._journal, look.theirs.orders), look.theirs, look.at)

    def _written(self, found: tuple[Difference, ...]) -> ReconcileRow | None:
        """Write down what lasts, or that nothing does; the row when that is news."""
        before = self._journal.open_reconcile()
        if not found:
            return None if before is None else self._journal.end_reconcile(ReconcileState.RESOLVED, self._clock())
        documents = [each.as_dict() for each in found]
        if before is not None and list(before.differences) == documents:
            return None
        row = self._journal.note_differences(documents, self._clock())
        return row if before is None or _keys(before) != _keys(row) else None


def snapshot_from(engine: Engine, look: Look) -> EngineSnapshot:
    """What the engine said, for commands beside the running agent."""
    return EngineSnapshot(
        look.at,
        engine.name,
        engine.is_paper,
        engine.capabilities(),
        look.account,
        tuple(look.theirs.holdings),
        tuple(look.theirs.orders),
    )


def ours_from(journal: JournalReader, working: Iterable[WorkingOrder]) -> Ours:
    """What the journal says; of the engine's `working` orders, the ids that it wrote."""
    held = journal.shares()
    orders = tuple(_own_order(row) for row in journal.open_intents())
    known = frozenset(
        each.order_id for each in working if is_ours(each.order_id) and _is_written(journal, each.order_id)
    )
    stops = tuple(
        stop for each in journal.protections() if (stop := _own_stop(each, held.get(each.ticker, ZERO))) is not None
    )
    return Ours(held, orders, known, stops, left_alone(journal))


def _is_written(journal: JournalReader, order_id: str) -> bool:
    entry_id = triggered_order_id(order_id, Leg.ENTRY)
    return journal.order(order_id) is not None or journal.order(entry_id) is not None


def _own_order(row: OrderRow) -> OwnOrder:
    plan, outcome = row.intent.plan, row.outcome
    filled = ZERO if outcome is None else outcome.quantity
    # When it was last heard of does not count: an order that is looked up every five seconds would excuse for ever.
    return OwnOrder(
        row.intent.order_id,
        plan.ticker,
        plan.quantity - filled,
        row.intent.created_at,
        works=outcome is not None and outcome.state.is_working,
    )


def _own_stop(protection: Protection, held: Decimal) -> OwnStop | None:
    """The stop that the engine should hold; None where we watch it ourselves, or where it is on its way."""
    is_there = protection.state is ProtectionState.CONFIRMED and protection.holder in (Holder.NATIVE, Holder.ORDER)
    if not is_there or held * protection.side.sign <= 0:
        return None
    side = Side.SELL if protection.side is Side.BUY else Side.BUY
    return OwnStop(protection.ticker, side, abs(held), protection.order_id)


def _keys(row: ReconcileRow) -> set[tuple[Any, ...]]:
    return {(each["kind"], each["ticker"], each["order_id"]) for each in row.differences}
