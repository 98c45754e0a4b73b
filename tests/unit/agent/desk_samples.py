"""Desks over a real journal, a clock that a test sets, and an engine that says what a test tells it to."""

from __future__ import annotations

from datetime import datetime, timedelta

from agent_samples import NOW, D, a_config, an_arrival

from subscriber_agent.desk import Desk
from subscriber_agent.engines.engine import Account, Outcome, OutcomeState
from subscriber_agent.engines.paper import PaperEngine
from subscriber_agent.risk.market import Capabilities


class Clock:
    """The time that a test says it is."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Broker:
    """An engine with real money behind it, as far as the desk can tell: answers what is set, and counts orders.

    `trouble` is raised by every call; `answer` is what an order comes to instead of being filled at its price.
    """

    name = "broker"
    is_paper = False

    def __init__(self, *positions, can=None, quote=None, symbol=None, is_blocked=False):
        self.held = {each.ticker: each for each in positions}
        self.can = can or Capabilities()
        self.price, self.word, self.is_blocked = quote, symbol, is_blocked
        self.trouble = self.answer = None
        self.orders, self.handed_over = {}, []

    def capabilities(self):
        return self.can

    async def submit(self, plan, client_order_id):
        self.handed_over.append(client_order_id)
        self._complain()
        outcome = self.answer or Outcome(OutcomeState.FILLED, plan.quantity, plan.reference_price)
        self.orders[client_order_id] = outcome
        if outcome.state is OutcomeState.FILLED and plan.leg.value != "entry":
            self.held.pop(plan.ticker, None)
        return outcome

    async def lookup(self, client_order_id):
        self._complain()
        return self.orders.get(client_order_id)

    async def account(self):
        self._complain()
        return Account(D(10000), D(10000), is_blocked=self.is_blocked)

    async def positions(self):
        self._complain()
        return tuple(self.held.values())

    async def quote(self, ticker):
        return self.price

    async def symbol(self, ticker):
        return self.word

    async def observe(self, ticker, price, at):
        self._complain()
        return []

    def _complain(self):
        if self.trouble is not None:
            raise self.trouble


class Watched:
    """A desk, its clock, and what it told between the signals."""

    def __init__(self, journal, engine=None, *, clock=None, **config):
        self.journal = journal
        self.clock = clock or Clock()
        self.engine = engine or PaperEngine(journal, start_cash_usd=D(10000), clock=self.clock)
        if engine is not None and not engine.is_paper:
            config = {"mode": "live", **config}
        self.config = a_config(journal.path.parent, **config)
        self.desk = Desk(self.config, journal, self.engine, self.clock, user="alice")
        self.told = []
        self.desk.tell = lambda event, facts: self.told.append((event, facts))
        self._seq = journal.last_sequence()

    def receive(self, *signals):
        for each in signals:
            self._seq += 1
            self.journal.record([an_arrival(self._seq, each, self.clock())])

    async def settled(self, *signals):
        """Receive these and decide all that is undecided; the labels."""
        self.receive(*signals)
        return [each.label async for each in self.desk.settle()]

    async def settled_approved(self):
        return [each async for each in self.desk.settle_approved()]

    def of(self, event):
        return [facts for each, facts in self.told if each == event]

    def restarted(self, engine=None):
        """The same journal and moment, another process."""
        again = Watched(self.journal, engine or self.engine, clock=self.clock)
        again.config = self.config
        again.desk = Desk(self.config, self.journal, again.engine, self.clock, user="alice")
        again.desk.tell = lambda event, facts: again.told.append((event, facts))
        return again
