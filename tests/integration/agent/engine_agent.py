"""A worker over an engine that a test holds in its hand: what it holds, what works there, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from signal_contract.creds import read_creds
from signal_contract.model import Session
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.desk import Desk
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import (
    Account,
    EngineEvent,
    Holding,
    LegOutcome,
    Outcome,
    OutcomeState,
    WorkingOrder,
    triggered_order_id,
)
from subscriber_agent.journal import Journal
from subscriber_agent.risk.decision import OrderType
from subscriber_agent.risk.market import Capabilities, Quote
from subscriber_agent.settings.config import load_config
from subscriber_agent.worker import Worker


def now() -> datetime:
    return datetime.now(UTC)


def in_session() -> datetime:
    """A clock that runs in New York's regular session: prices are watched then only."""
    return now() + _TO_THE_SESSION


def _to_the_session() -> timedelta:
    step, here = timedelta(minutes=30), now()
    for count in range(48 * 10):
        moment = here + count * step
        if {NYSE.session_at(moment), NYSE.session_at(moment + step)} == {Session.REGULAR}:
            return count * step
    raise AssertionError("no session within ten days")


_TO_THE_SESSION = _to_the_session()


class HandEngine:
    """Fills everything at its reference price, and holds the stop of each entry; paper, so that no gate is in the way.

    `held` may be changed by hand. `quotes` are bid prices by ticker; with `brackets=False` stops are watched by us.
    """

    name = "hand"
    is_paper = True

    def __init__(self, *, brackets: bool = True, events: bool = True) -> None:
        self.held: dict[str, Decimal] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.plans: dict[str, Any] = {}
        self.strange: tuple[WorkingOrder, ...] = ()
        self.quotes: dict[str, Decimal] = {}
        self.calls: list[str] = []
        self.hints: asyncio.Queue[EngineEvent | Exception] = asyncio.Queue()
        self.start_trouble: list[Exception] = []
        self.clock: Callable[[], datetime] = now
        self._can = Capabilities(brackets=brackets, quotes=not brackets, events=events, idempotent=True)

    def capabilities(self) -> Capabilities:
        return self._can

    async def start(self) -> None:
        self.calls.append("start")
        if self.start_trouble:
            raise self.start_trouble.pop(0)

    async def close(self) -> None:
        self.calls.append("close")

    async def submit(self, plan: Any, order_id: str) -> Outcome:
        self.calls.append("submit")
        if order_id not in self.outcomes:
            legs = ()
            if plan.leg is Leg.ENTRY and plan.stop_price is not None and self._can.brackets:
                stop = triggered_order_id(order_id, Leg.STOP)
                legs = (LegOutcome(Leg.STOP, stop, OutcomeState.ACCEPTED, plan.quantity, plan.stop_price),)
            self._move(plan.ticker, plan.side.sign * plan.quantity)
            self.plans[order_id] = plan
            self.outcomes[order_id] = Outcome(OutcomeState.FILLED, plan.quantity, plan.reference_price, legs=legs)
        return self.outcomes[order_id]

    def stop_out(self, order_id: str, price: str) -> None:
        """The stop of an entry fills, as at a broker: nobody asked."""
        entry, plan = self.outcomes[order_id], self.plans[order_id]
        (leg,) = entry.legs
        self._move(plan.ticker, -plan.side.sign * plan.quantity)
        done = LegOutcome(
            leg.leg, leg.order_id, OutcomeState.FILLED, leg.protects, leg.trigger_price, leg.protects, Decimal(price)
        )
        self.outcomes[order_id] = Outcome(entry.state, entry.quantity, entry.price, legs=(done,))

    def _move(self, ticker: str, shares: Decimal) -> None:
        self.held[ticker] = self.held.get(ticker, Decimal(0)) + shares

    async def lookup(self, order_id: str) -> Outcome | None:
        self.calls.append("lookup")
        return self.outcomes.get(order_id)

    async def cancel(self, order_id: str) -> Outcome | None:
        self.calls.append("cancel")
        found = self.outcomes.get(order_id)
        if found is None or not found.legs:
            return found
        legs = tuple(
            each
            if each.state.is_final
            else LegOutcome(each.leg, each.order_id, OutcomeState.CANCELLED, each.protects, each.trigger_price)
            for each in found.legs
        )
        self.outcomes[order_id] = Outcome(found.state, found.quantity, found.price, legs=legs)
        return self.outcomes[order_id]

    async def account(self) -> Account:
        return Account(Decimal(10_000), Decimal(10_000), is_blocked=False)

    async def positions(self) -> tuple[Holding, ...]:
        self.calls.append("positions")
        return tuple(
            Holding(ticker, shares, Decimal(5), Decimal(5)) for ticker, shares in sorted(self.held.items()) if shares
        )

    async def orders(self) -> tuple[WorkingOrder, ...]:
        self.calls.append("orders")
        working = [
            WorkingOrder(leg.order_id, plan.ticker, _opposite(plan.side), leg.protects, order_type=OrderType.STOP)
            for order_id, outcome in self.outcomes.items()
            for leg in outcome.legs
            if leg.state.is_working and (plan := self.plans[order_id])
        ]
        return (*working, *self.strange)

    async def quote(self, ticker: str) -> Quote | None:
        price = self.quotes.get(ticker)
        return None if price is None else Quote(price, price, price, self.clock())

    async def symbol(self, ticker: str) -> None:
        return None

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        return ()

    async def events(self):
        while True:
            found = await self.hints.get()
            if isinstance(found, Exception):
                raise found
            yield found


class HandAgent:
    """A worker over a HandEngine, put together as `run` does it."""

    def __init__(
        self, config: Path, name: str = "alice", *, engine: Any = None, clock: Any = now, **changes: Any
    ) -> None:
        loaded = load_config(config)
        # Tests run at the hour of the machine.
        at_any_time = loaded.risk.model_copy(update={"sessions": tuple(Session), **changes})
        self.settings = settings = loaded.model_copy(update={"risk": at_any_time})
        self.creds = creds = read_creds(settings.creds, role="subscriber")
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.journal = Journal.open(settings.data_dir(creds.user, creds.account) / "journal.sqlite")
        self.disk = Disk.threaded()
        self.engine = HandEngine() if engine is None else engine
        self.engine.clock = clock
        self.desk = Desk(settings, self.journal, self.engine, clock, user=name, disk=self.disk)
        self.stop = asyncio.Event()
        self.worker = Worker(settings, creds, self.journal, self.desk, self._note, disk=self.disk)

    def _note(self, event: str, facts: dict[str, Any]) -> None:
        self.reports.append((event, facts))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [facts for event, facts in self.reports if event == kind]

    @property
    def labels(self) -> list[str]:
        return [facts["label"] for facts in self.of("decision")]

    async def run(self, *, connect_timeout_s: float = 2, until_drained: bool = False) -> None:
        try:
            async with asyncio.timeout(90):
                await self.worker.run(self.stop, connect_timeout_s=connect_timeout_s, until_drained=until_drained)
        finally:
            self.disk.close()
            self.journal.close()


@asynccontextmanager
async def at_work(agent: HandAgent, until: Any, *, up_to: str = "caught_up", **options: Any):
    """The agent in the background, up to one of its reports; stopped at the end."""
    task = asyncio.create_task(agent.run(**options))
    await until(lambda: task.done() or bool(agent.of(up_to)), what=f"it has come to {up_to}")
    try:
        yield task
    finally:
        agent.stop.set()
        await task


def _opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY
