"""The story of the demonstration: every step a command that a person could type. It knows no terminal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from signal_admin.demo.cast import BOB, FRIENDS, Friend, config_with_rules
from signal_admin.demo.process import Command, answer_of
from signal_admin.demo.summary import Check, FriendLog, checks, flat
from signal_admin.desk import open_desk
from signal_contract.codec import decode
from signal_contract.creds import read_creds, write_secret
from signal_contract.delivery import Delivery, LinkEvent, LinkNotice
from signal_contract.errors import DemoFailed, Denied, RequestTimedOut
from signal_contract.link import Link
from signal_contract.topology import ALL_SIGNALS, pull_subject

_PATIENCE_S = 20.0
_SETTLE_S = 10.0


class Stage(Protocol):
    """Where the story is shown."""

    def step(self, text: str, command: str = "") -> None:
        """A new step, and the command that makes it happen."""

    def wire(self, signal: dict[str, Any]) -> None:
        """A signal that the server has stored."""

    def friend(self, name: str, event: str, report: dict[str, Any]) -> None:
        """Something that a friend's agent reports."""

    def note(self, text: str) -> None:
        """A line between the steps."""


@dataclass(slots=True)
class Outcome:
    """What the story came to."""

    wire: list[str] = field(default_factory=list)
    logs: dict[str, FriendLog] = field(default_factory=dict)
    denials: list[tuple[str, bool, str]] = field(default_factory=list)

    @property
    def checks(self) -> list[Check]:
        return checks(self.wire, list(self.logs.values()), self.denials)


