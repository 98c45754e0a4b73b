"""The webhook engine over a receiver that speaks the engine protocol: what it answers is the truth.

post answered               the outcome in the answer
no whole answer, 5xx, 4xx   UNKNOWN: `lookup` asks what became of the order, it is never posted again
questions                   asked up to three times; then they raise, and the agent asks again later
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines import wire
from subscriber_agent.engines.context import EngineContext, log
from subscriber_agent.engines.engine import Account, EngineEvent, Holding, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.engines.webhook.receiver import Receiver, ReceiverSilent, Reply
from subscriber_agent.engines.webhook.signing import signed_headers
from subscriber_agent.risk.decision import OrderPlan, instant_text, text_of
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

# How a receiver says that it does not have an operation, such as `observe`.
UNKNOWN_OP = "unknown_op"
_NOTHING_YET = Capabilities(
    shorts=False, brackets=False, limits=False, cancels=False, marks_positions=False, times_in_force=frozenset()
)
_NO_EVENTS: tuple[EngineEvent, ...] = ()


class ReceiverRefused(Exception):
    """The receiver answered, but not with the protocol's 200: its text says with what."""


class WebhookEngine:
    """Posts the engine protocol, each request signed. Until the receiver has said hello, it can do nothing."""

    name = "webhook"

    def __init__(self, receiver: Receiver, secret: bytes, context: EngineContext, *, is_paper: bool) -> None:
        self._receiver = receiver
        self._secret = secret
        self._clock = context.clock
        self._is_paper = is_paper
        self._numbers = itertools.count(1)
        self._can = _NOTHING_YET
        self._has_greeted = False
        self._has_no_observe = False

    @property
    def is_paper(self) -> bool:
        """What the config says; a receiver that contradicts it is not used."""
        return self._is_paper

    def capabilities(self) -> Capabilities:
        """What the receiver said of itself; nothing before it said hello."""
        return self._can

    async def start(self) -> None:
        """Hear the receiver's hello. One that is away is asked again with the first question.

        Raises EngineUnusable when it refuses us, speaks otherwise, or has real money where the config says paper.
        """
        self._receiver.open()
        try:
            await self._greet()
        except ReceiverSilent as error:
            log.warning("webhook: %s; nothing is ordered until it answers", error)

    async def close(self) -> None:
        """Let go of the connections; what is under way is UNKNOWN."""
        await self._receiver.close()

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Post an order, once. Whatever goes wrong after that is UNKNOWN."""
        await self._greet()
        return await self._order("submit", client_order_id, order=wire.plan_document(plan, client_order_id))

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order; None: the receiver is certain that it never saw it."""
        return wire.outcome_from(await self._ask("lookup", order_id=client_order_id))

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """End what still works of an order; asking for it twice is the same as once, so trouble may be tried again."""
        result = await self._ask("cancel", key=f"{client_order_id}-cancel", order_id=client_order_id)
        return wire.outcome_from(result)

    async def account(self) -> Account:
        """Cash and equity in USD."""
        return wire.account_from(await self._ask("account"))

    async def positions(self) -> tuple[Holding, ...]:
        """All that the account holds, sorted by ticker."""
        return wire.holdings_from(await self._ask("positions"))

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All working orders, sorted by order id."""
        return wire.orders_from(await self._ask("orders"))

    async def quote(self, ticker: str) -> Quote | None:
        """Best prices, None when there are none."""
        return wire.quote_from(await self._ask("quote", ticker=ticker))

    async def symbol(self, ticker: str) -> Symbol | None:
        """What the receiver's broker says about a ticker."""
        return wire.symbol_from(await self._ask("symbol", ticker=ticker))

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Tell a price. A receiver with a market of its own answers `unknown_op` and is told no more."""
        if self._has_no_observe:
            return ()
        try:
            result = await self._ask("observe", ticker=ticker, price=text_of(price), at=instant_text(at))
        except wire.EngineFailed as error:
            if error.code != UNKNOWN_OP:
                raise
            self._has_no_observe = True
            return ()
        return wire.triggered_from(result)

    async def events(self) -> AsyncIterator[EngineEvent]:
        """None: a receiver only answers."""
        for each in _NO_EVENTS:
            yield each

    async def _greet(self) -> None:
        if self._has_greeted:
            return
        try:
            hello = wire.hello_from(await self._result("hello", agent="catalyst-signals"))
        except (wire.AnswerInvalid, wire.EngineFailed, ReceiverRefused) as error:
            raise EngineUnusable(f"engine.webhook: {self._receiver.shown} cannot be used: {error}") from error
        if self._is_paper and hello.is_paper is False:
            raise EngineUnusable(
                f"engine.webhook: the config says paper, but {hello.name!r} says that it trades real money",
                hint="Set engine.webhook.is_paper to false, or start the receiver on its paper account.",
            )
        # Events cannot come over a webhook, whatever the receiver says.
        self._can = replace(hello.capabilities, events=False)
        self._has_greeted = True
        log.info("webhook: connected to %s (%s %s)", self._receiver.shown, hello.name, hello.version)

    async def _ask(self, op: wire.Op, *, key: str = "", **arguments: Any) -> Any:
        await self._greet()
        return await self._result(op, key=key, **arguments)

    async def _result(self, op: wire.Op, *, key: str = "", **arguments: Any) -> Any:
        number = next(self._numbers)
        body = wire.request_bytes(op, number, **arguments)
        reply = await self._receiver.ask(body, signed_headers(self._secret, body, self._clock(), key))
        return _checked(reply, number, self._receiver.shown)

    async def _order(self, op: wire.Op, client_order_id: str, **arguments: Any) -> Outcome:
        number = next(self._numbers)
        body = wire.request_bytes(op, number, **arguments)
        headers = signed_headers(self._secret, body, self._clock(), client_order_id)
        try:
            reply = await self._receiver.post(body, headers)
            outcome = wire.outcome_from(_checked(reply, number, self._receiver.shown))
        except (ReceiverSilent, wire.AnswerInvalid, wire.EngineFailed, ReceiverRefused) as error:
            return Outcome(OutcomeState.UNKNOWN, detail=str(error)[:200])
        return outcome or Outcome(OutcomeState.UNKNOWN, detail="submit was answered with null: an outcome is expected")


def _checked(reply: Reply, number: int, shown: str) -> Any:
    """The result in a reply. What the receiver says in the protocol counts more than its HTTP status."""
    if reply.is_good:
        return wire.parse_answer(reply.body, number)
    text = f"{shown} answered HTTP {reply.status}"
    try:
        wire.parse_answer(reply.body, number)
    except wire.AnswerInvalid:
        pass
    except wire.EngineFailed as error:
        if not reply.is_passing:
            raise
        text = f"{text}: {error}"
    raise ReceiverSilent(text) if reply.is_passing else ReceiverRefused(text)
