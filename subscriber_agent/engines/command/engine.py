"""The command engine: the friend's own program takes the orders. What it must know of the program is in `keeper`.

program ended, hangs, answers nonsense   the call raises: an order's end is UNKNOWN, it is looked up, never resent
program was started again                an event with `is_gap`: the agent looks at everything anew
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from subscriber_agent.engines import wire
from subscriber_agent.engines.command.hints import Hints
from subscriber_agent.engines.command.keeper import IDLE_S, Keeper
from subscriber_agent.engines.command.program import Program, program_from
from subscriber_agent.engines.command.settings import CommandSettings
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Account, EngineEvent, Holding, Outcome, WorkingOrder
from subscriber_agent.risk.decision import OrderPlan, instant_text, text_of
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

# How a program says that it does not have an operation, such as `observe`.
UNKNOWN_OP = "unknown_op"


class CommandEngine:
    """An engine behind a program's stdin and stdout. It asks, the program answers; nothing is ever asked twice."""

    name = "command"

    def __init__(
        self,
        program: Program,
        settings: CommandSettings,
        *,
        idle_s: float = IDLE_S,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._is_paper = settings.is_paper
        self._hints = Hints()
        self._keeper = Keeper(program, settings, self._hints, idle_s=idle_s, dice=dice)
        self._run_without_observe = 0

    @property
    def is_paper(self) -> bool:
        """What the config says; a program that contradicts it is not used."""
        return self._is_paper

    @property
    def pid(self) -> int | None:
        """The program's process number, None while it does not run."""
        return self._keeper.pid

    @property
    def strays(self) -> int:
        """How many answers since the program's last start came twice, too late, or to no question."""
        return self._keeper.strays

    def capabilities(self) -> Capabilities:
        """What the program said of itself at its last start; nothing before the first."""
        return self._keeper.can

    async def start(self) -> None:
        """Start the program and hear its hello. Raises EngineUnusable when it cannot be run or speaks otherwise."""
        await self._keeper.start()

    async def close(self) -> None:
        """Say `bye`; a program that stays is ended, with all that it started."""
        self._hints.close()
        await self._keeper.close()

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Hand over an order, once: whatever goes wrong is raised, and the order is looked up."""
        result = await self._keeper.ask("submit", order=wire.plan_document(plan, client_order_id))
        outcome = wire.outcome_from(result)
        if outcome is None:
            raise wire.AnswerInvalid("submit: the answer is an outcome, never null")
        return outcome

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What the program knows of an order; None: it is certain that it never saw it."""
        return wire.outcome_from(await self._asked("lookup", client_order_id))

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """End what still works of an order and of its legs."""
        return wire.outcome_from(await self._asked("cancel", client_order_id))

    async def account(self) -> Account:
        """Cash and equity."""
        return wire.account_from(await self._keeper.ask("account"))

    async def positions(self) -> tuple[Holding, ...]:
        """All that the account holds, sorted by ticker."""
        return wire.holdings_from(await self._keeper.ask("positions"))

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All working orders, sorted by order id."""
        return wire.orders_from(await self._keeper.ask("orders"))

    async def quote(self, ticker: str) -> Quote | None:
        """Best prices, None when there are none."""
        return wire.quote_from(await self._keeper.ask("quote", ticker=ticker))

    async def symbol(self, ticker: str) -> Symbol | None:
        """What the program's broker says about a ticker."""
        return wire.symbol_from(await self._keeper.ask("symbol", ticker=ticker))

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Tell the program a price. One that has a market of its own answers `unknown_op` and is told no more."""
        if self._run_without_observe == self._keeper.starts:
            return ()
        try:
            result = await self._keeper.ask("observe", ticker=ticker, price=text_of(price), at=instant_text(at))
        except wire.EngineFailed as error:
            if error.code != UNKNOWN_OP:
                raise
            self._run_without_observe = self._keeper.starts
            return ()
        return wire.triggered_from(result)

    def events(self) -> AsyncIterator[EngineEvent]:
        """What the program tells unasked, and a gap for each time that it was started again."""
        return self._hints.read()

    async def _asked(self, op: wire.Op, client_order_id: str) -> Any:
        return await self._keeper.ask(op, order_id=client_order_id)


def make(settings: CommandSettings, context: EngineContext) -> CommandEngine:
    """The engine of a config. Raises EngineUnusable when the program is not there; it is started by `start`."""
    return CommandEngine(program_from(settings, context), settings)
