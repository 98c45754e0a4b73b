"""A paper engine with a broker's quotes: the orders go to the first engine, only questions for prices to the second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.engine import Account, Engine, EngineEvent, Holding, Outcome, WorkingOrder
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol


class WithQuotesOf:
    """The engine `inner`, which was given `source.quote`; both live and end together. `source` never gets an order."""

    def __init__(self, inner: Engine, source: Engine) -> None:
        self._inner = inner
        self._source = source

    @property
    def name(self) -> str:
        """The name of the engine that gets the orders."""
        return self._inner.name

    @property
    def is_paper(self) -> bool:
        """That of the engine that gets the orders: a quote costs nothing."""
        return self._inner.is_paper

    def capabilities(self) -> Capabilities:
        """Those of the engine that gets the orders."""
        return self._inner.capabilities()

    async def start(self) -> None:
        """Make both ready, the prices first. Raises EngineUnusable."""
        await self._source.start()
        try:
            if not self._source.capabilities().quotes:
                raise EngineUnusable(
                    f"{self._source.name} has no quotes to give",
                    hint="Name another engine in engine.paper.quotes_from, or choose another price_source.",
                )
            await self._inner.start()
        except BaseException:
            await self._source.close()
            raise

    async def close(self) -> None:
        """Let go of both, also when one of them fails over it."""
        try:
            await self._inner.close()
        finally:
            await self._source.close()

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """As `Engine.submit`."""
        return await self._inner.submit(plan, client_order_id)

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """As `Engine.lookup`."""
        return await self._inner.lookup(client_order_id)

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """As `Engine.cancel`."""
        return await self._inner.cancel(client_order_id)

    async def account(self) -> Account:
        """As `Engine.account`."""
        return await self._inner.account()

    async def positions(self) -> tuple[Holding, ...]:
        """As `Engine.positions`."""
        return await self._inner.positions()

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """As `Engine.orders`."""
        return await self._inner.orders()

    async def quote(self, ticker: str) -> Quote | None:
        """As `Engine.quote`: the first engine was given the second one's prices."""
        return await self._inner.quote(ticker)

    async def symbol(self, ticker: str) -> Symbol | None:
        """As `Engine.symbol`."""
        return await self._inner.symbol(ticker)

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """As `Engine.observe`."""
        return await self._inner.observe(ticker, price, at)

    def events(self) -> AsyncIterator[EngineEvent]:
        """As `Engine.events`, of the engine that gets the orders."""
        return self._inner.events()
