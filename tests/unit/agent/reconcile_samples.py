"""An engine that holds what a test says, its faults, and the moments that a test lets pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from agent_samples import NOW, D

from subscriber_agent.accounting.book import Fill, Leg, Side
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import Account, Holding
from subscriber_agent.reconciling import Reconciling
from subscriber_agent.risk.market import Capabilities


@dataclass
class Brokerage:
    """An engine's side of the account; `trouble` is raised by every question."""

    held: dict = field(default_factory=dict)
    working: tuple = ()
    trouble: Exception | None = None
    asked: int = 0
    name: str = "broker"
    is_paper: bool = False

    def capabilities(self):
        return Capabilities()

    async def account(self):
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return Account(D(10_000), D(10_000), is_blocked=False)

    async def positions(self):
        return tuple(Holding(ticker, D(shares), D(5), D(6)) for ticker, shares in sorted(self.held.items()))

    async def orders(self):
        return self.working


class Looking:
    """A Reconciling over a journal, with an engine and clocks of the test's own."""

    def __init__(self, journal, engine, *, every_s=300.0):
        self.journal, self.engine = journal, engine
        self.at, self.ticked = NOW, 0.0
        self.told = []
        self.reconciling = Reconciling(
            journal,
            engine,
            Disk.inline(),
            lambda: self.at,
            lambda event, facts: self.told.append((event, facts)),
            every_s=every_s,
            ticks=lambda: self.ticked,
        )

    def passes(self, seconds):
        self.at += timedelta(seconds=seconds)
        self.ticked += seconds

    async def step(self, after_s=0.0):
        self.passes(after_s)
        await self.reconciling.step()

    @property
    def events(self):
        return [event for event, _ in self.told]

    @property
    def open_kinds(self):
        row = self.journal.open_reconcile()
        return None if row is None else [(each["kind"], each["ticker"]) for each in row.differences]


def bought(ticker="AAPL", shares=100, *, price="5", at=NOW, side=Side.BUY, leg=Leg.ENTRY):
    """One execution in our own log."""
    return Fill(f"cs-{ticker.lower() * 8}-{leg.value}", ticker, side, leg, D(shares), D(price), at, catalyst="fda")
