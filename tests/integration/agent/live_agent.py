"""A worker with its journal, desk and engine in the test's own process, and a publisher to feed it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_contract.codec import signal_id_from
from signal_contract.control import Control, Verb, control_bytes
from signal_contract.creds import read_creds
from signal_contract.model import Action, Event, Session, Signal
from signal_contract.resources import resource_path
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER
from subscriber_agent.desk import Desk
from subscriber_agent.disk import Disk
from subscriber_agent.engines.paper.engine import PaperEngine
from subscriber_agent.journal import Journal
from subscriber_agent.settings.config import load_config
from subscriber_agent.worker import Worker


def now() -> datetime:
    return datetime.now(UTC)


def a_signal(ticker: str = "AAPL", **changes: Any) -> Signal:
    """A buy at 5.00 with stop 4.75, published now."""
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    at = now().isoformat()
    fields = {
        "signal_id": signal_id_from("news", ticker, Action.BUY),
        "ticker": ticker,
        "reference_price": "5.00",
        "reference_price_at": at,
        "stop_price": "4.75",
        "target_price": "6.00",
        "classified_at": at,
        "published_at": at,
        "expires_at": (now() + timedelta(hours=2)).isoformat(),
    }
    return Signal.model_validate_json(json.dumps({**document, **fields, **changes}))


def revised(signal: Signal, event: Event, revision: int = 2, **changes: Any) -> Signal:
    return signal.model_copy(update={"event": event, "revision": revision, **changes})


class Slow:
    """The paper engine behind a slow line: an order waits until `gate` is set."""

    def __init__(self, inner: PaperEngine) -> None:
        self._inner = inner
        self.gate = asyncio.Event()
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def submit(self, plan: Any, order_id: str) -> Any:
        self.asked += 1
        await self.gate.wait()
        return await self._inner.submit(plan, order_id)


class Agent:
    """A worker with its journal, desk and paper engine, put together as `run` does it."""

    def __init__(
        self, config: Path, name: str, *, wrap: Any = None, clock: Callable[[], datetime] = now, **changes: Any
    ) -> None:
        loaded = load_config(config)
        # Tests run at the hour of the machine.
        at_any_time = loaded.risk.model_copy(update={"sessions": tuple(Session)})
        self.settings = settings = loaded.model_copy(update={"risk": at_any_time, **changes})
        self.creds = creds = read_creds(settings.creds, role="subscriber")
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.journal = Journal.open(settings.data_dir(creds.user, creds.account) / "journal.sqlite")
        self.disk = Disk.threaded()
        # In a thread of its own, as `run` has it.
        paper = PaperEngine(self.journal.path.parent, settings.engine.paper, clock=clock, has_own_thread=True)
        self.engine: Any = paper if wrap is None else wrap(paper)
        self.desk = Desk(settings, self.journal, self.engine, clock, user=name, disk=self.disk)
        self.stop = asyncio.Event()
        self.worker = self.make_worker()

    def make_worker(self, **options: Any) -> Worker:
        return Worker(self.settings, self.creds, self.journal, self.desk, self._note, disk=self.disk, **options)

    def _note(self, event: str, facts: dict[str, Any]) -> None:
        self.reports.append((event, facts))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [facts for event, facts in self.reports if event == kind]

    @property
    def labels(self) -> list[str]:
        return [facts["label"] for facts in self.of("decision")]

    async def run(self, *, until_drained: bool = False) -> None:
        try:
            async with asyncio.timeout(90):
                await self.worker.run(self.stop, connect_timeout_s=2, until_drained=until_drained)
        finally:
            self.disk.close()
            self.journal.close()


@asynccontextmanager
async def running(agent: Agent, until: Any, *, up_to: str = "caught_up"):
    """The agent in the background, up to date (or at another of its reports); stopped at the end."""
    task = asyncio.create_task(agent.run())
    await until(lambda: task.done() or bool(agent.of(up_to)), what=f"it has come to {up_to}")
    try:
        yield task
    finally:
        agent.stop.set()
        if agent.engine.__class__ is Slow:
            agent.engine.gate.set()
        await task


async def say(operator: Any, verb: Verb, reason: str = "", *, user: str | None = None, **changes: Any) -> Control:
    """A control message, signed with the publisher's key, in the stream."""
    fields = {"control_id": secrets.token_hex(16), "verb": verb, "user": user, "reason": reason, "issued_at": now()}
    control = Control.model_validate({**fields, **changes})
    await put(await operator.link("admin"), operator, control.subject, control_bytes(control), control.message_id)
    return control


async def put(link: Any, operator: Any, subject: str, payload: bytes, message_id: str, signature: str = "") -> int:
    """Any bytes in the stream, signed unless a signature is given; returns their sequence."""
    signed = signature or read_settings(operator.data, now=now()).signer.sign(subject, payload)
    headers = {MESSAGE_ID_HEADER: message_id, SIGNATURE_HEADER: signed}
    return (await link.publish_stored(subject, payload, headers=headers)).sequence


@asynccontextmanager
async def publishing(operator):
    async with SignalPublisher(read_settings(operator.data, now=now())) as publisher:

        async def publish(*signals: Signal) -> None:
            await publisher.submit_many(signals)
            assert (await publisher.flush(10)).failure is None

        yield publish


async def drained(operator, *signals: Signal) -> Agent:
    """An agent that was away while these were published, and then caught up."""
    config = await operator.add_user("alice", ["signals.*.*"])
    async with publishing(operator) as publish:
        await publish(*signals)
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    return agent
