"""The line to the engine: orders go out once, each end is written down, and its faults feed the circuit breaker.

Nothing here decides. An order whose end is not known is UNKNOWN: it is looked up, never sent again blindly. An order
that the engine cannot carry out is REJECTED without asking it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from signal_contract import edges
from signal_contract.errors import CatalystError
from subscriber_agent.accounting.book import Fill
from subscriber_agent.answers import account_checked, holdings_checked, maybe_outcome_checked, outcome_checked
from subscriber_agent.disk import Disk
from subscriber_agent.engines.engine import Engine, EngineSilent, Outcome, OutcomeState
from subscriber_agent.engines.fitting import objection
from subscriber_agent.giving_way import GivingWay
from subscriber_agent.inquiry import Question, all_answered, answered, asking, fault_text, groups, silence_in
from subscriber_agent.journal import Journal, OrderIntent, OrderRow
from subscriber_agent.recording import Recorder, Written
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Quote
from subscriber_agent.risk.protection import Protection
from subscriber_agent.settled import Gathered
from subscriber_agent.situation import Rules

_log = logging.getLogger("catalyst.agent")

SUBMIT_TIMEOUT_S = 30.0

_Answer = TypeVar("_Answer")
_Checked = TypeVar("_Checked")
Tell = Callable[[str, dict[str, Any]], None]


class Handover:
    """Talks to one engine. `tell` hears of its faults, once for each kind, and when they are over."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        clock: Callable[[], datetime],
        disk: Disk,
        recorder: Recorder,
        tell: Tell,
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._disk = disk
        self._recorder = recorder
        self._tell = tell
        self._told: tuple[str, str] | None = None
        self.way = GivingWay()

    # Orders -----------------------------------------------------------------------------------------------------

    async def submit(self, intent: OrderIntent, rules: Rules) -> Outcome:
        """Hand over an order whose intent is on disk, and write down what came of it."""
        unfit = objection(intent.plan, self._engine.capabilities())
        if unfit is not None:
            outcome = Outcome(OutcomeState.REJECTED, detail=f"not handed over: {unfit}")
            await self.keep(intent, outcome, rules)
            return outcome
        outcome, fault = await self._submitted(intent)
        edges.reached("engine.submitted")
        self._tell_written(intent, await self._disk.brief(self._keep_answer, intent, outcome, rules, bool(fault)))
        self._tell_fault(fault, rules.limits)
        return outcome

    async def _submitted(self, intent: OrderIntent) -> tuple[Outcome, str]:
        """The engine's answer, and what was wrong with it."""
        try:
            async with asyncio.timeout(SUBMIT_TIMEOUT_S):
                outcome = outcome_checked(await self._engine.submit(intent.plan, intent.order_id))
        except CatalystError:
            raise  # our own trouble, such as a full disk: it stops the agent
        except Exception as error:  # noqa: BLE001
            # Whatever a broker's library throws: the order may be there or not, so its end is not known.
            _log.warning("the engine failed over order %s", intent.order_id, exc_info=True)
            fault = fault_text(error, SUBMIT_TIMEOUT_S)
            return Outcome(OutcomeState.UNKNOWN, detail=fault), fault
        if outcome.state is OutcomeState.UNKNOWN:
            return outcome, outcome.detail or "it does not know what became of an order"
        return outcome, ""

    async def lookup(self, order_id: str, rules: Rules) -> Outcome | None:
        """What became of an order; None: the engine never saw it. Raises EngineSilent."""
        return await self._ask(partial(self._engine.lookup, order_id), maybe_outcome_checked, rules)

    @property
    def can_cancel(self) -> bool:
        """Whether the engine takes a `cancel`; without it an order ends by itself."""
        return self._engine.capabilities().cancels

    async def cancel(self, order_id: str, rules: Rules) -> Outcome | None:
        """End what still works of an order, its legs included; it may still be working then. Raises EngineSilent."""
        return await self._ask(partial(self._engine.cancel, order_id), maybe_outcome_checked, rules)

    async def keep(self, intent: OrderIntent, outcome: Outcome, rules: Rules) -> tuple[Fill, ...]:
        """Write down what was looked up; returns what was booked of it."""
        written = await self._disk.brief(self._recorder.keep, intent, outcome, rules)
        self._tell_written(intent, written)
        return written.booked.fills

    async def look(self, order_ids: Sequence[str], rules: Rules) -> tuple[Fill, ...]:
        """Look up orders of ours whose end, or whose legs, may have changed, and write down what is new in them.

        Returns what was booked. An order that is final stays so when the engine is certain that it knows none; but then
        nothing holds its stop. UNKNOWN is no word: the last one stands. Raises EngineSilent, once what was answered
        beside the silence is written down.
        """
        booked: list[Fill] = []
        is_at_once = self._engine.capabilities().concurrent
        for group in groups(list(dict.fromkeys(order_ids)), is_at_once=is_at_once):
            rows = await self._disk.brief(self._orders_known, group)
            lookups = [partial(self._engine.lookup, each.intent.order_id) for each in rows]
            questions = [asking(each, maybe_outcome_checked) for each in lookups]
            answers = await self.way.unless_asked(all_answered(questions, is_at_once=is_at_once))
            for row, said in zip(rows, answers, strict=True):
                if not isinstance(said, EngineSilent):
                    booked += await self._keep_news(row, said, rules)
            await self._raise_silence(answers, rules)
        return tuple(booked)

    def _orders_known(self, order_ids: Sequence[str]) -> list[OrderRow]:
        """The orders of these ids whose outcome was heard of before."""
        rows = (self._journal.order(each) for each in order_ids)
        return [row for row in rows if row is not None and row.outcome is not None]

    async def _keep_news(self, row: OrderRow, outcome: Outcome | None, rules: Rules) -> tuple[Fill, ...]:
        known = row.outcome
        if known is None or (outcome is not None and outcome.state is OutcomeState.UNKNOWN):
            return ()
        if outcome is None:
            outcome = Outcome(known.state, known.quantity, known.price, "the engine does not know it now")
        return () if outcome == known else await self.keep(row.intent, outcome, rules)

    # Questions --------------------------------------------------------------------------------------------------

    async def gathered(self, rules: Rules, ticker: str | None = None) -> Gathered:
        """What the engine says now, with quote and symbol of `ticker` where it has them. Raises EngineSilent."""
        can, engine = self._engine.capabilities(), self._engine
        questions: dict[str, Question[Any]] = {
            "account": asking(engine.account, account_checked),
            "holdings": asking(engine.positions, holdings_checked),
        }
        if ticker and can.quotes:
            questions["quote"] = asking(partial(engine.quote, ticker), _as_it_is)
        if ticker and can.symbols:
            questions["symbol"] = asking(partial(engine.symbol, ticker), _as_it_is)
        asked = all_answered(list(questions.values()), is_at_once=can.concurrent)
        answers = await self.way.unless_asked(asked)
        await self._raise_silence(answers, rules)
        return Gathered(**dict(zip(questions, answers, strict=True)))

    async def quotes(self, tickers: Sequence[str], rules: Rules) -> dict[str, Quote | None]:
        """Best prices now, of an engine that has them; a ticker that it is silent about is left out, which counts."""
        found: dict[str, Quote | None] = {}
        is_at_once = self._engine.capabilities().concurrent
        for group in groups(tickers, is_at_once=is_at_once):
            questions = [asking(partial(self._engine.quote, each), _as_it_is) for each in group]
            answers = await self.way.unless_asked(all_answered(questions, is_at_once=is_at_once))
            await self._note_silence(answers, rules)
            pairs = zip(group, answers, strict=True)
            found |= {each: said for each, said in pairs if not isinstance(said, EngineSilent)}
        return found

    async def observe(self, ticker: str, price: Decimal, at: datetime, rules: Rules) -> tuple[Fill, ...]:
        """Show the engine a price; returns what was booked of the orders that it triggered. Raises EngineSilent."""
        triggered = await self._ask(partial(self._engine.observe, ticker, price, at), tuple, rules)
        return await self.look(triggered, rules)

    async def _ask(self, question: Question[_Answer], checked: Callable[[_Answer], _Checked], rules: Rules) -> _Checked:
        try:
            return await answered(question, checked)
        except EngineSilent as silent:
            await self._note_silence([silent], rules)
            raise

    async def _raise_silence(self, answers: Sequence[object], rules: Rules) -> None:
        silent = await self._note_silence(answers, rules)
        if silent is not None:
            raise silent

    async def _note_silence(self, answers: Sequence[object], rules: Rules) -> EngineSilent | None:
        """One look that failed is one fault, however many of its questions did."""
        silent = silence_in(answers)
        if silent is not None:
            await self._disk.brief(self._count, True)
            self._tell_fault(str(silent), rules.limits)
        return silent

    # What is told -----------------------------------------------------------------------------------------------

    def tell_failed(self, rows: tuple[Protection, ...]) -> None:
        """Say once which positions nobody can hold a stop for: they are closed, and everything is halted."""
        for each in rows:
            self._tell("unprotected", {"ticker": each.ticker, "entry_id": each.entry_id, "reason": each.detail})

    def _tell_written(self, intent: OrderIntent, written: Written) -> None:
        facts = {"order_id": intent.order_id, "ticker": intent.plan.ticker}
        for each in written.booked.faults:
            self._tell("fill_fault", {**facts, "detail": each})
        if written.booked.is_overfilled:
            self._tell("overfilled", facts)
        self.tell_failed(written.failed)

    def _keep_answer(self, intent: OrderIntent, outcome: Outcome, rules: Rules, is_fault: bool) -> Written:
        with self._journal.transaction():
            written = self._recorder.keep(intent, outcome, rules)
            self._count(is_fault)
        return written

    def _count(self, is_fault: bool) -> None:
        """Feed the circuit breaker; a commit only when it changes."""
        before = self._journal.breaker(self._engine.name)
        after = before.failed(self._clock()) if is_fault else before.succeeded()
        if after != before:
            self._journal.set_breaker(after, self._engine.name)

    def _tell_fault(self, fault: str, limits: Limits) -> None:
        if not fault and self._told is None:
            return
        health = self._journal.breaker(self._engine.name).health(limits, self._clock()).value
        now = (fault, health) if fault else None
        if now != self._told:
            self._told = now
            event, facts = ("engine_fault", {"detail": fault, "health": health}) if fault else ("engine_ok", {})
            self._tell(event, {"engine": self._engine.name, **facts})


def _as_it_is(answer: _Answer) -> _Answer:
    return answer
