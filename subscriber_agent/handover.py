"""The line to the engine: orders go out once, each end is written down, and its faults feed the circuit breaker.

Nothing here decides. An order whose end is not known is UNKNOWN: it is looked up, never sent again blindly.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from signal_contract import edges
from signal_contract.errors import CatalystError
from signal_contract.feedback import Feedback, Privacy
from subscriber_agent.accounting.book import Fill, Leg
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import Engine, EngineSilent, Outcome, OutcomeState
from subscriber_agent.journal import Journal, OrderIntent
from subscriber_agent.reporting.reports import fill_report, outcome_reports
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settled import Gathered
from subscriber_agent.situation import Rules

_log = logging.getLogger("catalyst.agent")

SUBMIT_TIMEOUT_S = 30.0
ASK_TIMEOUT_S = 10.0

_Answer = TypeVar("_Answer")
Tell = Callable[[str, dict[str, Any]], None]


class Handover:
    """Talks to one engine. `tell` hears of its faults, once for each kind, and when they are over."""

    def __init__(self, journal: Journal, engine: Engine, clock: Callable[[], datetime], disk: Disk, tell: Tell) -> None:
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._disk = disk
        self._tell = tell
        self._told: tuple[str, str] | None = None

    async def submit(self, intent: OrderIntent, rules: Rules) -> Outcome:
        """Hand over an order whose intent is on disk, and write down what came of it."""
        fault = ""
        try:
            async with asyncio.timeout(SUBMIT_TIMEOUT_S):
                outcome = await self._engine.submit(intent.plan, intent.order_id)
        except CatalystError:
            raise  # our own trouble, such as a full disk: it stops the agent
        except Exception as error:  # noqa: BLE001
            # Whatever a broker's library throws: the order may be there or not, so its end is not known.
            _log.warning("the engine failed over order %s", intent.order_id, exc_info=True)
            fault = _fault_text(error, SUBMIT_TIMEOUT_S)
            outcome = Outcome(OutcomeState.UNKNOWN, detail=fault)
        if outcome.state is OutcomeState.UNKNOWN:
            fault = fault or outcome.detail or "it does not know what became of an order"
        edges.reached("engine.submitted")
        await self._disk.run(self._keep_answer, intent, outcome, rules, bool(fault))
        self._tell_fault(fault, rules.limits)
        return outcome

    async def lookup(self, order_id: str, rules: Rules) -> Outcome | None:
        """What became of an order; None: the engine never saw it. Raises EngineSilent."""
        return await self._ask(self._engine.lookup(order_id), rules)

    async def gathered(self, rules: Rules, ticker: str | None = None) -> Gathered:
        """What the engine says now, with quote and symbol of `ticker` where it has them. Raises EngineSilent."""
        can, engine = self._engine.capabilities(), self._engine
        account, positions = await self._ask(engine.account(), rules), await self._ask(engine.positions(), rules)
        quote = await self._ask(engine.quote(ticker), rules) if ticker and can.quotes else None
        symbol = await self._ask(engine.symbol(ticker), rules) if ticker and can.symbols else None
        return Gathered(account, positions, quote=quote, symbol=symbol)

    async def observe(self, ticker: str, price: Decimal, at: datetime, rules: Rules) -> tuple[Fill, ...]:
        """Show the engine a price; returns the stops and targets that it triggered. Raises EngineSilent."""
        return tuple(await self._ask(self._engine.observe(ticker, price, at), rules))

    async def keep(self, intent: OrderIntent, outcome: Outcome, rules: Rules) -> None:
        """Write down an end that was looked up."""
        await self._disk.run(self._keep_outcome, intent, outcome, rules.config.privacy)

    async def _ask(self, question: Awaitable[_Answer], rules: Rules) -> _Answer:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return await question
        except CatalystError:
            raise
        except Exception as error:
            # As above; nothing was ordered, so it can be asked again.
            fault = _fault_text(error, ASK_TIMEOUT_S)
            await self._disk.run(self._count, True)
            self._tell_fault(fault, rules.limits)
            raise EngineSilent(fault) from error

    def _keep_answer(self, intent: OrderIntent, outcome: Outcome, rules: Rules, is_fault: bool) -> None:
        with self._journal.transaction():
            self._keep_outcome(intent, outcome, rules.config.privacy)
            self._count(is_fault)

    def _keep_outcome(self, intent: OrderIntent, outcome: Outcome, privacy: Privacy) -> None:
        now = self._clock()
        with self._journal.transaction():
            self._journal.write_outcome(intent.order_id, outcome, now)
            self._journal.add_feedback(self._reports(intent, outcome, now, privacy))

    def _reports(self, intent: OrderIntent, outcome: Outcome, now: datetime, privacy: Privacy) -> list[Feedback]:
        plan = intent.plan
        if plan.leg is Leg.ENTRY or self._journal.stored(intent.signal_id, intent.revision) is not None:
            return outcome_reports(intent, outcome, now, privacy, new_id)
        if outcome.state is not OutcomeState.FILLED or outcome.price is None:
            return []
        # An exit of the friend's own has no signal that the operator would know.
        fill = Fill(intent.order_id, plan.ticker, plan.side, plan.leg, outcome.quantity, outcome.price, now)
        report = fill_report(fill, now, privacy, new_id)
        return [] if report is None else [report]

    def _count(self, is_fault: bool) -> None:
        """Feed the circuit breaker; a commit only when it changes."""
        before = self._journal.breaker()
        after = before.failed(self._clock()) if is_fault else before.succeeded()
        if after != before:
            self._journal.set_breaker(after)

    def _tell_fault(self, fault: str, limits: Limits) -> None:
        if not fault and self._told is None:
            return
        health = self._journal.breaker().health(limits, self._clock()).value
        now = (fault, health) if fault else None
        if now != self._told:
            self._told = now
            event, facts = ("engine_fault", {"detail": fault, "health": health}) if fault else ("engine_ok", {})
            self._tell(event, {"engine": self._engine.name, **facts})


def new_id() -> str:
    """An id for a report, 32 hex digits."""
    return secrets.token_hex(16)


def _fault_text(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.0f} s"
    return f"{type(error).__name__}: {error}"[:200]
