"""A stand-in for Alpaca, written from its published API: trading, market data and trade updates on one local port.

It keeps real orders and positions, refuses what Alpaca refuses, and misbehaves when told to: `fail_next` lets the next
matching request fail, before or after it took effect. `answers_after_s` is how far away it is: a whole round trip;
`connects_after_s` is what a new connection costs besides, and `closes_idle_after_s` how long it keeps one that is idle.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

KEY_ID, SECRET = "PKTESTTESTTESTTEST01", "sEcReTsEcReTsEcReTsEcReTsEcReTsEcReT0001"  # of nobody
OVER = ("filled", "canceled", "expired", "rejected", "replaced")


@dataclass
class Fault:
    """`kind`: an HTTP status, hang, drop (the connection breaks), garbage (no JSON), list (JSON of another shape)."""

    method: str
    path: str
    kind: int | str
    after_accepting: bool
    times: int


@dataclass
class StandIn:
    """One account. `requests` holds (method, path, body) of everything that was asked, auth or not.

    `asked_at` has the monotonic time of each; `most_at_once` is how many of them waited for their answers together.
    """

    cash: Decimal = Decimal(10_000)
    fills_at_once: bool = True
    account: dict[str, Any] = field(default_factory=dict)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    quotes: dict[str, tuple[str, str]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    connections: int = 0
    keys_accepted: bool = True
    feed_accepted: bool = True
    gives_updates: bool = True
    answers_listen: bool = True
    answers_after_s: float = 0.0
    connects_after_s: float = 0.0
    closes_idle_after_s: float = 75.0
    peers: set[Any] = field(default_factory=set)
    asked_at: list[float] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0
    nests_by_client_id: bool = False
    url: str = ""

    def __post_init__(self) -> None:
        self.account = {
            "id": str(uuid.uuid4()),
            "account_number": "PA0000000001",
            "status": "ACTIVE",
            "currency": "USD",
            "trading_blocked": False,
            "account_blocked": False,
            "trade_suspended_by_user": False,
            **self.account,
        }
        for ticker, price in (("SPY", "500"), ("ACME", "10"), ("PENY", "0.5")):
            self.add_asset(ticker, price)

    def add_asset(self, ticker: str, price: str, **flags: Any) -> None:
        """A stock and its quote: bid and ask are the same price."""
        self.assets[ticker] = {
            "id": str(uuid.uuid4()),
            "class": "us_equity",
            "exchange": "NASDAQ",
            "symbol": ticker,
            "status": "active",
            "tradable": True,
            "shortable": True,
            "easy_to_borrow": True,
            "fractionable": True,
            **flags,
        }
        self.quotes[ticker] = (price, price)

    async def start(self) -> None:
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/v2/account", self._account)
        app.router.add_get("/v2/clock", self._clock)
        app.router.add_get("/v2/positions", self._positions)
        app.router.add_get("/v2/positions/{ticker}", self._position)
        app.router.add_get("/v2/assets/{ticker}", self._asset)
        app.router.add_post("/v2/orders", self._submit)
        app.router.add_get("/v2/orders", self._list)
        app.router.add_get("/v2/orders:by_client_order_id", self._by_client_id)
        app.router.add_get("/v2/orders/{id}", self._by_id)
        app.router.add_delete("/v2/orders/{id}", self._cancel)
        app.router.add_get("/v2/stocks/snapshots", self._snapshots)
        app.router.add_get("/stream", self._stream)
        self._runner = web.AppRunner(
            app, shutdown_timeout=0.1, handler_cancellation=True, keepalive_timeout=self.closes_idle_after_s
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for socket in self.sockets:
            await socket.close()
        await self._runner.cleanup()

    def fail_next(
        self, method: str, path: str, kind: int | str, *, after_accepting: bool = False, times: int = 1
    ) -> None:
        """Let the next `times` requests whose path begins with `path` fail."""
        self.faults.append(Fault(method, path, kind, after_accepting, times))

    def asked(self, method: str, path: str) -> list[Any]:
        """The bodies of the requests so far whose path begins with `path`."""
        return [body for each, where, body in self.requests if each == method and where.startswith(path)]

    def order(self, client_order_id: str) -> dict[str, Any]:
        return next(each for each in self.orders.values() if each["client_order_id"] == client_order_id)

    def legs(self, client_order_id: str) -> dict[str, dict[str, Any]]:
        """By type: `stop` and `limit`; a replaced one is followed."""
        found = [self.orders[each] for each in self.order(client_order_id)["_legs"]]
        return {each["type"]: each for each in found}

    # -- the market -------------------------------------------------------------------------------------------

    async def fill(self, order: dict[str, Any], quantity: str | None = None, price: str | None = None) -> None:
        """Fill a part or all that is left, at `price` or the quote; more than is left when told so."""
        left = Decimal(order["qty"]) - Decimal(order["filled_qty"])
        part = left if quantity is None else Decimal(quantity)
        at = Decimal(price or self.quotes[order["symbol"]][0])
        before, average = Decimal(order["filled_qty"]), Decimal(order["filled_avg_price"] or 0)
        total = before + part
        order["filled_qty"] = str(total)
        order["filled_avg_price"] = str((before * average + part * at) / total)
        is_all = total >= Decimal(order["qty"])
        order["status"] = "filled" if is_all else "partially_filled"
        self._book(order, part, at)
        if is_all:
            self._activate(order)
            await self._end_sibling(order)
        await self.tell("fill" if is_all else "partial_fill", order)

    async def trigger_stop(self, client_order_id: str, price: str, *, as_new_order: bool = False) -> None:
        """The market went to the stop. `as_new_order`: Alpaca replaces the stop by a market order, which fills."""
        stop = self.legs(client_order_id)["stop"]
        if as_new_order:
            new = {**stop, "id": str(uuid.uuid4()), "client_order_id": str(uuid.uuid4()), "type": "market"}
            new |= {"stop_price": None, "replaces": stop["id"], "status": "new"}
            stop |= {"status": "replaced", "replaced_by": new["id"]}
            self.orders[new["id"]] = new
            stop = new
        await self.fill(stop, price=price)

    async def move(self, ticker: str, price: str) -> None:
        """Trade at `price`: what is open and reached by it fills, a stop at the price seen, a limit at its own."""
        self.quotes[ticker] = (price, price)
        for order in list(self.orders.values()):
            is_live = order["status"] == "new" or (order["status"] == "held" and self._is_live_stop(order))
            if order["symbol"] == ticker and is_live and self._is_reached(order):
                await self.fill(order, price=order["limit_price"] or price)

    def _is_live_stop(self, order: dict[str, Any]) -> bool:
        return order["type"] == "stop" and order["_parent"] and self.orders[order["_parent"]]["status"] == "filled"

    def _is_reached(self, order: dict[str, Any]) -> bool:
        return self._is_stop_reached(order) if order["type"] == "stop" else self._is_marketable(order)

    def _is_stop_reached(self, order: dict[str, Any]) -> bool:
        stop, price = Decimal(order["stop_price"]), Decimal(self.quotes[order["symbol"]][0])
        return price <= stop if order["side"] == "sell" else price >= stop

    def _is_marketable(self, order: dict[str, Any]) -> bool:
        if order["type"] == "market":
            return True
        if order["type"] != "limit":
            return False
        bid, ask = (Decimal(each) for each in self.quotes[order["symbol"]])
        limit = Decimal(order["limit_price"])
        return limit >= ask if order["side"] == "buy" else limit <= bid

    def _book(self, order: dict[str, Any], quantity: Decimal, price: Decimal) -> None:
        signed = quantity if order["side"] == "buy" else -quantity
        self.cash -= signed * price
        have, average = self.held.get(order["symbol"], (Decimal(0), price))
        now = have + signed
        if now:
            self.held[order["symbol"]] = (now, price if have == 0 else average)
        else:
            self.held.pop(order["symbol"], None)

    def _activate(self, order: dict[str, Any]) -> None:
        """Out of `held`; beside a target the stop stays `held`, since shares are reserved once."""
        legs = [self.orders[each] for each in order["_legs"]]
        for leg in legs:
            if leg["status"] == "held" and not (leg["type"] == "stop" and len(legs) == 2):
                leg["status"] = "new"

    async def _end_sibling(self, order: dict[str, Any]) -> None:
        for other in self.orders.values():
            is_sibling = other.get("_parent") is not None and other["_parent"] == order.get("_parent")
            if is_sibling and other["id"] != order["id"] and other["status"] not in OVER:
                other["status"] = "canceled"
                await self.tell("canceled", other)

    # -- trade updates ----------------------------------------------------------------------------------------

    async def tell(self, event: str, order: dict[str, Any]) -> None:
        """Send a trade update, in a binary frame as the paper endpoint does."""
        body = {"stream": "trade_updates", "data": {"event": event, "order": _shown(order)}}
        if self.gives_updates:
            await self.send(json.dumps(body).encode())

    async def send(self, frame: bytes) -> None:
        for socket in self.sockets:
            await socket.send_bytes(frame)

    async def drop_streams(self) -> None:
        for socket in list(self.sockets):
            await socket.close(code=1006)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            body = json.loads(message.data)
            if body["action"] == "authenticate":
                is_right = self.keys_accepted and body["data"] == {"key_id": KEY_ID, "secret_key": SECRET}
                status = "authorized" if is_right else "unauthorized"
                data = {"action": "authenticate", "status": status}
                await socket.send_bytes(json.dumps({"stream": "authorization", "data": data}).encode())
            elif body["action"] == "listen":
                if socket not in self.sockets:
                    self.sockets.append(socket)
                elif not self.answers_listen:
                    continue
                await socket.send_bytes(json.dumps({"stream": "listening", "data": body["data"]}).encode())
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket

    # -- requests ---------------------------------------------------------------------------------------------

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/stream":
            return await handler(request)
        body = await request.json() if request.can_read_body else dict(request.query)
        self.requests.append((request.method, request.path, body))
        self.asked_at.append(time.monotonic())
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            peer = request.transport and request.transport.get_extra_info("peername")
            if peer not in self.peers:
                self.peers.add(peer)
                await asyncio.sleep(self.connects_after_s)
            answer = await self._answer(request, handler)
            await asyncio.sleep(self.answers_after_s)
            return answer
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        mine = (request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY"))
        if not self.keys_accepted or mine != (KEY_ID, SECRET):
            return web.json_response({"message": "forbidden."}, status=403)
        fault = next(
            (each for each in self.faults if each.method == request.method and request.path.startswith(each.path)), None
        )
        if fault is None:
            return await handler(request)
        fault.times -= 1
        if fault.times == 0:
            self.faults.remove(fault)
        if fault.after_accepting:
            await handler(request)
        return await self._failed(request, fault.kind)

    async def _failed(self, request: web.Request, kind: int | str) -> web.StreamResponse:
        if kind == "hang":
            await asyncio.sleep(60)
        if kind == "drop":
            assert request.transport is not None
            request.transport.abort()
        if kind == "garbage":
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        if kind == "list":
            return web.json_response([1, 2, 3])
        return web.json_response({"message": "something is wrong"}, status=kind if isinstance(kind, int) else 500)

    async def _account(self, _: web.Request) -> web.Response:
        worth = sum((each[0] * Decimal(self.quotes[name][0]) for name, each in self.held.items()), Decimal(0))
        return web.json_response({**self.account, "cash": str(self.cash), "equity": str(self.cash + worth)})

    async def _clock(self, _: web.Request) -> web.Response:
        return web.json_response({"timestamp": "2026-03-02T10:00:00-05:00", "is_open": True})

    def _holding(self, ticker: str) -> dict[str, Any]:
        quantity, average = self.held[ticker]
        return {
            "symbol": ticker,
            "qty": str(quantity),
            "side": "long" if quantity > 0 else "short",
            "avg_entry_price": str(average),
            "current_price": self.quotes[ticker][0],
        }

    async def _positions(self, _: web.Request) -> web.Response:
        return web.json_response([self._holding(each) for each in self.held])

    async def _position(self, request: web.Request) -> web.Response:
        ticker = request.match_info["ticker"]
        if ticker not in self.held:
            return _error(404, 40410000, "position does not exist")
        return web.json_response(self._holding(ticker))

    async def _asset(self, request: web.Request) -> web.Response:
        asset = self.assets.get(request.match_info["ticker"])
        if asset is None:
            return _error(404, 40410000, f"asset not found for {request.match_info['ticker']}")
        return web.json_response(asset)

    async def _snapshots(self, request: web.Request) -> web.Response:
        if not self.feed_accepted:
            return web.json_response({"message": "subscription does not permit querying recent SIP data"}, status=403)
        found = {}
        for ticker in request.query["symbols"].split(","):
            if ticker in self.quotes:
                bid, ask = (json.loads(each) for each in self.quotes[ticker])
                quote = {"t": "2026-03-02T15:00:00.123456789Z", "bp": bid, "ap": ask, "bs": 1, "as": 1}
                found[ticker] = {"latestQuote": quote, "latestTrade": {"t": quote["t"], "p": bid or ask}}
        return web.json_response(found)

    async def _submit(self, request: web.Request) -> web.Response:
        body = await request.json()
        refusal = self._refusal(body)
        if refusal is not None:
            return refusal
        order = self._new(body, None)
        for kind, price in (("take_profit", "limit_price"), ("stop_loss", "stop_price")):
            if kind in body:
                leg = {**body, "side": "sell" if body["side"] == "buy" else "buy", price: body[kind][price]}
                leg |= {"type": "stop" if kind == "stop_loss" else "limit", "client_order_id": str(uuid.uuid4())}
                leg |= {"limit_price": None} if kind == "stop_loss" else {"stop_price": None}
                order["_legs"].append(self._new({**leg, "order_class": "simple"}, order["id"])["id"])
        answer = self._nested(order)
        await self.tell("new", order)
        if self.fills_at_once and self._is_marketable(order):
            await self.fill(order)
        return web.json_response(answer)

    def _new(self, body: dict[str, Any], parent: str | None) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        order = {
            "id": str(uuid.uuid4()),
            "client_order_id": body["client_order_id"],
            "created_at": now,
            "submitted_at": now,
            "symbol": body["symbol"],
            "asset_class": "us_equity",
            "qty": body["qty"],
            "filled_qty": "0",
            "filled_avg_price": None,
            "order_class": body.get("order_class", ""),
            "type": body["type"],
            "side": body["side"],
            "time_in_force": body["time_in_force"],
            "limit_price": body.get("limit_price"),
            "stop_price": body.get("stop_price"),
            "status": "new" if parent is None else "held",
            "extended_hours": body.get("extended_hours", False),
            "replaced_by": None,
            "replaces": None,
            "_legs": [],
            "_parent": parent,
        }
        self.orders[order["id"]] = order
        return order

    def _refusal(self, body: dict[str, Any]) -> web.Response | None:
        asset = self.assets.get(body["symbol"])
        is_plain = "order_class" not in body
        rules = (
            (asset is None, 422, 42210000, f'asset "{body["symbol"]}" not found'),
            (asset is not None and not asset["tradable"], 422, 42210000, f'asset "{body["symbol"]}" is not tradable'),
            (self._is_known(body["client_order_id"]), 422, 40010001, "client_order_id must be unique"),
            (any(_is_sub_penny(each) for each in _prices(body)), 422, 42210000, "sub-penny increment does not fulfill"),
            (
                body.get("extended_hours", False)
                and (body["type"], body["time_in_force"], is_plain) != ("limit", "day", True),
                422,
                42210000,
                "extended hours order must be DAY limit orders",
            ),
            (
                body.get("order_class") == "bracket" and not ("take_profit" in body and "stop_loss" in body),
                422,
                42210000,
                "bracket orders require take_profit.limit_price",
            ),
            (
                Decimal(body["qty"]) % 1 != 0 and (not is_plain or body["time_in_force"] != "day"),
                422,
                42210000,
                "fractional orders must be simple DAY orders",
            ),
            (self._cost(body) > self.cash, 403, 40310000, "insufficient buying power"),
            (self._is_short_of(body), 403, 40310000, "insufficient qty available for order"),
        )
        return next((_error(status, code, text) for is_broken, status, code, text in rules if is_broken), None)

    def _is_known(self, client_order_id: str) -> bool:
        return any(each["client_order_id"] == client_order_id for each in self.orders.values())

    def _cost(self, body: dict[str, Any]) -> Decimal:
        price = body.get("limit_price") or self.quotes.get(body["symbol"], ("0", "0"))[1]
        return Decimal(body["qty"]) * Decimal(price) if body["side"] == "buy" else Decimal(0)

    def _is_short_of(self, body: dict[str, Any]) -> bool:
        """Whether a sale from a position wants more than no other order reserves."""
        have = self.held.get(body["symbol"], (Decimal(0), Decimal(0)))[0]
        reserved = sum(
            Decimal(each["qty"]) - Decimal(each["filled_qty"])
            for each in self.orders.values()
            if each["symbol"] == body["symbol"] and each["side"] == "sell" and each["status"] in ("new", "accepted")
        )
        return have > 0 and body["side"] == "sell" and have - reserved < Decimal(body["qty"])

    def _nested(self, order: dict[str, Any]) -> dict[str, Any]:
        legs = [_shown(self.orders[each]) for each in order["_legs"]]
        return {**_shown(order), "legs": legs or None}

    async def _list(self, request: web.Request) -> web.Response:
        """As Alpaca does it: the open list leaves out `held` orders, and rolls up only when asked to."""
        is_open, is_nested = request.query["status"] == "open", request.query.get("nested") == "true"
        found = [each for each in self.orders.values() if not is_open or each["status"] not in (*OVER, "held")]
        if is_nested:
            return web.json_response([self._nested(each) for each in found if each["_parent"] is None])
        return web.json_response([{**_shown(each), "legs": None} for each in found])

    async def _by_client_id(self, request: web.Request) -> web.Response:
        wanted = request.query["client_order_id"]
        if not self._is_known(wanted):
            return _error(404, 40410000, f"order not found for {wanted}")
        order = self.order(wanted)
        return web.json_response(self._nested(order) if self.nests_by_client_id else {**_shown(order), "legs": None})

    async def _by_id(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["id"])
        if order is None:
            return _error(404, 40410000, "order not found")
        return web.json_response(self._nested(order))

    async def _cancel(self, request: web.Request) -> web.Response:
        """Any order of a group that is cancelled ends the others that are open."""
        order = self.orders.get(request.match_info["id"])
        if order is None:
            return _error(404, 40410000, "order not found")
        if order["status"] in OVER:
            return _error(422, 42210000, f'order is already in "{order["status"]}" state')
        order["status"] = "canceled"
        await self.tell("canceled", order)
        for leg in order["_legs"]:
            if self.orders[leg]["status"] not in OVER:
                self.orders[leg]["status"] = "canceled"
        await self._end_sibling(order)
        return web.Response(status=204)


def _shown(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if not name.startswith("_")}


def _error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)


def _prices(body: dict[str, Any]) -> list[Decimal]:
    legs = (body.get("take_profit") or {}, body.get("stop_loss") or {})
    found = [each.get(name) for each in (body, *legs) for name in ("limit_price", "stop_price")]
    return [Decimal(each) for each in found if each is not None]


def _is_sub_penny(price: Decimal) -> bool:
    return price % (Decimal("0.01") if price >= 1 else Decimal("0.0001")) != 0
