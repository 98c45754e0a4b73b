"""The webhook engine over a receiver that only says "received": fills, positions and stops are assumed, and say so.

2xx                            assumed FILLED at once, at the plan's limit or reference price
4xx, 3xx, "success": false     REJECTED: the receiver refused it
no connection                  REJECTED: it is certain that nothing was sent
5xx, no answer, cut off, kill  UNKNOWN for good: nobody can be asked. It is never posted again, a person settles it
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from signal_contract import edges
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.disk import Disk
from subscriber_agent.engines.context import EngineContext, log
from subscriber_agent.engines.engine import (
    Account,
    EngineEvent,
    Holding,
    LegOutcome,
    Outcome,
    OutcomeState,
    WorkingOrder,
)
from subscriber_agent.engines.webhook.assumed import (
    ASSUMED,
    NOBODY_KNOWS,
    Assumed,
    Sent,
    answer_record,
    cancelled_record,
    intent_record,
    refused_record,
)
from subscriber_agent.engines.webhook.receiver import Receiver, ReceiverSilent, Reply
from subscriber_agent.engines.webhook.sent import SentLog
from subscriber_agent.engines.webhook.signing import signed_headers
from subscriber_agent.engines.webhook.template import Template, cancel_values, values_of
from subscriber_agent.risk.decision import OrderPlan, OrderType, instant_text
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_ON_ITS_WAY = "it is being posted at this moment"
_NO_EVENTS: tuple[EngineEvent, ...] = ()


class AssumingEngine:
    """Posts orders in the receiver's own form, each exactly once, and keeps what it may assume in a file of its own."""

    name = "webhook"

    def __init__(
        self,
        receiver: Receiver,
        template: Template,
        sent: SentLog,
        context: EngineContext,
        cash_usd: Decimal,
        *,
        secret: bytes | None = None,
        is_paper: bool = False,
    ) -> None:
        self._receiver = receiver
        self._template = template
        self._log = sent
        self._clock = context.clock
        self._secret = secret
        self._is_paper = is_paper
        self._cash = cash_usd
        self._account = Assumed(cash_usd)
        self._on_their_way: dict[str, str] = {}  # ticker by order id
        self._reading = asyncio.Lock()
        self._disk = Disk.inline()

    @property
    def is_paper(self) -> bool:
        """What the config says: the receiver says nothing."""
        return self._is_paper

    def capabilities(self) -> Capabilities:
        """Stops are the receiver's where the message carries them; nothing of the market is known."""
        return Capabilities(brackets=self._template.carries_stop, marks_positions=False)

    async def start(self) -> None:
        """Read what was posted before. Raises StorageFailed when the file is damaged."""
        self._receiver.open()
        self._disk = Disk.threaded()
        self._account = Assumed(self._cash)
        await self._disk.run(self._log.open)
        await self._read_news()
        log.warning("webhook: %s reports no fills; all that is said of the account is assumed", self._receiver.shown)
        for each in self._account.unknown:
            log.warning("webhook: order %s in %s: %s", each.order_id, each.plan.ticker, NOBODY_KNOWS)

    async def close(self) -> None:
        """Let go of connections, thread and file."""
        await self._receiver.close()
        await self._disk.run(self._log.close)
        self._disk.close()
        self._disk = Disk.inline()

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Post an order once in its life; the same id again posts nothing."""
        known = await self.lookup(client_order_id)
        if known is not None:
            return known
        price = self._account.price_for(plan)
        # From here to the first write nothing else runs: a second call with this id must find the intent.
        objection = self._objection(plan, price)
        self._on_their_way[client_order_id] = plan.ticker
        try:
            if objection is not None:
                await self._write(refused_record(client_order_id, plan, f"not posted: {objection}", self._clock()))
            else:
                await self._post(plan, client_order_id, price)
        finally:
            del self._on_their_way[client_order_id]
        return self._account.sent[client_order_id].outcome

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What is assumed of an order; None: it was never posted."""
        if client_order_id in self._on_their_way:
            return Outcome(OutcomeState.UNKNOWN, detail=_ON_ITS_WAY)
        found = self._account.outcome(client_order_id)
        if found is not None and found.state is OutcomeState.UNKNOWN:
            await self._read_news()
            found = self._account.outcome(client_order_id)
        return found

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """End an entry's stop and target. Where the receiver takes no cancel, they are assumed to end with the exit."""
        sent = self._account.sent.get(client_order_id)
        if sent is not None and sent.has_working_legs and await self._is_cancelled(sent):
            await self._write(cancelled_record(client_order_id, self._clock()))
        return await self.lookup(client_order_id)

    async def account(self) -> Account:
        """The cash of the config and all assumed fills since, in USD."""
        await self._read_news()
        return Account(self._account.book.cash, self._account.book.equity, is_blocked=False)

    async def positions(self) -> tuple[Holding, ...]:
        """All assumed positions, sorted by ticker."""
        await self._read_news()
        held = sorted(self._account.book.positions.items())
        return tuple(Holding(ticker, each.quantity, each.average_price, each.last_price) for ticker, each in held)

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """The stops and targets that the receiver is assumed to hold."""
        entries = self._account.working()
        orders = [_working(each, leg) for each in entries for leg in each.legs.values() if leg.state.is_working]
        return tuple(sorted(orders, key=lambda each: each.order_id))

    async def quote(self, ticker: str) -> Quote | None:
        """None: the receiver says nothing."""
        return None

    async def symbol(self, ticker: str) -> Symbol | None:
        """None: the receiver says nothing."""
        return None

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Close the assumption where a price on the wire reaches a stop or a target."""
        records = self._account.seen(ticker, price, at)
        for record in records:
            await self._write(record)
        return tuple(record["order_id"] for record in records)

    async def events(self) -> AsyncIterator[EngineEvent]:
        """None: the receiver says nothing."""
        for each in _NO_EVENTS:
            yield each

    def _objection(self, plan: OrderPlan, price: Decimal | None) -> str | None:
        if plan.quantity <= 0:
            return "an order of nothing"
        if plan.order_type is OrderType.STOP:
            return "stops are part of an entry's message"
        if price is None:
            return "no price is known, so its fill could not be assumed"
        if plan.ticker in self._on_their_way.values():
            return f"another order in {plan.ticker} is being posted at this moment"
        return self._account.objection(plan)

    async def _post(self, plan: OrderPlan, order_id: str, price: Decimal | None) -> None:
        await self._write(intent_record(order_id, plan, price, self._clock()))
        edges.reached("webhook.intended")
        state, reason = await self._posted(self._order_message(plan, order_id, price), order_id)
        await self._write(answer_record(order_id, state, reason, self._clock()))

    def _order_message(self, plan: OrderPlan, order_id: str, price: Decimal | None) -> bytes:
        held = self._account.held(plan.ticker) + plan.side.sign * plan.quantity
        values = values_of(plan, order_id, price=price, held_after=held, at=instant_text(self._clock()))
        part = self._template.entry if plan.leg is Leg.ENTRY else self._template.exit
        return self._template.message(part, values)

    async def _posted(self, body: bytes, key: str) -> tuple[OutcomeState, str]:
        try:
            reply = await self._receiver.post(body, signed_headers(self._secret, body, self._clock(), key))
        except ReceiverSilent as error:
            if not error.was_sent:
                return OutcomeState.REJECTED, f"nothing was sent: {error}"
            log.error("webhook: %s; %s", error, NOBODY_KNOWS)
            return OutcomeState.UNKNOWN, NOBODY_KNOWS
        return _answer(reply)

    async def _is_cancelled(self, sent: Sent) -> bool:
        if self._template.cancel is None:
            return True
        now = self._clock()
        values = cancel_values(sent.plan.ticker, sent.plan.side, sent.order_id, instant_text(now))
        body = self._template.message(self._template.cancel, values)
        reply = await self._receiver.ask(body, signed_headers(self._secret, body, now, f"{sent.order_id}-cancel"))
        state, reason = _answer(reply)
        if state is not OutcomeState.FILLED:
            raise ReceiverSilent(f"the cancel was not taken: {reason}")
        return True

    async def _write(self, record: dict[str, Any]) -> None:
        """On disk first; then all that is new in the file is taken in, in the file's order."""
        await self._disk.run(self._log.append, record)
        await self._read_news()

    async def _read_news(self) -> None:
        async with self._reading:  # a cancelled reader has taken nothing, two take nothing twice
            records, end = await self._disk.run(self._log.news)
            for each in records:
                self._account.apply(each)
            self._log.read_to = end


