"""The paper account of a replay: what the paper engine does, in memory and without a disk.

A test holds it against the real engine: the same signals lead to the same fills.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from subscriber_agent.accounting.book import Book, Fill, Leg, Position, Side, known
from subscriber_agent.engines.engine import Outcome, OutcomeState, order_id_from, triggered_order_id
from subscriber_agent.risk.decision import Decision, OrderPlan

_TICK = Decimal("0.0001")
_DAY = timedelta(days=1)
_ZERO = Decimal(0)
_NO_IDS: frozenset[str] = frozenset()
_USER = "replay"


@dataclass(frozen=True, slots=True)
class Sums:
    """What a book's parts add up to, in USD; None is not known. `shorts` is negative."""

    equity: Decimal | None
    exposure: Decimal | None
    shorts: Decimal | None

    @classmethod
    def of(cls, book: Book) -> Sums:
        """Added up from the beginning."""
        values = [each.value for each in book.positions.values()]
        shorts = None if None in values else sum((min(each or _ZERO, _ZERO) for each in values), _ZERO)
        return cls(book.equity, book.exposure, shorts)

    def moved(self, before: Book, after: Book, ticker: str) -> Sums:
        """The sums of `after`, which differs from `before` in cash and one ticker only.

        Wire decimals have few digits, so these sums are exact: adding up anew would give the same.
        """
        old, new = _value(before, ticker), _value(after, ticker)
        parts = (self.equity, self.exposure, self.shorts, old, new, before.cash, after.cash)
        if None in parts:
            return Sums.of(after)
        equity, exposure, shorts, was, is_now, cash_was, cash = (part or _ZERO for part in parts)
        return Sums(
            known(equity + cash - cash_was + is_now - was),
            known(exposure + abs(is_now) - abs(was)),
            known(shorts + min(is_now, _ZERO) - min(was, _ZERO)),
        )


@dataclass(frozen=True, slots=True)
class SummedBook(Book):
    """A book that knows its sums: adding up all positions for each decision was half of a replay's time."""

    sums: Sums = Sums(None, None, None)

    @property
    def equity(self) -> Decimal | None:
        return self.sums.equity

    @property
    def exposure(self) -> Decimal | None:
        return self.sums.exposure

    @property
    def buying_power(self) -> Decimal | None:
        shorts = self.sums.shorts
        return None if self.cash is None or shorts is None else known(self.cash + 2 * shorts)


