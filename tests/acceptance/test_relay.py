"""`catalyst relay` as a process: sends what others submit, says what happens, survives kill -9 at every edge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from processes import a_signal, command_path, envelope, refusal, run_command, with_link

from publisher.entry import entry_from
from publisher.outbox import Outbox
from publisher.settings import read_settings
from signal_contract.link import Link
from signal_contract.resources import resource_path

EDGES = ("relay.taken", "relay.sent", "relay.confirmed")


class Relay:
    """`catalyst relay --json` as a process; a thread collects its lines."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        command = [command_path("catalyst"), "relay", "--json", "--data", str(data)]
        with (data.parent / "relay.stderr").open("a", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | environment
            )
        self._reader = threading.Thread(target=self._read, name="relay-lines", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                with self._changed:
                    self.lines.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def until(self, is_true: Callable[[], bool], what: str) -> None:
        with self._changed:
            self._changed.wait_for(is_true, 30)
        assert is_true(), f"not within 30 s: {what}: {self.lines}"

    def has(self, **facts: object) -> bool:
        return any(facts.items() <= line.items() for line in list(self.lines))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        status = self.process.wait(30)
        self._reader.join(30)
        return status


@pytest.fixture
def relay_of() -> Iterator[Callable[..., Relay]]:
    started: list[Relay] = []

    def start(data: Path, **environment: str) -> Relay:
        started.append(Relay(data, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.ended()


@pytest.fixture(name="server")
def _server(data_dir: Path, start_up: Callable[..., Any]) -> Iterator[Any]:
    """`catalyst up` that leaves the relaying to others."""
    running = start_up(data_dir, None, "--no-relay")
    yield running
    running.stop()


def submit(data: Path, *news: str) -> None:
    """Put signals into the outbox, as another program of the operator does."""
    settings = read_settings(data, now=datetime.now(UTC))
    with Outbox.open(settings.outbox) as outbox:
        entries = [entry_from(a_signal(news=each), settings.signer) for each in news]
        outbox.submit_many(entries, now=datetime.now(UTC))


def until_sent(data: Path) -> None:
    """Wait until nothing waits in the outbox."""
    deadline = time.monotonic() + 30
    with Outbox.open(data / "publisher" / "outbox.sqlite") as outbox:
        while outbox.waiting():
            assert time.monotonic() < deadline, "it was not sent"


def stored(up: Any) -> int:
    """How many messages the stream holds."""

    async def ask(link: Link) -> int:
        return int((await link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["messages"])

    return int(with_link(up, "admin", ask))


def state_of(data: Path) -> dict[str, Any]:
    return dict(json.loads((data / "publisher" / "state.json").read_bytes()))


def test_relay_sends_what_another_program_submits_and_ends_in_order(
    server: Any, relay_of: Callable[..., Relay]
) -> None:
    relay = relay_of(server.data)
    relay.until(lambda: relay.has(type="state", state="up"), "up")
    submit(server.data, "one", "two")
    until_sent(server.data)
    assert stored(server) == 2
    state = state_of(server.data)
    assert (state["state"], state["pid"]) == ("up", relay.process.pid)
    assert relay.stop() == 0
    assert relay.lines[-1]["type"] == "stopped"
    assert all(line["at"].endswith("+00:00") for line in relay.lines)


def test_server_that_goes_and_comes_is_said(
    data_dir: Path, start_up: Callable[..., Any], relay_of: Callable[..., Relay]
) -> None:
    first = start_up(data_dir, None, "--no-relay")
    relay = relay_of(data_dir)
    relay.until(lambda: relay.has(type="state", state="up"), "up")
    first.stop()
    submit(data_dir, "one")
    relay.until(lambda: relay.has(type="state", state="down"), "down")
    second = start_up(data_dir, first.port, "--no-relay")
    try:
        relay.until(lambda: relay.lines[-1].get("state") == "up", "up again")
        assert relay.stop() == 0
        assert stored(second) == 1
    finally:
        second.stop()


@pytest.mark.parametrize("edge", EDGES)
def test_killed_at_an_edge_it_sends_the_rest_once(server: Any, relay_of: Callable[..., Relay], edge: str) -> None:
    submit(server.data, *(f"news {n}" for n in range(6)))
    killed = relay_of(server.data, CATALYST_STOP_AT=f"{edge}:3")
    assert killed.ended() == -signal.SIGKILL
    relay = relay_of(server.data)
    relay.until(lambda: relay.has(type="state", state="up"), "up")
    assert relay.stop() == 0
    assert stored(server) == 6


def test_publish_gets_in_beside_a_relay(server: Any, relay_of: Callable[..., Relay]) -> None:
    relay = relay_of(server.data)
    relay.until(lambda: relay.has(type="state", state="up"), "up")
    sample = resource_path("config/samples/catalyst_bot_signals.jsonl")
    answer = envelope(run_command("catalyst", "publish", sample, "--data", server.data, "--json"))
    assert (answer["data"]["published"], answer["data"]["waiting"], stored(server)) == (25, 0, 25)


def test_directory_without_settings_says_what_to_run_first(tmp_path: Path) -> None:
    assert "no publisher settings" in refusal(6, "NOT_FOUND", "catalyst", "relay", "--data", tmp_path)
