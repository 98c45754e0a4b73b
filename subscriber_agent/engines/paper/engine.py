"""The paper engine: no broker, no money. An engine like any other, with its own file and its own pretend market.

Knows neither journal nor desk. All that touches the file runs on `disk`, one call after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from signal_contract.errors import EngineUnusable
from subscriber_agent.disk import Disk
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Account, EngineEvent, EngineSilent, Holding, Outcome, WorkingOrder
from subscriber_agent.engines.paper.account import PaperAccount
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.engines.paper.values import Standing, Terms, Tick, tick_from
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

QuoteSource = Callable[[str], Awaitable[Quote | None]]
QUOTE_TIMEOUT_S = 3.0
# A decision asks for account, positions and a quote: one look at the other engine is enough for all three.
QUOTE_EVERY_S = 1.0
_POLL_S = 2.0
_IDLE_S = 30.0
_SHORTEST_S = 0.01
# Hints that nobody takes are dropped, the oldest first: what they would have said is found by looking anyway.
_MOST_HINTS = 1000

_Answer = TypeVar("_Answer")


class PaperEngine:
    """Trades on paper, in the account of the directory `data`. The first start fixes the start cash.

    `clock` returns the aware instant that counts as now. `quotes` asks another engine, for price_source `engine`.
    `disk` is used and left to its owner; without one the work is done in the caller's thread, or in a thread of its own
    if `has_own_thread`. The file is opened by `start()`, or by the first question. One ticker's quote is asked for at
    most every `quote_every_s` seconds.
    """

    name = "paper"
    is_paper = True

    def __init__(
        self,
        data: Path,
        settings: PaperSettings | None = None,
        *,
        clock: Callable[[], datetime],
        quotes: QuoteSource | None = None,
        disk: Disk | None = None,
        has_own_thread: bool = False,
        quote_every_s: float = QUOTE_EVERY_S,
    ) -> None:
        self._data = data
        self._settings = settings or PaperSettings()
        self._clock = clock
        self._quotes = quotes if self._settings.price_source == "engine" else None
        self._terms = Terms.of(self._settings)
        has_quotes = self._settings.price_source != "signals"
        self._can = Capabilities(
            quotes=has_quotes,
            fractions=self._settings.fractions,
            stop_orders=True,
            events=has_quotes or bool(self._terms.latency) or self._terms.partial_percent > 0,
            idempotent=True,
        )
        self._given, self._has_own_thread = disk, has_own_thread
        self._disk: Disk | None = disk
        self._account: PaperAccount | None = None
        self._hints: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._asking = asyncio.Lock()
        self._fresh: dict[str, tuple[float, Tick | None]] = {}
        self._quote_every_s = quote_every_s
        self._is_closed = False
        if self._settings.price_source == "engine" and quotes is None:
            raise EngineUnusable(
                "engine.paper.price_source is engine, and no engine gives quotes",
                hint="Name one in engine.paper.quotes_from, or choose another price_source.",
            )

    def capabilities(self) -> Capabilities:
        """Long and short, stops and targets held by itself; quotes only where its prices come from elsewhere."""
        return self._can

    async def start(self) -> None:
        """Open the account. Raises EngineUnusable (the quotes file) or StorageFailed."""
        self._is_closed = False
        await self._run(lambda account: account.standing)

    async def close(self) -> None:
        """Close the files; orders stay, and `start()` opens them again."""
        self._is_closed = True
        self._wake.set()
        if self._disk is None:
            return
        disk, account = self._disk, self._account
        self._account = None
        if account is not None:
            await disk.run(account.close)
        if self._given is None:
            disk.close()
            self._disk = None

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Fill, reject or take the order. The same id again returns what became of it."""
        news = await self._news(plan.ticker)
        outcome, touched = await self._run(lambda account: account.submit(plan, client_order_id, self._clock(), news))
        self._hint(touched, is_due=outcome.state.is_working)
        return outcome

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order, with its legs; None: it was never submitted, for the file is complete."""
        news = await self._news()
        outcome, touched = await self._run(lambda account: account.lookup(client_order_id, self._clock(), news))
        self._hint(touched)
        return outcome

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """End what still works of an order and of its legs, at once."""
        news = await self._news()
        outcome, touched = await self._run(lambda account: account.cancel(client_order_id, self._clock(), news))
        self._hint(touched)
        return outcome

    async def account(self) -> Account:
        """Cash and equity in USD at the latest known prices."""
        return (await self._standing()).account()

    async def positions(self) -> tuple[Holding, ...]:
        """Open positions, sorted by ticker."""
        return (await self._standing()).holdings()

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All that works, legs included, sorted by order id."""
        return (await self._standing()).working()

    async def quote(self, ticker: str) -> Quote | None:
        """The price that an order would meet now; None where the signals' own prices are all that is known."""
        if self._quotes is not None:
            return await self._quotes(ticker)
        await self._standing()
        tick = await self._run(lambda account: account.latest(ticker))
        return None if tick is None else Quote(tick.bid, tick.ask, tick.last, tick.at)

    async def symbol(self, ticker: str) -> Symbol | None:
        """None: there is no broker to say anything."""
        return None

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Mark a ticker to `price`, seen at `at`, and fill what it reaches; the entries and orders to look up.

        An older price than the last one is ignored, and each where prices come from elsewhere.
        """
        news = await self._news()
        return await self._run(lambda account: account.observe(ticker, price, at, self._clock(), news))

    async def events(self) -> AsyncIterator[EngineEvent]:
        """A hint for each order that filled or ended by itself; ends with `close()`."""
        while not self._is_closed:
            self._wake.clear()
            standing = await self._standing()
            while self._hints:
                order_id = next(iter(self._hints))
                del self._hints[order_id]
                yield EngineEvent(order_id)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s(standing)):
                    await self._wake.wait()

    # Inside -----------------------------------------------------------------------------------------------------

    async def _standing(self) -> Standing:
        news = await self._news()
        standing, touched = await self._run(lambda account: account.catch_up(self._clock(), news))
        self._hint(touched)
        return standing

    async def _run(self, call: Callable[[PaperAccount], _Answer]) -> _Answer:
        if self._is_closed:
            raise EngineSilent("the paper engine is closed")
        if self._disk is None:
            self._disk = Disk.threaded() if self._has_own_thread else Disk.inline()
        # Opening may check the whole file: not here, and not twice.
        go = self._disk.run if self._account is None else self._disk.brief
        return await go(lambda: call(self._opened()))

    def _opened(self) -> PaperAccount:
        """On the disk's thread, so that two first questions open one account."""
        if self._account is None:
            self._account = PaperAccount.open(self._data, self._settings, self.capabilities())
        return self._account

    async def _news(self, ticker: str = "") -> tuple[Tick, ...]:
        """What another engine quotes now for all that is watched and for `ticker`; () without such an engine."""
        if self._quotes is None:
            return ()
        watched = await self._run(lambda account: account.standing.watched)
        wanted = sorted(each for each in watched | {ticker} if each)
        # One at a time: a second question must find the first one's answer, and not go without.
        async with self._asking:
            due = [each for each in wanted if self._is_due(each)]
            found = await asyncio.gather(*(self._asked(self._quotes, each) for each in due))
            now = asyncio.get_running_loop().time()
            self._fresh.update((each, (now, tick)) for each, tick in zip(due, found, strict=True))
        ticks = (self._fresh[each][1] for each in wanted)
        return tuple(each for each in ticks if each is not None)

    def _is_due(self, ticker: str) -> bool:
        asked_at, _ = self._fresh.get(ticker, (None, None))
        return asked_at is None or asyncio.get_running_loop().time() - asked_at >= self._quote_every_s

    async def _asked(self, quotes: QuoteSource, ticker: str) -> Tick | None:
        """One quote as a tick. A source that is silent has no news; what else it raises is a fault, and passes."""
        try:
            async with asyncio.timeout(QUOTE_TIMEOUT_S):
                return tick_from(ticker, await quotes(ticker), self._terms)
        except (TimeoutError, EngineSilent):
            return None

    def _hint(self, touched: tuple[str, ...], *, is_due: bool = False) -> None:
        """Keep what happened by itself for `events`, and wake it, also for what will become due."""
        self._hints.update(dict.fromkeys(touched))
        while len(self._hints) > _MOST_HINTS:
            del self._hints[next(iter(self._hints))]
        if touched or is_due:
            self._wake.set()

    def _rest_s(self, standing: Standing) -> float:
        """How long nothing can happen by itself: until the next order is due, or the next look at other prices."""
        now = self._clock()
        due = [each.due_at - now for each in standing.orders.values() if each.due_at is not None and each.due_at > now]
        longest = _POLL_S if self.capabilities().quotes else _IDLE_S
        return max(min([longest, *(each.total_seconds() for each in due)]), _SHORTEST_S)


def make(settings: PaperSettings, context: EngineContext, *, quotes: QuoteSource | None = None) -> PaperEngine:
    """The engine of a config, with a thread of its own; nothing is opened before its start. Raises EngineUnusable."""
    file = settings.quotes_file
    placed = settings if file is None else settings.model_copy(update={"quotes_file": context.path(file)})
    return PaperEngine(context.data, placed, clock=context.clock, quotes=quotes, has_own_thread=True)