class ReplayAccount:
    """Cash in USD, positions, and what was acted on. Slippage in 1/100 %, always against the friend."""

    def __init__(self, start_cash_usd: Decimal, slippage_bps: Decimal) -> None:
        self.book = Book(cash=start_cash_usd)
        self.sums = Sums.of(self.book)
        self.priced: set[str] = set()
        self._slippage = slippage_bps / 10_000
        self._marked_at: dict[str, datetime] = {}
        self._entries: list[datetime] = []
        self._acted: set[str] = set()

    def book_for(self, signal_id: str, now: datetime) -> Book:
        """The book that `decide` is asked with, made as the desk makes it: fills, entries of 24 hours, acted or not."""
        book, times = self.book, self._entries
        return SummedBook(
            cash=book.cash,
            positions=book.positions,
            realised_usd=book.realised_usd,
            entry_times=tuple(times[bisect_left(times, now - _DAY) :]) if times else (),
            acted_ids=_NO_IDS if signal_id not in self._acted else frozenset((signal_id,)),
            sums=self.sums,
        )

    def submit(self, plan: OrderPlan, decision: Decision) -> tuple[Outcome, Fill | None]:
        """Fill or reject the order of an accepted decision, at once and whole, at the decision's instant."""
        at = decision.decided_at
        if plan.leg is Leg.ENTRY:
            insort(self._entries, at)
        outcome = self._outcome(plan)
        if outcome.state is OutcomeState.FILLED or plan.leg is Leg.ENTRY:
            # An exit that came to nothing may be tried again by a later revision, as in the journal.
            self._acted.add(decision.signal_id)
        if outcome.state is not OutcomeState.FILLED or outcome.price is None:
            return outcome, None
        fill = _fill(order_id_from(decision.signal_id, _USER, plan.leg, decision.revision), plan, outcome.price, at)
        self._count(fill, plan.reference_price_at or at)
        return outcome, fill

    def observe(self, ticker: str, price: Decimal, at: datetime, now: datetime) -> Fill | None:
        """Mark a held ticker to a price seen at `at`, and fill its stop or target; an older price is ignored."""
        position = self.book.positions.get(ticker)
        marked_at = self._marked_at.get(ticker)
        if position is None or (marked_at is not None and at < marked_at):
            return None
        triggered = _triggered(position, price)
        if triggered is None:
            self.priced.add(ticker)
            self._marked_at[ticker] = at
            self._change(self.book.marked(ticker, price), ticker)
            return None
        leg, exit_price = triggered
        fill = self._exit_fill(position, leg, exit_price, now)
        self._count(fill, at)
        return fill

    def close(self, ticker: str, now: datetime) -> Fill | None:
        """Close a position at its last price, as a broken loss limit does when it flattens; None without a price."""
        position = self.book.positions.get(ticker)
        if position is None or position.last_price is None:
            return None
        fill = self._exit_fill(position, Leg.EXIT, position.last_price, now)
        self._count(fill, self._marked_at.get(ticker, now))
        return fill

    def _count(self, fill: Fill, marked_at: datetime) -> None:
        self._marked_at[fill.ticker] = marked_at
        self.priced.discard(fill.ticker)
        self._change(self.book.after(fill), fill.ticker)

    def _change(self, book: Book, ticker: str) -> None:
        """Take the book after something happened to one ticker."""
        self.sums = self.sums.moved(self.book, book, ticker)
        self.book = book

    def _outcome(self, plan: OrderPlan) -> Outcome:
        if plan.reference_price is None:
            return Outcome(OutcomeState.REJECTED, detail="no price is known")
        price = self._worse(plan.reference_price, plan.side)
        objection = self._objection(plan, price)
        if objection is not None:
            return Outcome(OutcomeState.REJECTED, detail=objection)
        return Outcome(OutcomeState.FILLED, plan.quantity, price)

    def _objection(self, plan: OrderPlan, price: Decimal) -> str | None:
        if plan.leg is not Leg.ENTRY:
            held = self.book.positions.get(plan.ticker)
            quantity = held.quantity if held is not None else Decimal(0)
            is_covered = quantity * plan.side.sign < 0 and abs(quantity) >= plan.quantity
            return None if is_covered else f"no position of {plan.quantity:f} {plan.ticker} to close"
        cost, power = plan.quantity * price, self.book.buying_power
        return f"{cost:.2f} USD is more than the cash at hand" if power is None or cost > power else None

    def _exit_fill(self, position: Position, leg: Leg, price: Decimal, now: datetime) -> Fill:
        side = Side.SELL if position.quantity > 0 else Side.BUY
        return Fill(
            order_id=triggered_order_id(position.opened_by, leg),
            ticker=position.ticker,
            side=side,
            leg=leg,
            quantity=abs(position.quantity),
            price=price if leg is Leg.TARGET else self._worse(price, side),
            at=now,
            catalyst=position.catalyst,
            sector=position.sector,
        )

    def _worse(self, price: Decimal, side: Side) -> Decimal:
        if self._slippage == 0:
            return price
        rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
        return max((price * (1 + side.sign * self._slippage)).quantize(_TICK, rounding), _TICK)


def _value(book: Book, ticker: str) -> Decimal | None:
    held = book.positions.get(ticker)
    return _ZERO if held is None else held.value


def _fill(order_id: str, plan: OrderPlan, price: Decimal, at: datetime) -> Fill:
    return Fill(
        order_id=order_id,
        ticker=plan.ticker,
        side=plan.side,
        leg=plan.leg,
        quantity=plan.quantity,
        price=price,
        at=at,
        stop_price=plan.stop_price,
        target_price=plan.target_price,
        catalyst=plan.catalyst,
        sector=plan.sector,
    )


def _triggered(position: Position, price: Decimal) -> tuple[Leg, Decimal] | None:
    direction = 1 if position.quantity > 0 else -1
    stop, target = position.stop_price, position.target_price
    if stop is not None and (price - stop) * direction <= 0:
        return Leg.STOP, price
    if target is not None and (price - target) * direction >= 0:
        return Leg.TARGET, target
    return None
