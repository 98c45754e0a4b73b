"""The guard around a plug-in: every answer is checked before the agent believes it, every fault is an ordinary one.

What it cannot do: interrupt code that blocks the event loop. `threaded` is for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from subscriber_agent.engines.engine import Account, Engine, EngineEvent, Holding, Outcome, WorkingOrder
from subscriber_agent.engines.plugin import answers
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_Answer = TypeVar("_Answer")
Flaw = Callable[[object], str | None]


class PluginFault(Exception):
    """The plug-in answered what no engine may answer, or broke off: a fault of the engine, like any other."""


class GuardedEngine:
    """A plug-in's engine as the agent sees it. `capabilities` were checked when it was made, and are kept."""

    def __init__(self, inner: Engine, name: str, is_paper: bool, capabilities: Capabilities) -> None:
        self._inner = inner
        self._name = name
        self._is_paper = is_paper
        self._capabilities = capabilities

    @property
    def name(self) -> str:
        """The plug-in's own name for it."""
        return self._name

    @property
    def is_paper(self) -> bool:
        """What the friend's settings say; a plug-in cannot make itself paper."""
        return self._is_paper

    def capabilities(self) -> Capabilities:
        """What it said when it was made: an engine that changes its mind is not believed."""
        return self._capabilities

    async def start(self) -> None:
        """The plug-in's own start."""
        await self._guarded("start", self._inner.start(), _nothing_flaw)

    async def close(self) -> None:
        """The plug-in's own close."""
        await self._guarded("close", self._inner.close(), _nothing_flaw)

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Hand over; an answer that is none raises PluginFault, so that the order's end is not known."""
        return await self._guarded("submit", self._inner.submit(plan, client_order_id), answers.outcome_flaw)

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order; only a true None is None."""
        return await self._guarded("lookup", self._inner.lookup(client_order_id), _or_none(answers.outcome_flaw))

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """End what still works."""
        return await self._guarded("cancel", self._inner.cancel(client_order_id), _or_none(answers.outcome_flaw))

    async def account(self) -> Account:
        """Cash and equity."""
        return await self._guarded("account", self._inner.account(), answers.account_flaw)

    async def positions(self) -> tuple[Holding, ...]:
        """All that is held."""
        return await self._guarded("positions", self._inner.positions(), answers.positions_flaw)

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All that works."""
        return await self._guarded("orders", self._inner.orders(), answers.orders_flaw)

    async def quote(self, ticker: str) -> Quote | None:
        """Best prices; without the capability the plug-in is not asked."""
        if not self._capabilities.quotes:
            return None
        return await self._guarded("quote", self._inner.quote(ticker), _or_none(answers.quote_flaw))

    async def symbol(self, ticker: str) -> Symbol | None:
        """The broker's word; without the capability the plug-in is not asked."""
        if not self._capabilities.symbols:
            return None
        return await self._guarded("symbol", self._inner.symbol(ticker), _or_none(answers.symbol_flaw))

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Show it a price."""
        return await self._guarded("observe", self._inner.observe(ticker, price, at), answers.ids_flaw)

    async def events(self) -> AsyncIterator[EngineEvent]:
        """Its events, each checked. Raises PluginFault at the first that is none."""
        if not self._capabilities.events:
            return
        iterator = aiter(self._inner.events())
        while True:
            event = await self._guarded("events", _next(iterator), _or_none(answers.event_flaw))
            if event is None:
                return
            yield event

    async def _guarded(self, method: str, call: Awaitable[_Answer], flaw_in: Flaw) -> _Answer:
        try:
            answer = await call
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled us: the plug-in let one of its own cancellations out, which would end the agent's task.
            raise PluginFault(f"{self._name}: {method} broke off by itself") from error
        except (SystemExit, KeyboardInterrupt) as error:
            raise PluginFault(f"{self._name}: {method} tried to end the program") from error
        flaw = flaw_in(answer)
        if flaw is not None:
            raise PluginFault(f"{self._name}: {method} answered wrongly: {flaw}")
        return answer


async def _next(iterator: AsyncIterator[EngineEvent]) -> EngineEvent | None:
    return await anext(iterator, None)


def _or_none(flaw_in: Flaw) -> Flaw:
    return lambda value: None if value is None else flaw_in(value)


def _nothing_flaw(value: object) -> str | None:
    return None
