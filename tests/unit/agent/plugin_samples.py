"""Plug-ins for tests: packages written into a folder, and an engine whose answers a test chooses."""

import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Account, Outcome, OutcomeState
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities

FILLED = Outcome(OutcomeState.FILLED, Decimal(2), Decimal(5))
ALL = Capabilities(quotes=True, symbols=True, events=True)


def a_context(path: Path) -> EngineContext:
    return EngineContext(data=path, home=path, user="alice", environ={})


def a_plan(**changes: Any) -> OrderPlan:
    """A buy of two shares at the market."""
    fields: dict[str, Any] = {
        "ticker": "ABCD",
        "side": Side.BUY,
        "leg": Leg.ENTRY,
        "quantity": Decimal(2),
        "order_type": OrderType.MARKET,
        "limit_price": None,
        "stop_price": Decimal("4.5"),
        "target_price": Decimal(6),
        "time_in_force": TimeInForce.DAY,
        "reference_price": Decimal(5),
        "reference_price_at": None,
        "catalyst": "fda",
    }
    return OrderPlan(**{**fields, **changes})


class Answering:
    """An engine that answers what it was told to; an exception is raised, a coroutine function is awaited."""

    name = "answering"
    is_paper = True

    def __init__(self, can: Capabilities = ALL, **answers: Any) -> None:
        self._can = can
        self.answers = {
            "account": Account(Decimal(1), Decimal(1), is_blocked=False),
            "positions": (),
            "orders": (),
            "observe": (),
            "submit": FILLED,
            **answers,
        }
        self.calls: list[str] = []

    async def _answer(self, name: str) -> Any:
        self.calls.append(name)
        answer = self.answers.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return await answer() if callable(answer) else answer

    def capabilities(self) -> Capabilities:
        return self._can

    async def start(self) -> Any:
        return await self._answer("start")

    async def close(self) -> Any:
        return await self._answer("close")

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Any:
        return await self._answer("submit")

    async def lookup(self, client_order_id: str) -> Any:
        return await self._answer("lookup")

    async def cancel(self, client_order_id: str) -> Any:
        return await self._answer("cancel")

    async def account(self) -> Any:
        return await self._answer("account")

    async def positions(self) -> Any:
        return await self._answer("positions")

    async def orders(self) -> Any:
        return await self._answer("orders")

    async def quote(self, ticker: str) -> Any:
        return await self._answer("quote")

    async def symbol(self, ticker: str) -> Any:
        return await self._answer("symbol")

    async def observe(self, ticker: str, price: Decimal, at: Any) -> Any:
        return await self._answer("observe")

    async def events(self) -> Any:
        for each in self.answers.get("events", ()):
            yield each


def a_package(folder: Path, name: str, source: str, *, value: str = "") -> str:
    """Write an installed package with one module and one entry point `name`; the module's name, new each time."""
    module = f"plugin_{secrets.token_hex(6)}"
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    points = f"[catalyst_signals.engines]\n{name} = {value or f'{module}:make'}\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    return module