def _answer(reply: Reply) -> tuple[OutcomeState, str]:
    """What a reply means. A receiver that says `"success": false` with HTTP 200 has refused all the same."""
    said = _words(reply.body)
    if reply.status >= 500 or reply.status == 408:
        return OutcomeState.UNKNOWN, f"HTTP {reply.status}{said}: {NOBODY_KNOWS}"
    if not reply.is_good or _is_refusal(reply.body):
        return OutcomeState.REJECTED, f"the receiver refused it: HTTP {reply.status}{said}"
    return OutcomeState.FILLED, ASSUMED


def _is_refusal(body: bytes) -> bool:
    document = _document(body)
    return document.get("success") is False or document.get("ok") is False


def _words(body: bytes) -> str:
    text = next((text for name in ("message", "error") if isinstance(text := _document(body).get(name), str)), "")
    shown = "".join(each if each.isprintable() else " " for each in text[:80])
    return f" ({shown})" if shown else ""


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _working(sent: Sent, leg: LegOutcome) -> WorkingOrder:
    is_stop = leg.leg is Leg.STOP
    return WorkingOrder(
        order_id=leg.order_id,
        ticker=sent.plan.ticker,
        side=Side.SELL if sent.plan.side is Side.BUY else Side.BUY,
        quantity=leg.protects,
        order_type=OrderType.STOP if is_stop else OrderType.LIMIT,
        limit_price=None if is_stop else leg.trigger_price,
        stop_price=leg.trigger_price if is_stop else None,
    )
