"""The engine `notebook`: plain methods over one file, run in a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from notebook_engine.book import Book
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Account, Holding, Outcome, WorkingOrder
from subscriber_agent.engines.plugin.threaded import SyncEngine, ThreadedEngine
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol


class Notebook(SyncEngine):
    """Every method may block: they are called one after the other, in one thread, never in the agent's own."""

    name = "notebook"
    is_paper = True

    def __init__(self, book: Book) -> None:
        self._book = book

    def capabilities(self) -> Capabilities:
        """Say only what is true: what is declared here, the agent relies on."""
        return Capabilities(shorts=False, stop_orders=True, idempotent=True)

    def start(self) -> None:
        """Connect, log in, read the file. Raise EngineUnusable for what can never work."""
        self._book.load()

    def close(self) -> None:
        """Let go of everything within 5 s; orders stay."""

    def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Rule 1: a known id answers and orders nothing."""
        return self._book.known(client_order_id) or self._book.place(plan, client_order_id)

    def lookup(self, client_order_id: str) -> Outcome | None:
        """Rule 2: None is a promise that the order never arrived."""
        return self._book.known(client_order_id)

    def cancel(self, client_order_id: str) -> Outcome | None:
        """End the order and its legs."""
        return self._book.cancel(client_order_id)

    def account(self) -> Account:
        return Account(self._book.cash, self._book.equity, is_blocked=False)

    def positions(self) -> tuple[Holding, ...]:
        return self._book.holdings()

    def orders(self) -> tuple[WorkingOrder, ...]:
        return self._book.working()

    def quote(self, ticker: str) -> Quote | None:
        """Never asked: `quotes` is not declared."""
        return None

    def symbol(self, ticker: str) -> Symbol | None:
        """Never asked: `symbols` is not declared."""
        return None

    def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """The notebook has no market of its own: prices of the wire trigger its stops and targets."""
        return self._book.seen(ticker, price)


def make(options: Mapping[str, str], context: EngineContext) -> ThreadedEngine:
    """What the entry point names. Reads its options, opens nothing yet; relative paths start at the config's folder."""
    cash = Decimal(options.get("cash_usd", "10000"))
    return ThreadedEngine(Notebook(Book(context.data / "notebook.json", cash)))
