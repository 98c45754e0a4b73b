"""The paper engine: no broker, no money. Cash, positions and fills live in the journal and survive kill -9.

Entries and exits fill at once at the plan's reference price, made worse by `slippage_bps`. Stops and targets are
triggered by prices seen on the wire: a stop fills at the price seen (a gap is a gap), a target at its own price.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from signal_contract import edges
from subscriber_agent.accounting.book import Book, Fill, Leg, Position, Side, book_from
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import Account, Outcome, OutcomeState, triggered_order_id
from subscriber_agent.journal import Journal
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce, text_of
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

START_CASH = "paper_start_cash_usd"
_TICK = Decimal("0.0001")


class PaperEngine:
    """Trades on paper. The first start fixes the start cash in the journal; a later setting does not rewrite history.

    `clock` returns the aware instant that fills are stamped with. What is written and read runs on `disk`.
    """

    name = "paper"
    is_paper = True

    def __init__(
        self,
        journal: Journal,
        *,
        start_cash_usd: Decimal,
        clock: Callable[[], datetime],
        slippage_bps: Decimal = Decimal(0),
        disk: Disk | None = None,
    ) -> None:
        self._journal = journal
        self._disk = disk or Disk.inline()
        self._clock = clock
        self._slippage = slippage_bps / 10_000
        if journal.meta(START_CASH) is None:
            journal.set_meta(START_CASH, text_of(start_cash_usd))
        self.start_cash_usd = Decimal(journal.meta(START_CASH) or start_cash_usd)
        self._folded = Book(cash=self.start_cash_usd)
        self._folded_fills = 0

    def capabilities(self) -> Capabilities:
        """Whole shares, long and short, with stops; no quotes and no word of a broker on any ticker."""
        return Capabilities()

    async def quote(self, ticker: str) -> Quote | None:
        """None: the signal's own price is all that is known."""
        return None

    async def symbol(self, ticker: str) -> Symbol | None:
        """None: there is no broker to say anything."""
        return None

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Fill or reject at once. The same id again returns the first outcome."""
        return await self._disk.run(self._submit, plan, client_order_id)

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """The outcome that was written down; None: it was never submitted (the journal is complete)."""
        return await self._disk.run(self._journal.paper_outcome, client_order_id)

    async def account(self) -> Account:
        """Cash and equity in USD at the latest known prices."""
        book = await self._disk.run(self.book)
        return Account(book.cash, book.equity, is_blocked=False)

    async def positions(self) -> tuple[Position, ...]:
        """Open positions, sorted by ticker."""
        book = await self._disk.run(self.book)
        return tuple(position for _, position in sorted(book.positions.items()))

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> list[Fill]:
        """Mark a held ticker to `price`, seen at `at`, and fill its stop or target; an older price is ignored."""
        return await self._disk.run(self._observe, ticker, price, at)

    def _submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        first = self._journal.paper_outcome(client_order_id)
        if first is not None:
            return first
        outcome = self._outcome(plan)
        self._write(client_order_id, plan, outcome, self._clock())
        return outcome

    def _observe(self, ticker: str, price: Decimal, at: datetime) -> list[Fill]:
        position = self.book().positions.get(ticker)
        if position is None:
            return []
        marked = self._journal.marks().get(ticker)
        if marked is not None and at < marked[1]:
            return []
        triggered = _triggered(position, price)
        if triggered is None:
            self._journal.write_mark(ticker, price, at)
            return []
        leg, exit_price = triggered
        return self._exit(position, leg, exit_price, at)

    def book(self) -> Book:
        """Cash and positions, with every fill booked and every ticker at its latest known price."""
        new = self._journal.fills(after=self._folded_fills)
        for fill in new:
            self._folded = self._folded.after(fill)
        self._folded_fills += len(new)
        book = self._folded
        for ticker, (price, _) in self._journal.marks().items():
            book = book.marked(ticker, price)
        return book

    def _exit(self, position: Position, leg: Leg, price: Decimal, at: datetime) -> list[Fill]:
        plan = OrderPlan(
            ticker=position.ticker,
            side=Side.SELL if position.quantity > 0 else Side.BUY,
            leg=leg,
            quantity=abs(position.quantity),
            order_type=OrderType.LIMIT if leg is Leg.TARGET else OrderType.MARKET,
            limit_price=price if leg is Leg.TARGET else None,
            stop_price=None,
            target_price=None,
            time_in_force=TimeInForce.GTC,
            reference_price=price,
            reference_price_at=at,
            catalyst=position.catalyst,
        )
        fill_price = price if leg is Leg.TARGET else self._worse(price, plan.side)
        outcome = Outcome(OutcomeState.FILLED, plan.quantity, fill_price, f"{leg.value} triggered")
        fill = self._write(triggered_order_id(position.opened_by, leg), plan, outcome, self._clock())
        return [fill] if fill is not None else []

    def _outcome(self, plan: OrderPlan) -> Outcome:
        if plan.reference_price is None:
            return Outcome(OutcomeState.REJECTED, detail="no price is known")
        price = self._worse(plan.reference_price, plan.side)
        reason = self._objection(plan, price)
        if reason is not None:
            return Outcome(OutcomeState.REJECTED, detail=reason)
        return Outcome(OutcomeState.FILLED, plan.quantity, price)

    def _objection(self, plan: OrderPlan, price: Decimal) -> str | None:
        book = self.book()
        held = book.positions.get(plan.ticker)
        if plan.leg is not Leg.ENTRY:
            held_quantity = held.quantity if held is not None else Decimal(0)
            is_covered = held_quantity * plan.side.sign < 0 and abs(held_quantity) >= plan.quantity
            return None if is_covered else f"no position of {plan.quantity:f} {plan.ticker} to close"
        cost, power = plan.quantity * price, book.buying_power
        if power is None or cost > power:
            return f"{cost:.2f} USD is more than the cash at hand"
        return None

    def _worse(self, price: Decimal, side: Side) -> Decimal:
        """Slippage is always against the friend, also in rounding; without slippage the price stays exact."""
        if self._slippage == 0:
            return price
        rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
        moved = (price * (1 + side.sign * self._slippage)).quantize(_TICK, rounding)
        return max(moved, _TICK)

    def _write(self, order_id: str, plan: OrderPlan, outcome: Outcome, now: datetime) -> Fill | None:
        fill = None
        if outcome.state is OutcomeState.FILLED and outcome.price is not None:
            fill = Fill(
                order_id=order_id,
                ticker=plan.ticker,
                side=plan.side,
                leg=plan.leg,
                quantity=outcome.quantity,
                price=outcome.price,
                at=now,
                stop_price=plan.stop_price,
                target_price=plan.target_price,
                catalyst=plan.catalyst,
                sector=plan.sector,
            )
        written = self._journal.write_paper_order(order_id, plan, outcome, fill, now, plan.reference_price_at or now)
        edges.reached("paper.committed")
        return fill if written else None


def paper_book(journal: Journal, start_cash_usd: Decimal) -> Book:
    """The paper account as a journal opened read-only shows it; `start_cash_usd` counts until the first start."""
    start = journal.meta(START_CASH)
    return book_from(
        journal.fills(),
        start_cash=start_cash_usd if start is None else Decimal(start),
        marks={ticker: price for ticker, (price, _) in journal.marks().items()},
    )


def _triggered(position: Position, price: Decimal) -> tuple[Leg, Decimal] | None:
    direction = 1 if position.quantity > 0 else -1
    stop, target = position.stop_price, position.target_price
    if stop is not None and (price - stop) * direction <= 0:
        return Leg.STOP, price
    if target is not None and (price - target) * direction >= 0:
        return Leg.TARGET, target
    return None
