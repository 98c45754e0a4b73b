"""Paper engines over a directory of the test's own, a clock that it sets, and the orders that it hands over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent_samples import NOW, PAPER, D, a_book, a_signal, some_limits

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import order_id_from
from subscriber_agent.engines.paper.engine import PaperEngine
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.engines.paper.store import STORE_FILE, PaperStore
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

ID = order_id_from("0" * 32, "alice", Leg.ENTRY)
# 100 ABCD at 5.00, stop 4.75, target 6.
ENTRY: OrderPlan = decide(a_signal(), a_book(), some_limits(), PAPER, NOW).plan  # type: ignore[assignment]
EXIT = replace(ENTRY, side=Side.SELL, leg=Leg.EXIT, stop_price=None, target_price=None)
SHORT = replace(ENTRY, side=Side.SELL, stop_price=D(6), target_price=D(4))
COVER = replace(EXIT, side=Side.BUY)
STOP = replace(EXIT, leg=Leg.STOP, order_type=OrderType.STOP, stop_price=D("4.75"), time_in_force=TimeInForce.GTC)
BARE = replace(ENTRY, stop_price=None, target_price=None)


_opened: list[PaperEngine] = []


async def close_all() -> None:
    """Close every engine that a test made, also those that it left as a kill would."""
    while _opened:
        await _opened.pop().close()


class Clock:
    """The time that a test says it is."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def an_engine(
    data: Path, clock: Clock | None = None, *, quotes: Any = None, quote_every_s: float = 0, **settings: Any
) -> PaperEngine:
    """An engine in the caller's thread, over `data`; `settings` as in a config."""
    wanted = PaperSettings.model_validate(settings)
    engine = PaperEngine(data, wanted, clock=clock or Clock(), quotes=quotes, quote_every_s=quote_every_s)
    _opened.append(engine)
    return engine


def a_limit(plan: OrderPlan, price: str, **changes: Any) -> OrderPlan:
    return replace(plan, order_type=OrderType.LIMIT, limit_price=D(price), **changes)


def fills_of(data: Path) -> list[Any]:
    """What the account's own file says was executed, oldest first."""
    store = PaperStore.open(data / STORE_FILE, read_only=True)
    try:
        return store.fills()
    finally:
        store.close()