class Story:
    """Plays the demonstration in `folder`; `pace_s` is the pause between two signals."""

    def __init__(self, folder: Path, stage: Stage, sample: list[bytes], *, pace_s: float) -> None:
        self._folder = folder
        self._data = folder / "operator"
        self._stage = stage
        self._sample = sample
        self._pace_s = pace_s
        self._changed = asyncio.Event()
        self._agents: dict[str, Command] = {}
        self._configs: dict[str, Path] = {}
        self._online: set[str] = set()
        self.outcome = Outcome()

    async def play(self) -> Outcome:
        """From an empty folder to the last check. Raises DemoFailed when a step does not work."""
        async with self._server() as url, self._tap(url):
            try:
                await self._invite_friends()
                for friend in FRIENDS:
                    await self._bring_online(friend)
                half = len(self._sample) * 2 // 3
                self._stage.step("The classifier's findings go out", "catalyst publish - --drill")
                await self._publish(self._sample[:half])
                await self._until_decided(FRIENDS)
                await self._take_offline(BOB)
                self._stage.step(f"{BOB.name} is away; the wire goes on", "catalyst publish - --drill")
                await self._publish(self._sample[half:])
                await self._until_decided([each for each in FRIENDS if each is not BOB])
                await self._bring_online(BOB)
                await self._until_decided(FRIENDS)
                await self._try_what_is_forbidden(url)
            finally:
                for agent in self._agents.values():
                    await agent.stop()
        return self.outcome

    # The operator's side --------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncIterator[str]:
        self._stage.step("The operator starts the wire", "catalyst up")
        ready: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        words = ("catalyst", "up", "--json", "--port", "-1", "--data", str(self._data))
        server = await Command.start(*words, folder=self._folder, on_line=ready.put_nowait)
        try:
            answer = await self._within(ready.get(), "the server's start", server)
            yield str((answer.get("data") or {})["url"])
        finally:
            await server.stop()

    @contextlib.asynccontextmanager
    async def _tap(self, url: str) -> AsyncIterator[None]:
        """Listen on the wire with the operator's read-only monitor role."""
        desk = open_desk(self._data)
        link = await Link.open([url], read_creds(desk.role_creds("monitor"), role="monitor"), label="demo")
        try:
            await link.subscribe(ALL_SIGNALS, self._on_wire)
            await link.flush()
            yield
        finally:
            await link.close()

    async def _on_wire(self, message: Delivery) -> None:
        signal = decode(message.data)
        self.outcome.wire.append(message.subject)
        self._stage.wire(signal.model_dump(mode="json") | {"subject": message.subject})
        self._changed.set()

    async def _invite_friends(self) -> None:
        for friend in FRIENDS:
            words = ("catalyst", "user", "add", friend.name, "--catalysts", ",".join(friend.catalysts))
            self._stage.step(f"{friend.name} is let in: {friend.in_words}", " ".join(words))
            data = await answer_of(*words, "--data", str(self._data), folder=self._folder)
            self._configs[friend.name] = _with_rules(Path(data["config"]), friend)
            self.outcome.logs[friend.name] = FriendLog(friend.name, tuple(data["filters"]))

    async def _publish(self, records: list[bytes]) -> None:
        words = ("catalyst", "publish", "-", "--drill", "--json", "--data", str(self._data))
        answers: list[dict[str, Any]] = []
        publisher = await Command.start(*words, folder=self._folder, on_line=answers.append)
        for record in records:
            await publisher.write(record + b"\n")
            await asyncio.sleep(self._pace_s)
        status = await publisher.ended(_PATIENCE_S)
        if status or not answers:
            raise DemoFailed(f"publishing ended with {status}: {answers or publisher.complaint()}")
        data = answers[-1]["data"]
        self._stage.note(f"published {data['published']}; not signals: {data['dropped']['total']}")

    # The friends' side ----------------------------------------------------------------------------------------

    async def _bring_online(self, friend: Friend) -> None:
        is_back = friend.name in self._agents
        self._stage.step(
            f"{friend.name} {'comes back and catches up' if is_back else 'starts his agent, on paper money'}",
            f"subscriber-agent run --config {friend.name}.yaml",
        )
        log = self.outcome.logs[friend.name]
        before = len(log.caught_up)
        words = ("subscriber-agent", "run", "--json", "--config", str(self._configs[friend.name]))
        agent = await Command.start(
            *words, folder=self._folder, on_line=lambda report: self._on_report(friend.name, report)
        )
        self._agents[friend.name] = agent
        await self._until(lambda: len(log.caught_up) > before, f"{friend.name}'s agent", agent)

    def _on_report(self, name: str, report: dict[str, Any]) -> None:
        event = str(report.get("type", ""))
        log = self.outcome.logs[name]
        if event == "decision":
            report = flat(report)
        log.note(event, report)
        self._stage.friend(name, event, report)
        self._changed.set()

    async def _take_offline(self, friend: Friend) -> None:
        self._stage.step(f"{friend.name} closes his laptop", "Ctrl-C")
        status = await self._agents[friend.name].stop()
        if status:
            raise DemoFailed(f"{friend.name}'s agent ended with {status}: {self._agents[friend.name].complaint()}")

    async def _until_decided(self, friends: Sequence[Friend]) -> None:
        def all_decided() -> bool:
            logs = [self.outcome.logs[friend.name] for friend in friends]
            return all(len(log.decisions) >= len(log.entitled(self.outcome.wire)) for log in logs)

        await self._until(all_decided, "the friends' decisions", None)

    async def _try_what_is_forbidden(self, url: str) -> None:
        name, other = BOB.name, FRIENDS[0].name
        self._stage.step(f"{name} tries to read what is not his", "(raw connection with bob.creds)")
        notices: asyncio.Queue[LinkNotice] = asyncio.Queue()
        creds = read_creds(self._configs[name].with_suffix(".creds"), role="subscriber")
        link = await Link.open([url], creds, label="demo-forbidden", on_notice=notices.put_nowait)
        try:
            await link.subscribe("signals.>", self._must_not_arrive)
            self._deny("subscribe to signals.>", await self._denial(notices))
            await link.publish("signals.fda.AAPL", b"{}")
            self._deny("publish a signal of his own", await self._denial(notices))
            self._deny(f"pull from {other}'s durable", await self._refusal(link, pull_subject(other)))
            self._deny("delete the stream", await self._refusal(link, "$JS.API.STREAM.DELETE.SIGNALS"))
        finally:
            await link.close()

    async def _must_not_arrive(self, message: Delivery) -> None:
        self._deny(f"a message on {message.subject} arrived", "")

    def _deny(self, what: str, words: str) -> None:
        self.outcome.denials.append((what, bool(words), words or "it was NOT denied"))
        self._stage.note(f"{what}: {words or 'NOT DENIED'}")

    @staticmethod
    async def _denial(notices: asyncio.Queue[LinkNotice]) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                while (notice := await notices.get()).event is not LinkEvent.DENIED:
                    pass
                return notice.detail
        return ""

    @staticmethod
    async def _refusal(link: Link, subject: str) -> str:
        try:
            await link.request(subject, timeout_s=2.0)
        except Denied as error:
            return error.message
        except RequestTimedOut:
            return ""
        return ""

    # Waiting --------------------------------------------------------------------------------------------------

    async def _until(self, is_true: Callable[[], bool], what: str, command: Command | None) -> None:
        async def wait() -> None:
            while not is_true():
                if command is not None and command.has_ended:
                    raise DemoFailed(f"{what} ended early: {command.complaint()}")
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await self._changed.wait()

        await self._within(wait(), what, command)

    @staticmethod
    async def _within(work: Awaitable[Any], what: str, command: Command | None) -> Any:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await work
        except TimeoutError as error:
            said = command.complaint() if command is not None else ""
            raise DemoFailed(f"{what} took longer than {_PATIENCE_S:g} s {said}".strip()) from error


def _with_rules(config: Path, friend: Friend) -> Path:
    write_secret(config, config_with_rules(config.read_text(encoding="utf-8"), friend))
    return config


def sample_records(text: str) -> list[bytes]:
    """The bundled sample as lines; raises DemoFailed when it is damaged."""
    try:
        return [orjson.dumps(orjson.loads(line)) for line in text.splitlines() if line.strip()]
    except orjson.JSONDecodeError as error:
        raise DemoFailed("the bundled sample is damaged") from error
