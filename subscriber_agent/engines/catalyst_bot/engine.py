"""The engine `catalyst_bot`: orders go out through Catalyst-Bot's own classes, under our ids, in our size, once.

The bot runs in a thread of its own, with a time limit on every call; `dealing` is what happens there.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from subscriber_agent.engines.catalyst_bot.bot import require_installed
from subscriber_agent.engines.catalyst_bot.dealing import Dealing
from subscriber_agent.engines.catalyst_bot.settings import CatalystBotSettings
from subscriber_agent.engines.catalyst_bot.thread import BotThread, Patience
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import (
    Account,
    Engine,
    EngineEvent,
    Holding,
    Outcome,
    WorkingOrder,
)
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_log = logging.getLogger("catalyst.engine")
# The agent asks with 10 s of patience.
_ASK_S = 9.0
_CLOSE_S = 3.0
_Answer = TypeVar("_Answer")


class CatalystBotEngine:
    """Paper only, as the bot itself; long positions, whole shares, the regular session."""

    name = "catalyst_bot"
    is_paper = True

    def __init__(self, settings: CatalystBotSettings, context: EngineContext, folder: Path | None) -> None:
        self._settings = settings
        self._context = context
        self._folder = folder
        self._thread = BotThread()
        self._dealing: Dealing | None = None

    def capabilities(self) -> Capabilities:
        """Brackets and stops of its own; no quotes, so that a stop that nobody holds closes the position."""
        return Capabilities(shorts=False, stop_orders=True, idempotent=True)

    async def start(self) -> None:
        """Import the bot in its thread. Raises EngineUnusable; a broker that is away is tried at each call."""
        self._thread.start()
        self._dealing = await self._thread.run(self._opened, float(self._settings.timeout_s))

    async def close(self) -> None:
        """Say good-bye to its broker, and end the thread."""
        try:
            if self._dealing is not None:
                dealing = self._dealing
                await self._thread.run(lambda _: dealing.leave(), _CLOSE_S)
        except (TimeoutError, RuntimeError):
            _log.warning("Catalyst-Bot did not end by itself")
        await self._thread.close()

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Hand over once; a known id is looked up. Raises StorageFailed before anything is ordered."""
        dealing = self._open_dealing()
        timeout_s = float(self._settings.timeout_s)
        return await self._thread.run(lambda patience: dealing.submit(plan, client_order_id, patience), timeout_s)

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order; None when neither our log nor the broker's lists have it."""
        return await self._asked(lambda dealing: dealing.lookup(client_order_id))

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """Cancel the order and its legs, then look."""
        return await self._asked(lambda dealing: dealing.cancel(client_order_id))

    async def account(self) -> Account:
        """The broker's word, through the bot's client."""
        return await self._asked(lambda dealing: dealing.account())

    async def positions(self) -> tuple[Holding, ...]:
        """All that the account holds, whoever bought it."""
        return await self._asked(lambda dealing: dealing.positions())

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All that works; the legs of a bracket carry ids of the broker's."""
        return await self._asked(lambda dealing: dealing.orders())

    async def quote(self, ticker: str) -> Quote | None:
        """None: the bot's prices carry no time."""
        return None

    async def symbol(self, ticker: str) -> Symbol | None:
        """None: the bot asks nothing about tickers."""
        return None

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Nothing: its broker has a market of its own."""
        return ()

    async def events(self) -> AsyncIterator[EngineEvent]:
        """None."""
        nothing: tuple[EngineEvent, ...] = ()
        for event in nothing:
            yield event

    async def _asked(self, question: Callable[[Dealing], Coroutine[Any, Any, _Answer]]) -> _Answer:
        dealing = self._open_dealing()
        return await self._thread.run(lambda _: question(dealing), min(_ASK_S, float(self._settings.timeout_s)))

    async def _opened(self, patience: Patience) -> Dealing:
        return Dealing.open(self._context, self._folder)

    def _open_dealing(self) -> Dealing:
        if self._dealing is None:
            raise RuntimeError("the engine is not open")
        return self._dealing


def make(settings: CatalystBotSettings, context: EngineContext) -> Engine:
    """The engine; the bot is imported in `start()`. Raises EngineUnusable when it is not there."""
    folder = None if settings.folder is None else context.path(settings.folder)
    require_installed(folder)
    return CatalystBotEngine(settings, context, folder)
