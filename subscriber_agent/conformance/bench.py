"""What a case works with: an engine under time limits, orders that collide with nobody's, and the cleaning up."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import Engine, Outcome, OutcomeState
from subscriber_agent.engines.plugin import answers
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

# The agent's own limits: an engine that needs longer counts as silent there.
LIMITS_S = {"start": 30.0, "close": 5.0, "submit": 30.0}
ASK_LIMIT_S = 10.0
_POLL_S = 0.05

_Answer = TypeVar("_Answer")
EngineFactory = Callable[[], Engine]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Rig:
    """Where the kit may trade: `price` in USD near the market's, `quantity` in shares of one order.

    `may_trade` allows orders at all; `move_price(ticker, price)` makes the engine's market trade there, where a test
    can do that. `patience_s` is how long a fill, a cancellation or an event is waited for.
    """

    ticker: str
    price: Decimal
    quantity: Decimal = Decimal(2)
    may_trade: bool = False
    move_price: Callable[[str, Decimal], Awaitable[None]] | None = None
    clock: Callable[[], datetime] = _now
    patience_s: float = 10.0
    max_quote_age_s: float = 60.0


class Failed(Exception):
    """The engine breaks the agreement; the text says how."""


class Skipped(Exception):
    """The case cannot be tried here; the text says why."""


def require(is_true: bool, text: str) -> None:
    """Raise Failed unless it is true."""
    if not is_true:
        raise Failed(text)


@dataclass
class Bench:
    """One engine under test. `opened` are the orders that a case handed over, `handed` the ids of all so far."""

    factory: EngineFactory
    rig: Rig
    engine: Engine
    opened: list[tuple[str, OrderPlan]] = field(default_factory=list)
    handed: set[str] = field(default_factory=set)
    slowest_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    async def open(cls, factory: EngineFactory, rig: Rig) -> Bench:
        """Make the engine and start it."""
        bench = cls(factory, rig, factory())
        await bench.timed("start", bench.engine.start())
        return bench

    async def close(self) -> None:
        """Close the engine."""
        await self.timed("close", self.engine.close())

    async def reopen(self) -> None:
        """Close the engine and start another one in the same place."""
        await self.close()
        self.engine = self.factory()
        await self.timed("start", self.engine.start())

    async def timed(self, name: str, call: Awaitable[_Answer]) -> _Answer:
        """A call under the agent's own limit for it; raises Failed when it is not kept."""
        limit_s = LIMITS_S.get(name, ASK_LIMIT_S)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(limit_s):
                return await call
        except TimeoutError as error:
            raise Failed(f"{name} did not answer within {limit_s:.0f} s") from error
        finally:
            self.slowest_s[name] = max(loop.time() - began, self.slowest_s.get(name, 0.0))

    def new_id(self, leg: Leg = Leg.ENTRY) -> str:
        """An order id of our form that nobody had before."""
        return f"cs-{secrets.token_hex(16)}-{leg.value}"

    def plan(
        self,
        *,
        leg: Leg = Leg.ENTRY,
        quantity: Decimal | None = None,
        limit: Decimal | None = None,
        stop: Decimal | None = None,
        target: Decimal | None = None,
        order_type: OrderType | None = None,
        ticker: str = "",
    ) -> OrderPlan:
        """An order of the rig's size: a buy where it enters, a sell where it ends what was bought."""
        kind = order_type or (OrderType.MARKET if limit is None else OrderType.LIMIT)
        times = self.engine.capabilities().times_in_force
        return OrderPlan(
            ticker=ticker or self.rig.ticker,
            side=Side.BUY if leg is Leg.ENTRY else Side.SELL,
            leg=leg,
            quantity=self.rig.quantity if quantity is None else quantity,
            order_type=kind,
            limit_price=limit,
            stop_price=stop,
            target_price=target,
            time_in_force=TimeInForce.DAY if TimeInForce.DAY in times else TimeInForce.GTC,
            reference_price=self.rig.price,
            reference_price_at=self.rig.clock(),
            catalyst="other",
        )

    def entry(self) -> OrderPlan:
        """A buy at the market; with stop and target where the engine holds them itself."""
        if not self.engine.capabilities().brackets:
            return self.plan()
        return self.plan(stop=self.at("0.9"), target=self.at("1.2"))

    def at(self, share: str) -> Decimal:
        """A price as a share of the rig's, on its tick: two decimals from one dollar on, else four."""
        price = self.rig.price * Decimal(share)
        return price.quantize(Decimal("0.01") if price >= 1 else Decimal("0.0001"))

    async def submit(self, plan: OrderPlan, order_id: str) -> Outcome:
        """Hand over an order; the answer is checked, and the order is remembered for the cleaning up."""
        self.opened.append((order_id, plan))
        self.handed.add(order_id)
        outcome = await self.timed("submit", self.engine.submit(plan, order_id))
        return _checked("submit", outcome, answers.outcome_flaw)

    async def lookup(self, order_id: str) -> Outcome | None:
        outcome = await self.timed("lookup", self.engine.lookup(order_id))
        return outcome if outcome is None else _checked("lookup", outcome, answers.outcome_flaw)

    async def known(self, order_id: str) -> Outcome:
        """What became of an order that was handed over; raises Failed when the engine does not know it."""
        outcome = await self.lookup(order_id)
        if outcome is None:
            raise Failed("lookup says that it never saw an order that was handed over")
        return outcome

    async def cancel(self, order_id: str) -> Outcome | None:
        outcome = await self.timed("cancel", self.engine.cancel(order_id))
        return outcome if outcome is None else _checked("cancel", outcome, answers.outcome_flaw)

    async def held(self, ticker: str = "") -> Decimal:
        """Signed shares held of the rig's ticker, or of another one."""
        holdings = await self.timed("positions", self.engine.positions())
        holdings = _checked("positions", holdings, answers.positions_flaw)
        return sum((each.quantity for each in holdings if each.ticker == (ticker or self.rig.ticker)), Decimal(0))

    async def until(self, order_id: str, is_met: Callable[[Outcome], bool]) -> Outcome:
        """Look an order up until the condition is met, or the patience is over; the last answer either way."""
        outcome = await self.known(order_id)
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.rig.patience_s
        while not is_met(outcome) and loop.time() < ends:
            await asyncio.sleep(_POLL_S)
            outcome = await self.known(order_id)
        return outcome

    async def until_held(self, quantity: Decimal, ticker: str = "") -> Decimal:
        """Ask what is held until it is so much, or the patience is over; the last answer either way."""
        held = await self.held(ticker)
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.rig.patience_s
        while held != quantity and loop.time() < ends:
            await asyncio.sleep(_POLL_S)
            held = await self.held(ticker)
        return held

    async def bought(self, plan: OrderPlan | None = None) -> str:
        """Buy the rig's size and wait for the fill; the id. Raises Skipped where nothing fills just now."""
        order_id = self.new_id()
        await self.submit(plan or self.entry(), order_id)
        outcome = await self.until(order_id, lambda each: each.state.is_final)
        if outcome.state is OutcomeState.REJECTED:
            raise Skipped(f"the engine rejected the entry: {outcome.detail or 'without a reason'}")
        if not outcome.state.is_final:
            raise Skipped(f"the entry did not fill within {self.rig.patience_s:.0f} s: is the market open?")
        require(outcome.state is OutcomeState.FILLED, f"an entry at the market ended as {outcome.state}")
        return order_id

    async def sold(self, entry_id: str, quantity: Decimal) -> str:
        """Release an entry's legs and sell so much of it; the exit's id. Raises Failed when it is not FILLED."""
        if self.engine.capabilities().brackets:
            await self.release(entry_id)
        order_id = self.new_id(Leg.EXIT)
        await self.submit(self.plan(leg=Leg.EXIT, quantity=quantity), order_id)
        outcome = await self.until(order_id, lambda each: each.state.is_final)
        require(outcome.state is OutcomeState.FILLED, f"an exit ended as {outcome.state} ({outcome.detail})")
        return order_id

    async def release(self, entry_id: str) -> Outcome:
        """Cancel an entry's legs and wait until none works."""
        await self.cancel(entry_id)
        return await self.until(entry_id, lambda each: not any(leg.state.is_working for leg in each.legs))

    async def tidy(self) -> str | None:
        """End all that a case opened; what could not be closed, as a text for people."""
        opened, self.opened = self.opened, []
        can_cancel = self.engine.capabilities().cancels
        for order_id, _ in opened if can_cancel else ():
            outcome = await self.lookup(order_id)
            if outcome is not None:
                await self.release(order_id)
        left = [text for ticker in sorted({plan.ticker for _, plan in opened}) if (text := await self._closed(ticker))]
        self.opened = []
        return "; ".join(left) or None

    async def _closed(self, ticker: str) -> str | None:
        held = await self.held(ticker)
        if held:
            plan = self.plan(leg=Leg.EXIT, quantity=abs(held), ticker=ticker)
            order_id = self.new_id(Leg.EXIT)
            await self.submit(plan if held > 0 else replace(plan, side=Side.BUY), order_id)
            await self.until(order_id, lambda each: each.state.is_final)
            held = await self.until_held(Decimal(0), ticker)
        return f"{held:f} {ticker} are still held: close them yourself" if held else None


def _checked(name: str, value: _Answer, flaw_in: Callable[[object], str | None]) -> _Answer:
    flaw = flaw_in(value)
    if flaw is not None:
        raise Failed(f"{name}: {flaw}")
    return value


async def asked(bench: Bench, name: str, call: Awaitable[_Answer], flaw_in: Callable[[object], str | None]) -> _Answer:
    """A question's answer, under its time limit and well formed; raises Failed."""
    return _checked(name, await bench.timed(name, call), flaw_in)
