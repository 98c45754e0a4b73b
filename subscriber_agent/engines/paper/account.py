"""The paper account: each step is worked out by the market and counts once it is on disk. Runs on the disk's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Self

from signal_contract import edges
from subscriber_agent.engines.engine import Account, Holding, Outcome
from subscriber_agent.engines.fitting import objection
from subscriber_agent.engines.paper import market
from subscriber_agent.engines.paper.quotes import QuoteTape
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.engines.paper.store import STORE_FILE, PaperStore
from subscriber_agent.engines.paper.takeover import beginning
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.engines.paper.values import Standing, Terms, Tick, is_price, tick_of
from subscriber_agent.risk.decision import OrderPlan, TimeInForce
from subscriber_agent.risk.market import Capabilities

_Ids = tuple[str, ...]


class PaperAccount:
    """One open account. `can` is what the engine says of itself: an order beyond it is rejected.

    Every call takes `news`, prices of another engine that came just now, and gives the orders that they touched.
    """

    def __init__(self, store: PaperStore, terms: Terms, can: Capabilities, tape: QuoteTape | None) -> None:
        self._store = store
        self._terms = terms
        self._can = can
        self._tape = tape
        self._latest: dict[str, Tick] = {} if tape is None else tape.latest
        self.standing: Standing = store.standing()

    @classmethod
    def open(cls, data: Path, settings: PaperSettings, can: Capabilities) -> Self:
        """Open the account in `data`, or begin it: with what an earlier version kept in the journal there, if it did.

        Raises EngineUnusable (the quotes file), StorageFailed.
        """
        terms = Terms.of(settings)
        is_from_file = settings.price_source == "quotes_file" and settings.quotes_file is not None
        tape = QuoteTape(settings.quotes_file, terms) if is_from_file and settings.quotes_file else None
        try:
            store = PaperStore.open(data / STORE_FILE, fresh=partial(beginning, data, settings.start_cash_usd))
        except BaseException:
            if tape is not None:
                tape.close()
            raise
        return cls(store, terms, can, tape)

    def close(self) -> None:
        """Close the files; orders stay."""
        try:
            if self._tape is not None:
                self._tape.close()
        finally:
            self._store.close()

    @property
    def start_cash_usd(self) -> Decimal:
        """What the account began with."""
        return self._store.start_cash_usd

    @property
    def commits(self) -> int:
        """How often something was written to disk since it was opened."""
        return self._store.commits

    def submit(self, plan: OrderPlan, order_id: str, now: datetime, news: Iterable[Tick]) -> tuple[Outcome, _Ids]:
        """Take an order once; the same id again returns what became of it."""

        def step(turn: Turn) -> None:
            if self._store.order(order_id) is None:
                market.arrive(turn, order_id, plan, now, self._terms, self._own, _reason(plan, self._can))

        touched = self._step(step, now, news)
        outcome = self._outcome(order_id)
        if outcome is None:  # unreachable: the step has written it
            raise LookupError(order_id)
        return outcome, tuple(each for each in touched if each != order_id)

    def lookup(self, order_id: str, now: datetime, news: Iterable[Tick]) -> tuple[Outcome | None, _Ids]:
        """What became of an order or a leg, once the market is up to `now`; None: it was never handed over."""
        touched = self._step(_nothing, now, news)
        return self._outcome(order_id), tuple(each for each in touched if each != order_id)

    def cancel(self, order_id: str, now: datetime, news: Iterable[Tick]) -> tuple[Outcome | None, _Ids]:
        """End what still works of an order, its legs included."""
        touched = self._step(lambda turn: market.cancel(turn, order_id), now, news)
        return self._outcome(order_id), tuple(each for each in touched if each != order_id)

    def observe(self, ticker: str, price: Decimal, at: datetime, now: datetime, news: Iterable[Tick]) -> _Ids:
        """A price seen on the wire; a market with prices of its own is brought up to `now` instead."""
        if self._own is not None or not is_price(price) or at.utcoffset() is None:
            return self._step(_nothing, now, news)
        tick = tick_of(ticker, price, at, self._terms)
        if ticker not in self.standing.watched:
            return self._step(_nothing, now, news)
        return self._step(lambda turn: market.price_came(turn, tick, now, self._terms), now, news)

    def catch_up(self, now: datetime, news: Iterable[Tick]) -> tuple[Standing, _Ids]:
        """Bring the market up to `now`; the account as it is then."""
        touched = self._step(_nothing, now, news)
        return self.standing, touched

    def latest(self, ticker: str) -> Tick | None:
        """The last price that the market's own source gave."""
        return self._latest.get(ticker)

    @property
    def _own(self) -> Mapping[str, Tick] | None:
        return self._latest if self._can.quotes else None

    def _step(self, do: Callable[[Turn], None], now: datetime, news: Iterable[Tick]) -> _Ids:
        """Work out what happens and write it; worked out anew if somebody else wrote to the file meanwhile."""
        if self._store.is_changed_elsewhere():
            self.standing = self._store.standing()
        ticks = [*news, *(() if self._tape is None else self._tape.until(now, self.standing.watched))]
        if do is _nothing and not ticks and not _is_due(self.standing, now):
            return ()
        if self._tape is None:
            self._latest.update((tick.ticker, tick) for tick in ticks)
        while True:
            turn = Turn(self.standing)
            for tick in ticks:
                market.price_came(turn, tick, now, self._terms)
            market.time_passed(turn, now, self._terms, self._own)
            do(turn)
            if self._is_nothing_to_keep(turn) or self._store.write(turn):
                break
            self.standing = self._store.standing()
        self.standing = turn.standing()
        if turn.changed:
            edges.reached("paper.committed")
        return turn.touched

    def _is_nothing_to_keep(self, turn: Turn) -> bool:
        """Prices of another source are not worth a commit of their own: they come again after a restart."""
        return turn.is_empty or (self._own is not None and not turn.changed and not turn.fills)

    def _outcome(self, order_id: str) -> Outcome | None:
        order = self._store.order(order_id)
        return None if order is None else order.outcome(self._store.legs(order_id))


def account_beside(data: Path) -> tuple[Account, tuple[Holding, ...]]:
    """Account and holdings of the paper account in `data`, read beside the running agent at the latest known prices.

    Raises NotFound before the first start, StorageFailed.
    """
    store = PaperStore.open(data / STORE_FILE, read_only=True)
    try:
        standing = store.standing()
    finally:
        store.close()
    return standing.account(), standing.holdings()


def _nothing(turn: Turn) -> None:
    """Only let time pass."""


def _is_due(standing: Standing, now: datetime) -> bool:
    """Whether the passing of time may do something to an order."""
    orders = standing.orders.values()
    return any(
        (each.due_at is not None and each.due_at <= now) or each.plan.time_in_force is TimeInForce.DAY
        for each in orders
    )


def _reason(plan: OrderPlan, can: Capabilities) -> str | None:
    numbers = (plan.quantity, plan.limit_price, plan.stop_price, plan.target_price)
    if any(each is not None and not each.is_finite() for each in numbers):
        return "a number in it is none"
    return objection(plan, can)
