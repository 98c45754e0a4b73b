"""The bot's side of the engine: everything here runs in the bot's thread, and nothing else does.

known to our log? ─▶ looked up ─ else intent on disk ─▶ handed over ─▶ the broker's ids on disk
an answer that was lost is searched for in the broker's lists, and never repeated
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.catalyst_bot import reading
from subscriber_agent.engines.catalyst_bot.bot import Bot, settled
from subscriber_agent.engines.catalyst_bot.finding import is_missing, listed
from subscriber_agent.engines.catalyst_bot.hand_over import Handed, hand_over, objection
from subscriber_agent.engines.catalyst_bot.sent import Sent, SentLog
from subscriber_agent.engines.catalyst_bot.thread import Patience
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.risk.decision import OrderPlan

_log = logging.getLogger("catalyst.engine")
_MOST_ORDERS = 500
_UNDER_WAY = "Catalyst-Bot has not answered yet"
_LOST = (
    "the answer was lost; the order is searched for, never sent again. Look at your broker, then run "
    "`subscriber-agent reconcile`"
)


class Dealing:
    """The imported bot, its connected broker, and the log of what it was given."""

    def __init__(self, context: EngineContext, bot: Bot, sent: SentLog) -> None:
        self._context = context
        self._bot = bot
        self._sent = sent
        self._broker: Any = None
        self._connecting = asyncio.Lock()
        self._under_way: set[str] = set()

    @classmethod
    def open(cls, context: EngineContext, folder: Path | None) -> Dealing:
        """Import the bot and read the log; keys and paper are checked now, not at the first order.

        Raises EngineUnusable.
        """
        sent = SentLog.open(context.data)
        bot = Bot.load(folder)
        bot.sizing(1)
        bot.client(context.environ)
        return cls(context, bot, sent)

    async def leave(self) -> None:
        """Let go of the broker."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await settled(broker.disconnect())

    async def account(self) -> Account:
        """Cash, equity, and whether the account may trade."""
        return reading.account_from(await settled((await self._connected()).get_account()))

    async def positions(self) -> tuple[Holding, ...]:
        """All that is held."""
        return reading.holdings_from(await settled((await self._connected()).get_positions()))

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All that works."""
        broker = await self._connected()
        return reading.orders_from(await settled(broker.get_orders(status=None, limit=_MOST_ORDERS)))

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._broker is None:
                client = self._bot.client(self._context.environ)
                try:
                    await settled(client.connect())
                except BaseException:
                    await settled(client.disconnect())
                    raise
                self._broker = client
        return self._broker

    async def submit(self, plan: OrderPlan, order_id: str, patience: Patience) -> Outcome:
        """Hand over once. Raises StorageFailed before anything is ordered."""
        if self._sent.get(order_id) is not None:
            return await self.lookup(order_id) or Outcome(OutcomeState.UNKNOWN, detail=_LOST)
        # From here to the intent nothing is awaited: two calls with one id cannot both come through.
        reason = objection(plan) or ("too late: nobody waits for it any more" if patience.is_over() else None)
        self._sent.intend(order_id, plan, self._context.clock())
        if reason is not None:
            self._sent.refused(order_id, reason)
            return Outcome(OutcomeState.REJECTED, detail=reason)
        self._under_way.add(order_id)
        try:
            return await self._handed_over(plan, order_id, patience)
        finally:
            self._under_way.discard(order_id)

    async def _handed_over(self, plan: OrderPlan, order_id: str, patience: Patience) -> Outcome:
        try:
            broker = await self._connected()
            handed = await hand_over(
                self._bot,
                broker,
                plan,
                order_id,
                folder=self._context.data,
                now=self._context.clock(),
                is_late=patience.is_over,
            )
        except Exception as error:  # noqa: BLE001
            # A stranger's code may throw anything. `hand_over` answers once something was sent: nothing was.
            self._sent.refused(order_id, f"nothing was ordered: {type(error).__name__}: {error}"[:300])
            return self._rejected(order_id)
        return await self._outcome(order_id, handed)

    async def _outcome(self, order_id: str, handed: Handed) -> Outcome:
        if handed.refused:
            self._sent.refused(order_id, handed.refused)
            return self._rejected(order_id)
        if handed.order is not None and self._is_ours(order_id, handed.order):
            ids = (reading.word(each, "order_id") for each in (handed.order, handed.stop, handed.target))
            sent = self._sent.answered(order_id, *ids)
            return await self._looked_up(sent, handed.order)
        found = await self._found(order_id)
        if found is not None:
            return found
        if handed.is_doubtful:
            # The broker said no, and has no such order: a no after a lost yes would be in its list.
            self._sent.refused(order_id, handed.detail)
            return self._rejected(order_id)
        return Outcome(OutcomeState.UNKNOWN, detail=": ".join(filter(None, (handed.detail, _LOST))))

    def _is_ours(self, order_id: str, order: Any) -> bool:
        """Whether an answer is about our order; one that is not counts as lost, and is searched for."""
        sent = self._sent.get(order_id)
        is_same_id = reading.word(order, "client_order_id") in ("", order_id)
        return sent is not None and is_same_id and reading.word(order, "ticker") == sent.ticker

    def _rejected(self, order_id: str) -> Outcome:
        sent = self._sent.get(order_id)
        return Outcome(OutcomeState.REJECTED, detail="" if sent is None else sent.refused)

    async def lookup(self, order_id: str) -> Outcome | None:
        """What became of an order; None when neither our log nor the broker's lists have it."""
        sent = self._sent.get(order_id)
        if sent is None:
            order = (await listed(self._bot, await self._connected())).by_our_id(order_id)
            return None if order is None else reading.outcome_from(order)
        if sent.refused:
            return self._rejected(order_id)
        if sent.broker_id:
            order = await settled((await self._connected()).get_order(sent.broker_id))
            return await self._looked_up(sent, order)
        if order_id in self._under_way:
            return Outcome(OutcomeState.UNKNOWN, detail=_UNDER_WAY)
        return await self._found(order_id) or Outcome(OutcomeState.UNKNOWN, detail=_LOST)

    async def _found(self, order_id: str) -> Outcome | None:
        """An order whose answer was lost, in the broker's lists; REJECTED once it certainly never arrived."""
        sent = self._sent.get(order_id)
        everything = await listed(self._bot, await self._connected())
        order = everything.by_our_id(order_id)
        if sent is None:
            return None
        if order is None:
            if order_id in self._under_way or not is_missing(sent, everything, self._context.clock()):
                return None
            self._sent.refused(order_id, "it never arrived: the broker's list of orders does not have it")
            return self._rejected(order_id)
        is_entry = sent.leg is Leg.ENTRY
        legs = [everything.leg(sent, leg) if is_entry else None for leg in (Leg.STOP, Leg.TARGET)]
        ids = ["" if each is None else reading.word(each, "order_id") for each in legs]
        return await self._looked_up(self._sent.answered(order_id, reading.word(order, "order_id"), *ids), order)

    async def _looked_up(self, sent: Sent, order: Any) -> Outcome:
        if reading.word(order, "ticker") != sent.ticker or reading.side_of(order) is not sent.side:
            raise reading.Garbled(f"{reading.word(order, 'ticker')} was answered for an order in {sent.ticker}")
        legs: list[LegOutcome] = []
        for leg, broker_id in ((Leg.STOP, sent.stop_id), (Leg.TARGET, sent.target_id)):
            if broker_id:
                part = await settled((await self._connected()).get_order(broker_id))
                legs.append(reading.leg_from(part, leg))
        return reading.outcome_from(order, tuple(legs))

    async def cancel(self, order_id: str) -> Outcome | None:
        """End what works of an order and of its legs, then look."""
        outcome = await self.lookup(order_id)
        sent = self._sent.get(order_id)
        if outcome is None or sent is None:
            return outcome
        working = [(sent.broker_id, outcome.state.is_working)]
        working += [(each.order_id, each.state.is_working) for each in outcome.legs]
        for broker_id, is_working in working:
            if broker_id and is_working:
                await self._cancel_one(broker_id)
        return await self.lookup(order_id)

    async def _cancel_one(self, broker_id: str) -> None:
        try:
            await settled((await self._connected()).cancel_order(broker_id))
        except Exception as error:  # noqa: BLE001
            # Its client stumbles over the empty answer that means yes, and over a leg that went with the other one:
            # what is true is looked up right after.
            _log.info("cancelling at Catalyst-Bot's broker: %s", type(error).__name__)
