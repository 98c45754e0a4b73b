"""What the webhook engine's tests share: a receiver on a real socket that misbehaves by script, orders, engines."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import order_id_from
from subscriber_agent.engines.webhook.make import make
from subscriber_agent.engines.webhook.settings import WebhookSettings
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "engines" / "webhook_receiver.py"
AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
ENTRY = order_id_from("s1", "alice", Leg.ENTRY)
EXIT = order_id_from("s1", "alice", Leg.EXIT)
SECRET = "a secret of more than sixteen characters"
CAN = {name: True for name in ("shorts", "brackets", "limits", "cancels")} | {"times_in_force": ["day", "gtc"]}
HELLO = {"name": "rude", "version": "1", "capabilities": CAN}
FILLED = {"state": "FILLED", "filled_quantity": "100", "average_price": "5.04"}

Behaviour = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


def a_plan(**changes) -> OrderPlan:
    fields = {
        "ticker": "ABCD",
        "side": Side.BUY,
        "leg": Leg.ENTRY,
        "quantity": D(100),
        "order_type": OrderType.LIMIT,
        "limit_price": D("5.05"),
        "stop_price": D("4.50"),
        "target_price": D("6"),
        "time_in_force": TimeInForce.DAY,
        "reference_price": D("5"),
        "reference_price_at": AT,
        "catalyst": "fda",
    }
    return OrderPlan(**{**fields, **changes})


def an_exit(**changes) -> OrderPlan:
    fields = {"side": Side.SELL, "leg": Leg.EXIT, "order_type": OrderType.MARKET, "limit_price": None}
    return a_plan(**{**fields, "stop_price": None, "target_price": None, "reference_price": D("5.5"), **changes})


@dataclass
class Request:
    """One POST as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self):
        return json.loads(self.body)


def http(status: int, body: bytes, *, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def good(request: Request, result) -> bytes:
    """A whole answer of the protocol."""
    return http(200, json.dumps({"v": 1, "id": request.document["id"], "ok": True, "result": result}).encode())


def answers(result) -> Behaviour:
    async def act(request, writer):
        writer.write(good(request, result))

    return act


def replies(status: int, body: bytes = b"", headers: str = "") -> Behaviour:
    async def act(request, writer):
        writer.write(http(status, body, headers=headers))

    return act


def writes(raw: bytes) -> Behaviour:
    """These bytes, whatever they are, and the end of the connection."""

    async def act(request, writer):
        writer.write(raw)
        await writer.drain()
        writer.close()

    return act


async def hangs(request, writer) -> None:
    await asyncio.Event().wait()


@dataclass
class RudeReceiver:
    """Answers the protocol politely but for what `script` holds by operation ("" for any), first come first used."""

    script: dict[str, list[Behaviour]] = field(default_factory=dict)
    known: dict[str, dict] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    polite: Behaviour | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/token-1234"

    def asked(self, op: str) -> list[Request]:
        return [each for each in self.requests if each.document.get("op") == op]

    @contextlib.asynccontextmanager
    async def listening(self, ssl=None) -> AsyncIterator["RudeReceiver"]:
        tasks: set[asyncio.Task] = set()

        def connected(reader, writer):
            task = asyncio.ensure_future(self._connected(reader, writer))
            tasks.add(task)

        server = await asyncio.start_server(connected, "127.0.0.1", self.port, ssl=ssl)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader, writer) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            try:
                while not writer.is_closing():
                    request = await _read(reader)
                    self.requests.append(request)
                    await self._chosen(request)(request, writer)
                    await writer.drain()
            finally:
                writer.close()

    def _chosen(self, request: Request) -> Behaviour:
        op = request.document.get("op", "")
        scripted = self.script.get(op) or self.script.get("") or []
        if scripted:
            return scripted.pop(0)
        if self.polite is not None:
            return self.polite
        if op == "lookup":
            return answers(self.known.get(request.document["order_id"]))
        return answers({"hello": HELLO, "account": {"cash": "1000", "equity": "1000"}, "cancel": None}.get(op, []))


async def _read(reader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Request(first.split()[1], headers, await reader.readexactly(int(headers["Content-Length"])))


def a_context(home: Path, *, clock=lambda: datetime.now(UTC)) -> EngineContext:
    return EngineContext(data=home / "data", home=home, user="alice", clock=clock, environ={})


def secret_file(home: Path, name: str, content: str) -> str:
    path = home / name
    path.touch(mode=0o600)
    path.write_text(content + "\n")
    return name


def an_engine(home: Path, url: str, *, clock=lambda: datetime.now(UTC), **changes):
    """An engine of the protocol unless `template` says otherwise."""
    fields = {"url_file": secret_file(home, "url", url), "secret_file": secret_file(home, "secret", SECRET)}
    fields |= {"timeout_s": 1, "is_paper": True, **changes}
    return make(WebhookSettings.model_validate(fields), a_context(home, clock=clock))


@contextlib.asynccontextmanager
async def meeting(receiver: RudeReceiver, home: Path, **changes) -> AsyncIterator:
    """A started engine and the receiver that it posts to."""
    async with receiver.listening(), started(an_engine(home, receiver.url, **changes)) as engine:
        yield engine


@contextlib.asynccontextmanager
async def started(engine) -> AsyncIterator:
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


@contextlib.contextmanager
def the_example(home: Path) -> Iterator[str]:
    """The example receiver as a process; its address."""
    command = [sys.executable, str(EXAMPLE), str(home / secret_file(home, "secret", SECRET)), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
