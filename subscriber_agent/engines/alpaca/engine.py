"""The engine `alpaca`: the agreement on one side, Alpaca's paper or live account on the other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from signal_contract.errors import EngineUnusable
from signal_contract.model import Session
from subscriber_agent.accounting.book import Leg
from subscriber_agent.accounting.calendar import NYSE, Calendar
from subscriber_agent.engines.alpaca import answers, orders, sdk, stream
from subscriber_agent.engines.alpaca.answers import Unreadable
from subscriber_agent.engines.alpaca.day_end import DayEnd
from subscriber_agent.engines.alpaca.keys import AlpacaKeys, keys_from
from subscriber_agent.engines.alpaca.line import Line
from subscriber_agent.engines.alpaca.ordering import READ_S, Ordering
from subscriber_agent.engines.alpaca.sdk import Lost, Refused
from subscriber_agent.engines.alpaca.settings import AlpacaSettings, Endpoint
from subscriber_agent.engines.alpaca.stream import Beats, TradeUpdates
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import (
    Account,
    Engine,
    EngineEvent,
    Holding,
    Outcome,
    WorkingOrder,
    is_ours,
)
from subscriber_agent.risk.decision import OrderPlan, TimeInForce
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_log = logging.getLogger("catalyst.engine")

_THREADS = 4
# Threads are made as they are needed. Four questions at once are three here and one for the quote, or four looks at
# orders; as many that nobody waits for any more may each hold a thread for READ_S; and a list of all orders takes two.
_READ_THREADS = 12
_SYMBOL_AGE_S = 3600.0
# A trade read so short ago is as good as a new one, and Alpaca's clock may be ahead of ours by as much.
_TRADE_AGE_S = 5.0
# What is asked before an exit may not hold the exit up.
_BEFORE_EXIT_S = 2.0
_START_S = 25.0
_PROBE = "SPY"
# Ten questions a minute, of the 200 that Alpaca allows.
KEEP_OPEN_S = 30.0
_FAULTS = (Refused, Lost, Unreadable)


class AlpacaEngine:
    """One Alpaca account. Its calls raise Refused, Lost or Unreadable: what the agreement calls faults."""

    name = "alpaca"
    # Whose account it is, "" until it was asked: other keys may open another one.
    account_ref = ""

    def __init__(
        self,
        settings: AlpacaSettings,
        keys: AlpacaKeys,
        context: EngineContext,
        *,
        calendar: Calendar = NYSE,
        beats: Beats | None = None,
        keep_open_s: float = KEEP_OPEN_S,
    ) -> None:
        self._keep_open_s = keep_open_s
        self._settings, self._clock, self._calendar = settings, context.clock, calendar
        timeout_s = float(settings.timeout_s)
        bases = (settings.trading_base, settings.data_base)

        def reader() -> sdk.Calls:
            return sdk.calls_for(keys, *bases, min(timeout_s, READ_S))

        self._lines = (
            Line(lambda: sdk.calls_for(keys, *bases, timeout_s), threads=_THREADS, name="alpaca-orders"),
            Line(reader, threads=_READ_THREADS, name="alpaca-reads"),
            Line(reader, threads=_READ_THREADS, name="alpaca-quotes"),
        )
        self._orders = Ordering(*self._lines, timeout_s=timeout_s, settle_s=float(settings.settle_s))
        self._day_end = DayEnd(calendar, context.clock, self._orders.withdraw_entry)
        self._updates = TradeUpdates(settings.stream_url, keys, self._named, beats)
        self._symbols: dict[str, tuple[float, Symbol]] = {}
        self._trades: dict[str, tuple[float, datetime | None]] = {}
        self._quoting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._attending: tuple[asyncio.Task[None], ...] = ()
        self._only_looks = context.only_looks

    @property
    def is_paper(self) -> bool:
        """Alpaca's paper account: fills are simulated by Alpaca."""
        return self._settings.endpoint is Endpoint.PAPER

    def capabilities(self) -> Capabilities:
        """Everything but parts of a share, which are off by default. Alpaca refuses a second order with the same id."""
        return Capabilities(
            quotes=True,
            symbols=True,
            fractions=self._settings.fractional_shares,
            extended_hours=self._settings.extended_hours,
            stop_orders=True,
            events=True,
            idempotent=True,
            concurrent=True,
        )

    async def start(self) -> None:
        """Import alpaca-py, ask for the account, and learn what works there. An Alpaca that is down is no reason to
        stop: it is asked again at every order. Raises EngineUnusable when the keys or the feed are refused.
        """
        await asyncio.to_thread(sdk.load)
        stream.require()
        self._updates.reopen()
        self._orders.restarted()
        try:
            async with asyncio.timeout(_START_S):
                await self._check_account()
                await self._check_feed()
                await self._take_up()
                # The first order should find its connection made.
                await self._lines[0].run(lambda calls: calls.get("/clock"), limit_s=READ_S)
        except (*_FAULTS, TimeoutError) as error:
            _log.warning("Alpaca does not answer at the start, and is asked again later: %s", error)
        if not self._only_looks:
            works = {"alpaca-day-end": self._day_end.run(), "alpaca-keep-open": self._keep_open()}
            self._attending = tuple(asyncio.create_task(each, name=name) for name, each in works.items())

    async def close(self) -> None:
        """Stop watching and let go of the connections; orders stay."""
        self._updates.close()
        for each in self._attending:
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await each
        self._attending = ()
        for line in self._lines:
            line.close()

    async def _check_account(self) -> None:
        try:
            said = answers.mapping(await self._orders.read("/account"))
        except Refused as error:
            if error.is_for_want_of_rights:
                where = self._settings.endpoint.value
                raise EngineUnusable(
                    f"Alpaca refuses these keys at its {where} endpoint: {error.message}",
                    hint="Keys of the paper account do not open the live one, nor the other way round; check "
                    "engine.alpaca.endpoint and the key file, or make new keys on Alpaca's web page.",
                ) from error
            raise
        number = said.get("account_number") or said.get("id")
        # A mark is all that is needed to notice another account, so the number itself is kept nowhere.
        self.account_ref = hashlib.sha256(str(number).encode()).hexdigest()[:16] if number else ""
        if answers.account_from(said).cash is None:
            raise EngineUnusable("this Alpaca account is not in USD", hint="Use an account in US dollars.")

    async def _check_feed(self) -> None:
        try:
            await self.quote(_PROBE)
        except Refused as error:
            if error.status in (401, 403):
                raise EngineUnusable(
                    f"Alpaca gives no quotes of the feed {self._settings.feed.value}: {error.message}",
                    hint="Set engine.alpaca.feed to iex, or subscribe to the other feed at Alpaca.",
                ) from error
            raise

    async def _take_up(self) -> None:
        """Learn the legs of open entries, and which entries are still out from an earlier day."""
        for order in await self._orders.open_rows():
            name = order.get("client_order_id")
            is_entry = isinstance(name, str) and is_ours(name) and name.endswith(f"-{Leg.ENTRY.value}")
            if is_entry and order.get("time_in_force") == "gtc" and order.get("order_class") in ("bracket", "oto"):
                self._day_end.add(str(name), answers.instant(order.get("submitted_at") or order.get("created_at")))

    async def _keep_open(self) -> None:
        while True:
            await asyncio.sleep(self._keep_open_s)
            await self._orders.keep_open("/stocks/snapshots", symbols=_PROBE, feed=self._settings.feed.value)

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Send an order, once. What Alpaca would refuse is REJECTED here, without asking it."""
        now = self._clock()
        session = self._calendar.session_at(now)
        reason = orders.objection(plan, session, self._settings)
        if reason is None and plan.leg is not Leg.ENTRY:
            reason = await self._nothing_to_close(plan)
        if reason is not None:
            return await self._orders.refused_here(client_order_id, reason)
        body = orders.body_from(plan, client_order_id, await self._exit_quote(plan, session), self._settings)
        # Before the order is out: once it is, nothing may come between it and its entry here.
        if orders.has_legs(plan) and plan.time_in_force is TimeInForce.DAY:
            self._day_end.add(client_order_id, now)
        outcome = await self._orders.send(plan, client_order_id, body)
        if outcome.state.is_working:
            self._updates.expect(client_order_id)
        return outcome

    async def _nothing_to_close(self, plan: OrderPlan) -> str | None:
        """Alpaca would open a position in the other direction; asked twice, since it books a fill a moment late.

        Without an answer the exit goes out all the same.
        """
        for pause_s in (0.5, 0.0):
            try:
                async with asyncio.timeout(_BEFORE_EXIT_S):
                    held = await self._held(plan.ticker)
            except (*_FAULTS, TimeoutError) as error:
                _log.warning("what is held of %s is not known before its exit: %s", plan.ticker, error)
                return None
            if held * plan.side.sign < 0 and abs(held) >= plan.quantity:
                return None
            await asyncio.sleep(pause_s)
        return f"no position of {plan.quantity:f} {plan.ticker} to close, Alpaca holds {held:f}"

    async def _held(self, ticker: str) -> Decimal:
        try:
            return answers.holding_from(answers.mapping(await self._orders.read(_path("positions", ticker)))).quantity
        except Refused as error:
            if error.status == 404:
                return Decimal(0)
            raise

    async def _exit_quote(self, plan: OrderPlan, session: Session | None) -> Quote | None:
        if not orders.needs_quote(plan, session, self._settings):
            return None
        try:
            async with asyncio.timeout(_BEFORE_EXIT_S):
                return await self.quote(plan.ticker)
        except (*_FAULTS, TimeoutError) as error:
            _log.warning("no quote for the exit of %s, which now waits for the open: %s", plan.ticker, error)
            return None

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order, with its legs; None when Alpaca never saw it."""
        return await self._orders.lookup(client_order_id)

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """Ask to end what works of an order and of its legs."""
        return await self._orders.cancel(client_order_id)

    async def account(self) -> Account:
        """Cash and equity in USD."""
        return answers.account_from(answers.mapping(await self._orders.read("/account")))

    async def positions(self) -> tuple[Holding, ...]:
        """All positions, sorted by ticker."""
        held = [answers.holding_from(each) for each in answers.rows(await self._orders.read("/positions"))]
        return tuple(sorted((each for each in held if each.quantity), key=lambda each: each.ticker))

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All working orders, sorted by id."""
        return await self._orders.working()

    async def quote(self, ticker: str) -> Quote | None:
        """Best prices and last trade of the chosen feed; None when Alpaca has none for this ticker."""
        async with self._quoting[ticker]:
            return await self._snapshot(ticker)

    async def _snapshot(self, ticker: str) -> Quote | None:
        try:
            found = await self._orders.data("/stocks/snapshots", symbols=ticker, feed=self._settings.feed.value)
        except Refused as error:
            if error.status in (400, 404, 422):
                return None
            raise
        snapshot = answers.mapping(found).get(ticker)
        if snapshot is None:
            return None
        self._trades[ticker] = (time.monotonic(), answers.traded_at(answers.mapping(snapshot)))
        return answers.quote_from(answers.mapping(snapshot))

    async def symbol(self, ticker: str) -> Symbol | None:
        """The flags of a ticker, at most an hour old; a ticker that Alpaca does not know is not tradable.

        It is not halted when it was traded a moment ago, as in the latest quote; else nobody says.
        """
        flags = await self._flags(ticker)
        # A quote that is being asked for beside this says it as well.
        async with self._quoting[ticker]:
            if not self._has_trade(ticker):
                await self._snapshot(ticker)
        _, traded_at = self._trades.get(ticker, (0.0, None))
        age_s = None if traded_at is None else (self._clock() - traded_at).total_seconds()
        was_traded = age_s is not None and -_TRADE_AGE_S <= age_s <= self._settings.traded_within_s
        return replace(flags, is_halted=False) if was_traded else flags

    def _has_trade(self, ticker: str) -> bool:
        asked_at, _ = self._trades.get(ticker, (-math.inf, None))
        return time.monotonic() - asked_at <= _TRADE_AGE_S

    async def _flags(self, ticker: str) -> Symbol:
        kept = self._symbols.get(ticker)
        if kept is not None and time.monotonic() - kept[0] < _SYMBOL_AGE_S:
            return kept[1]
        try:
            found = answers.symbol_from(answers.mapping(await self._orders.read(_path("assets", ticker))))
        except Refused as error:
            if error.status != 404:
                raise
            found = Symbol(is_tradable=False)
        self._symbols[ticker] = (time.monotonic(), found)
        return found

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Nothing: Alpaca has a market of its own."""
        return ()

    def events(self) -> AsyncIterator[EngineEvent]:
        """Hints from Alpaca's trade updates."""
        return self._updates.events()

    def _named(self, order: Mapping[str, Any]) -> EngineEvent:
        """Which of our orders an update is about; a leg that is not known yet means: look at everything."""
        own = order.get("client_order_id")
        status = answers.status_of(order)[:40]
        if isinstance(own, str) and is_ours(own):
            return EngineEvent(own, status)
        parent = self._orders.parent_of(order)
        return EngineEvent(parent or "", status, is_gap=parent is None)


def _path(kind: str, ticker: str) -> str:
    """A ticker may hold a slash, and comes from the wire."""
    return f"/{kind}/{quote(ticker, safe='')}"


def make(settings: AlpacaSettings, context: EngineContext) -> Engine:
    """The engine, with its keys read and nothing asked yet; raises EngineUnusable."""
    sdk.require()
    return AlpacaEngine(settings, keys_from(settings.key_file, context), context)
