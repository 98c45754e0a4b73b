"""For plug-ins whose SDK blocks: an engine of plain `def` methods, run in one thread, so that the agent never stands.

class MyBroker(SyncEngine): ...          # plain methods, in the order in which they are called
def make(options, context): return ThreadedEngine(MyBroker(options))
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

from subscriber_agent.engines.engine import Account, EngineEvent, Holding, Outcome, WorkingOrder
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")
_CLOSE_S = 4.0


class SyncEngine(Protocol):
    """The methods of `Engine` as plain ones, without events. They are called one after the other, in one thread."""

    @property
    def name(self) -> str: ...

    @property
    def is_paper(self) -> bool: ...

    def capabilities(self) -> Capabilities: ...

    def start(self) -> None: ...

    def close(self) -> None: ...

    def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome: ...

    def lookup(self, client_order_id: str) -> Outcome | None: ...

    def cancel(self, client_order_id: str) -> Outcome | None: ...

    def account(self) -> Account: ...

    def positions(self) -> tuple[Holding, ...]: ...

    def orders(self) -> tuple[WorkingOrder, ...]: ...

    def quote(self, ticker: str) -> Quote | None: ...

    def symbol(self, ticker: str) -> Symbol | None: ...

    def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]: ...


class OneThread:
    """Runs calls one after the other in a thread that cannot hold up the end of the program, however it hangs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    async def run(self, call: Callable[[Unpack[_Arguments]], _Answer], *arguments: *_Arguments) -> _Answer:
        """The call's answer. A cancellation before its turn means that it is never made; one that runs goes on."""
        if self._is_closed:
            raise RuntimeError("the engine is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: Future[_Answer] = Future()
        self._calls.put((future, lambda: call(*arguments)))
        # Cancelling the wait cancels the future; the thread leaves out what is cancelled before its turn, so that an
        # order which waited too long behind a hanging call is not placed minutes later.
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """No further calls; the thread ends after the one it is in."""
        self._is_closed = True
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001
                # It belongs to whoever waits for the answer; a thread that dies would leave every later call waiting.
                future.set_exception(error)


class ThreadedEngine:
    """An `Engine` made of a `SyncEngine`: no call of it holds up the agent, and no order of it is placed late."""

    def __init__(self, inner: SyncEngine) -> None:
        self._inner = inner
        self._thread = OneThread(f"engine-{inner.name}")

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def is_paper(self) -> bool:
        return self._inner.is_paper

    def capabilities(self) -> Capabilities:
        """The inner engine's, asked directly: it must answer from what it knows. One thread asks in turn."""
        return replace(self._inner.capabilities(), concurrent=False)

    async def start(self) -> None:
        await self._thread.run(self._inner.start)

    async def close(self) -> None:
        """Close the inner engine within 4 s; one that hangs is left behind with its thread."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._thread.run(self._inner.close)
        except TimeoutError:
            return
        finally:
            self._thread.close()

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        return await self._thread.run(self._inner.submit, plan, client_order_id)

    async def lookup(self, client_order_id: str) -> Outcome | None:
        return await self._thread.run(self._inner.lookup, client_order_id)

    async def cancel(self, client_order_id: str) -> Outcome | None:
        return await self._thread.run(self._inner.cancel, client_order_id)

    async def account(self) -> Account:
        return await self._thread.run(self._inner.account)

    async def positions(self) -> tuple[Holding, ...]:
        return await self._thread.run(self._inner.positions)

    async def orders(self) -> tuple[WorkingOrder, ...]:
        return await self._thread.run(self._inner.orders)

    async def quote(self, ticker: str) -> Quote | None:
        return await self._thread.run(self._inner.quote, ticker)

    async def symbol(self, ticker: str) -> Symbol | None:
        return await self._thread.run(self._inner.symbol, ticker)

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        return await self._thread.run(self._inner.observe, ticker, price, at)

    async def events(self) -> AsyncIterator[EngineEvent]:
        """None: a blocking SDK has nowhere to tell them from. Orders are looked up every few seconds all the same."""
        nothing: tuple[EngineEvent, ...] = ()
        for event in nothing:
            yield event
