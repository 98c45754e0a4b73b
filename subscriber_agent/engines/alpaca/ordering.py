"""Orders at Alpaca: sent once, looked up by the agent's id, withdrawn. A lost order is searched, never sent again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from subscriber_agent.engines.alpaca import answers
from subscriber_agent.engines.alpaca.answers import Unreadable
from subscriber_agent.engines.alpaca.line import Line
from subscriber_agent.engines.alpaca.sdk import Calls, Lost, Refused
from subscriber_agent.engines.engine import Outcome, OutcomeState, WorkingOrder, is_ours, triggered_order_id
from subscriber_agent.risk.decision import OrderPlan

_log = logging.getLogger("catalyst.engine")

READ_S = 4.0
_PAUSE_S = 0.3
# A lost order is searched this often and this long, within the 30 s that a hand-over may take.
_SEARCH_S = 8.0
_SEARCH_PAUSES_S = (0.1, 0.3, 0.7, 1.5)
# `lookup` waits this long for a "no such order" to become certain before it says UNKNOWN.
_WAIT_S = 4.0
_MAX_ROWS = 500
# Account, positions and asset; the quote is asked for at another host.
_READS_AT_ONCE = 3
_FAULTS = (Refused, Lost, Unreadable)

Row = Mapping[str, Any]


class Ordering:
    """`posting` is a line of its own, so that no slow read holds up an order; `quoting` goes to another host."""

    def __init__(self, posting: Line, reading: Line, quoting: Line, *, timeout_s: float, settle_s: float) -> None:
        self._posting, self._reading, self._quoting = posting, reading, quoting
        self._timeout_s, self._settle_s = timeout_s, settle_s
        self._began = time.monotonic()
        # By id: when it was certain that nothing more of a POST comes (None: it is on its way).
        self._posted: dict[str, float | None] = {}
        self._refused: dict[str, Outcome] = {}
        self._parents: dict[str, str] = {}
        # Alpaca's own ids by ours: asked for by its own, an order comes with its legs in one answer.
        self._broker_ids: dict[str, str] = {}

    def restarted(self) -> None:
        """Count the time after the start from now: what an agent before this one sent may still be on its way."""
        self._began = time.monotonic()

    async def read(self, path: str, **query: str) -> Any:
        """GET, tried once more after a fault that may pass. Raises Refused or Lost."""

        def get(calls: Calls) -> Any:
            return calls.get(path, **query)

        return await self._twice(self._reading, get)

    async def data(self, path: str, **query: str) -> Any:
        """GET from the market data API, as `read`."""

        def get(calls: Calls) -> Any:
            return calls.data(path, **query)

        return await self._twice(self._quoting, get)

    async def _twice(self, line: Line, call: Callable[[Calls], Any]) -> Any:
        try:
            return await line.run(call, limit_s=READ_S)
        except Refused as error:
            if error.is_an_answer:
                raise
        except Lost:
            pass
        await asyncio.sleep(_PAUSE_S)
        return await line.run(call, limit_s=READ_S)

    async def keep_open(self, path: str, **query: str) -> None:
        """Ask for little over each connection that the next decision and its order go over, the quote's by `path`.

        What stands idle for a minute or so is closed at the other end: the next call then pays for a new connection, or
        is lost on the old one. Never raises what Alpaca or the line does.
        """

        def time_there(calls: Calls) -> Any:
            return calls.get("/clock")

        def data(calls: Calls) -> Any:
            return calls.data(path, **query)

        asked = [(self._posting, time_there), *[(self._reading, time_there)] * _READS_AT_ONCE, (self._quoting, data)]
        found = await asyncio.gather(
            *(line.run(call, limit_s=READ_S) for line, call in asked),
            return_exceptions=True,
        )
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, Refused | Lost):
                raise each

    async def send(self, plan: OrderPlan, order_id: str, body: dict[str, Any]) -> Outcome:
        """POST the order, once in the life of this process, and say what came of it.

        Raises Refused when Alpaca does not accept the keys any more: nothing was ordered then.
        """
        if order_id in self._refused:
            return self._refused[order_id]
        if order_id in self._posted:
            return await self._searched(order_id, "it was sent before")
        self._posted[order_id] = None

        def post(calls: Calls) -> Any:
            return calls.post("/orders", body)

        def ended() -> None:
            self._posted[order_id] = time.monotonic()

        try:
            answer = await self._posting.run(post, limit_s=self._timeout_s + 1, ended=ended)
            return self._understood(answer, plan, order_id)
        except Refused as error:
            if not error.is_an_answer or error.is_known_already:
                return await self._searched(order_id, str(error))
            return self._rejected(order_id, error)
        except (Lost, Unreadable) as error:
            return await self._searched(order_id, str(error))

    async def refused_here(self, order_id: str, reason: str) -> Outcome:
        """REJECTED without sending anything, unless Alpaca has an order by this id: then its present outcome."""
        try:
            found = await self.lookup(order_id)
        except _FAULTS as error:
            return Outcome(OutcomeState.UNKNOWN, detail=f"not sent ({reason}), and Alpaca does not answer: {error}")
        if found is None:
            found = self._refused[order_id] = Outcome(OutcomeState.REJECTED, detail=reason)
        return found

    def _understood(self, answer: Any, plan: OrderPlan, order_id: str) -> Outcome:
        order = answers.mapping(answer)
        if order.get("client_order_id") != order_id or order.get("symbol") != plan.ticker:
            raise Unreadable("Alpaca answered about another order")
        self._learn(order)
        self._broker_ids[order_id] = answers.text(order.get("id"))
        return answers.outcome_from(order)

    def _rejected(self, order_id: str, error: Refused) -> Outcome:
        self._posted.pop(order_id, None)
        if error.is_for_want_of_rights:
            raise error
        outcome = self._refused[order_id] = Outcome(OutcomeState.REJECTED, detail=error.message)
        return outcome

    async def _searched(self, order_id: str, reason: str) -> Outcome:
        """Look for an order that may or may not have arrived; UNKNOWN when it is not found soon."""
        _log.warning("order %s: %s; it is looked up, not sent again", order_id, reason)
        try:
            async with asyncio.timeout(_SEARCH_S):
                for pause_s in _SEARCH_PAUSES_S:
                    found = await self._seen(order_id)
                    if found is not None:
                        return found
                    await asyncio.sleep(pause_s)
        except TimeoutError:
            pass
        return self._refused.get(order_id) or Outcome(OutcomeState.UNKNOWN, detail=reason)

    async def _seen(self, order_id: str) -> Outcome | None:
        try:
            order = await self.fetch(order_id)
            return None if order is None else answers.outcome_from(order)
        except _FAULTS as error:
            _log.warning("order %s cannot be looked up: %s", order_id, error)
            return None

    async def lookup(self, order_id: str) -> Outcome | None:
        """What became of an order. None only when Alpaca does not know it and nothing of it can be on its way.

        Raises Refused, Lost or Unreadable.
        """
        ends = time.monotonic() + _WAIT_S
        while True:
            order = await self.fetch(order_id)
            if order is not None:
                return answers.outcome_from(order)
            if self._is_certain(order_id):
                return self._refused.get(order_id)
            if time.monotonic() >= ends:
                return Outcome(OutcomeState.UNKNOWN, detail="Alpaca does not know it yet; it may be on its way")
            await asyncio.sleep(_PAUSE_S)

    def _is_certain(self, order_id: str) -> bool:
        now = time.monotonic()
        if order_id in self._posted:
            ended = self._posted[order_id]
            return ended is not None and now - ended >= self._settle_s
        return order_id in self._refused or now - self._began >= self._settle_s / 3

    async def fetch(self, order_id: str) -> Row | None:
        """An order as Alpaca has it, with its legs, replacements followed; None when it has none by this id."""
        order = await self._known(order_id)
        if order is None:
            return None
        order = await self._latest(order)
        if order.get("order_class") in ("bracket", "oto") and not order.get("legs"):
            # This address gives the legs of an order; that the one by our id does is written nowhere.
            order = await self._by_id(answers.text(order.get("id")))
        legs = [_as_leg(leg, await self._latest(leg)) for leg in answers.rows(order.get("legs") or [])]
        whole = {**order, "legs": legs}
        self._learn(whole, order_id)
        return whole

    async def _known(self, order_id: str) -> Row | None:
        """The order that carries our id, under Alpaca's own where that is known."""
        broker_id = self._broker_ids.pop(order_id, None)
        try:
            if broker_id is not None:
                order = await self._by_id(broker_id)
            else:
                order = answers.mapping(await self.read("/orders:by_client_order_id", client_order_id=order_id))
        except Refused as error:
            if error.status != 404:
                raise
            return None if broker_id is None else await self._known(order_id)
        if order.get("client_order_id") != order_id:
            raise Unreadable("Alpaca answered about another order")
        self._broker_ids[order_id] = answers.text(order.get("id"))
        return order

    async def _latest(self, order: Row) -> Row:
        """The order that took an order's place, as a stop's does when it is triggered.

        One that had filled in part keeps its own end: how the two add up is not documented, so it stays UNKNOWN.
        """
        for _ in range(5):
            successor = order.get("replaced_by")
            if answers.status_of(order) != "replaced" or not successor or answers.number(order.get("filled_qty")):
                break
            order = await self._by_id(answers.text(successor))
        return order

    async def _by_id(self, broker_id: str) -> Row:
        if not all(letter.isalnum() or letter == "-" for letter in broker_id):
            raise Unreadable("an order id that is none")
        return answers.mapping(await self.read(f"/orders/{broker_id}", nested="true"))

    async def cancel(self, order_id: str) -> Outcome | None:
        """Ask Alpaca to end what works of an order and of its legs; the answer is that of `lookup` after it."""
        order = await self.fetch(order_id)
        if order is not None:
            for each in (order, *answers.rows(order.get("legs") or [])):
                if not answers.is_over(each):
                    await self._delete(each)
        return await self.lookup(order_id)

    async def withdraw_entry(self, order_id: str) -> bool:
        """End the unfilled rest of an entry, and no leg of one that has filled; True when nothing is left to end."""
        order = await self.fetch(order_id)
        if order is None:
            return self._is_certain(order_id)
        if answers.is_over(order):
            return True
        await self._delete(order)
        return False

    async def _delete(self, order: Row) -> None:
        """404 and 422 say that it is over or about to be; whatever else goes wrong, the lookup afterwards shows it."""
        broker_id = answers.text(order.get("id"))

        def delete(calls: Calls) -> None:
            calls.delete(f"/orders/{broker_id}")

        try:
            await self._posting.run(delete, limit_s=READ_S)
        except Refused as error:
            if error.status not in (404, 422):
                _log.warning("Alpaca does not cancel order %s: %s", broker_id, error)
        except Lost as error:
            _log.warning("whether Alpaca cancels order %s is not known: %s", broker_id, error)

    async def working(self) -> tuple[WorkingOrder, ...]:
        """All that works, sorted by id. Legs of ours go by the names that the agent gives them."""
        return tuple(sorted((self._named_row(each) for each in await self.open_rows()), key=lambda row: row.order_id))

    async def open_rows(self) -> list[Row]:
        """All open orders, each by itself. Alpaca's list of open orders leaves out the `held` stops of brackets, so
        that the latest orders of any kind are asked for as well, with their legs.
        """
        open_list, recent = await asyncio.gather(
            self.read("/orders", status="open", nested="false", limit=str(_MAX_ROWS)),
            self.read("/orders", status="all", nested="true", limit=str(_MAX_ROWS), direction="desc"),
        )
        found: dict[str, Row] = {}
        for order in answers.rows(recent):
            self._learn(order)
            legs = answers.rows(order.get("legs") or [])
            held = [leg for leg in legs if answers.status_of(order) == "filled"]
            for each in (order, *held):
                found[answers.text(each.get("id"))] = each
        for order in answers.rows(open_list):
            found[answers.text(order.get("id"))] = order
        if len(answers.rows(open_list)) >= _MAX_ROWS:
            raise Unreadable(f"{_MAX_ROWS} open orders or more: the list may not be whole")
        return [each for each in found.values() if not answers.is_over(each)]

    def _named_row(self, order: Row) -> WorkingOrder:
        own, parent = order.get("client_order_id"), self.parent_of(order)
        name = own if isinstance(own, str) and own else ""
        if parent is not None and not is_ours(name):
            name = triggered_order_id(parent, answers.leg_of(order))
        return answers.working_order_from(order, name)

    def parent_of(self, order: Row) -> str | None:
        """The entry that an order is a leg of, by the agent's id; None when it is none, or not known to be one."""
        for name in ("id", "replaces"):
            broker_id = order.get(name)
            if isinstance(broker_id, str) and broker_id in self._parents:
                return self._parents[broker_id]
        return None

    def _learn(self, order: Row, order_id: str | None = None) -> None:
        name = order_id or order.get("client_order_id")
        if isinstance(name, str) and is_ours(name):
            for leg in answers.rows(order.get("legs") or []):
                self._parents[answers.text(leg.get("id"))] = name


def _as_leg(leg: Row, latest: Row) -> Row:
    """What a leg has become, still known as the stop or the target that it was: a triggered stop may come back as a
    market order.
    """
    if latest is leg:
        return leg
    prices = {name: latest.get(name) or leg.get(name) for name in ("stop_price", "limit_price")}
    return {**latest, **prices, "type": leg.get("type")}
