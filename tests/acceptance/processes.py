"""The installed commands as processes, and the signals that the acceptance tests publish through them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from signal_contract.codec import encode, signal_id_from
from signal_contract.creds import read_creds
from signal_contract.link import Link, opened
from signal_contract.model import Action, Signal
from signal_contract.resources import resource_path
from subscriber_agent.journal import Journal

Line = dict[str, Any]


def command_path(name: str) -> str:
    """Path of an installed console script of this environment."""
    return str(Path(sys.executable).with_name(name + (".exe" if os.name == "nt" else "")))


def run_command(*words: object, timeout_s: float = 60, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `catalyst …` or `subscriber-agent …` to its end; never with a traceback."""
    name, *arguments = map(str, words)
    done = subprocess.run(
        [command_path(name), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False, **more
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def envelope(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The answer on stdout (the last line, after those of a stream), its shape checked against the exit status."""
    answer = json.loads(done.stdout.splitlines()[-1])
    assert sorted(answer) == ["command", "data", "errors", "exit_code", "status", "version"]
    assert answer["exit_code"] == done.returncode
    assert answer["status"] == {0: "ok", 3: "partial"}.get(done.returncode, "error")
    assert bool(answer["errors"]) == (answer["status"] != "ok")
    return dict(answer)


def refusal(status: int, code: str, *words: object, **more: Any) -> str:
    """Run a command that must fail, as text and with --json: same code, hint and status. Returns its message."""
    as_text, as_json = run_command(*words, **more), run_command(*words, "--json", **more)
    problem = envelope(as_json)["errors"][-1]
    assert (as_json.returncode, problem["code"]) == (status, code), as_json.stdout
    assert problem["hint"], "a refusal says what to do next"
    assert as_text.returncode == status
    assert f"[{code}]" in as_text.stderr
    assert problem["hint"] in " ".join(as_text.stderr.split())
    return str(problem["message"])


class AgentProcess:
    """`subscriber-agent run --json` as a process; a thread collects what it reports."""

    def __init__(self, config: Path, *more: str, kill_when: Callable[[Line], bool] | None = None) -> None:
        self.lines: list[Line] = []
        self._kill_when = kill_when
        self._changed = threading.Condition()
        self._stderr_path = config.with_suffix(".stderr")
        command = [command_path("subscriber-agent"), "run", "--json", "--config", str(config), *more]
        with self._stderr_path.open("a", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self._reader = threading.Thread(target=self._read, name="agent-lines", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for text in stdout:
                if not text.endswith("\n"):
                    break  # killed in the middle of a line
                line = json.loads(text)
                if self._kill_when is not None and self._kill_when(line):
                    self.process.kill()
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def said(self) -> str:
        return self._stderr_path.read_text(encoding="utf-8")

    def of(self, kind: str) -> list[Line]:
        """All lines of one type so far."""
        return [line for line in list(self.lines) if line.get("type") == kind]

    def until(self, is_true: Callable[[], bool], what: str, timeout_s: float = 20) -> None:
        """Wait until something holds of its lines; fails by name, or when it ended before."""
        with self._changed:
            self._changed.wait_for(lambda: is_true() or not self._reader.is_alive(), timeout_s)
        assert is_true(), f"not within {timeout_s:g} s: {what}\n{self.lines[-5:]}\n{self.said[-2000:]}"

    def until_line(self, kind: str, count: int = 1, timeout_s: float = 20) -> Line:
        """Wait for the `count`th line of a type, and return it."""
        self.until(lambda: len(self.of(kind)) >= count, f"{count} × {kind}", timeout_s)
        return self.of(kind)[count - 1]

    def codes(self, count: int) -> list[str]:
        """Wait for this many decisions; their labels."""
        self.until_line("decision", count)
        return [str(line["label"]) for line in self.of("decision")]

    def ended(self, timeout_s: float = 20) -> int:
        """Wait for its end; the exit status."""
        status = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return status

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM and wait; the exit status."""
        self.process.terminate()
        return self.ended(timeout_s)

    def kill(self) -> None:
        """kill -9; also what ends it when a test failed."""
        self.process.kill()
        self.ended()


class Agents(AbstractContextManager["Agents"]):
    """Starts agents, and ends with its block whatever still runs."""

    def __init__(self) -> None:
        self._started: list[AgentProcess] = []

    def __call__(self, config: Path, *more: str, kill_when: Callable[[Line], bool] | None = None) -> AgentProcess:
        agent = AgentProcess(config, *more, kill_when=kill_when)
        self._started.append(agent)
        return agent

    def online(self, config: Path) -> AgentProcess:
        """An agent that has caught up and waits."""
        agent = self(config)
        # The pull of a killed agent stays at the server for up to its 30 s.
        agent.until_line("caught_up", timeout_s=60)
        return agent

    def __exit__(self, *_: object) -> None:
        for agent in self._started:
            agent.kill()


def nth(kind: str, count: int) -> Callable[[Line], bool]:
    """True at the `count`th line of a type: for `kill_when`."""
    seen = 0

    def is_it(line: Line) -> bool:
        nonlocal seen
        seen += line.get("type") == kind
        return seen == count

    return is_it


def a_signal(ticker: str = "AAPL", *, news: str = "news", age_s: float = 0, **changes: Any) -> Signal:
    """A buy at 5.00 with stop 4.75, published `age_s` ago; `changes` are fields of the wire document."""
    now = datetime.now(UTC) - timedelta(seconds=age_s)
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    action = Action(changes.get("action", "buy"))
    fields = {
        "signal_id": signal_id_from(news, ticker, action),
        "ticker": ticker,
        "reference_price": "5.00",
        "reference_price_at": now.isoformat(),
        "stop_price": "4.75",
        "target_price": "6.00",
        "news": {**document["news"], "id": news},
        "classified_at": (now - timedelta(seconds=1)).isoformat(),
        "published_at": now.isoformat(),
        "expires_at": (now + timedelta(hours=2)).isoformat(),
    }
    if action is Action.CLOSE:
        fields |= {"expires_at": None, "stop_price": None, "target_price": None}
    return Signal.model_validate_json(json.dumps({**document, **fields, **changes}))


def publish(up: Any, *signals: Signal) -> list[Signal]:
    """`catalyst publish` them, all of them stored."""
    path = up.data.parent / "signals.jsonl"
    path.write_bytes(b"".join(encode(each) + b"\n" for each in signals))
    answer = envelope(run_command("catalyst", "publish", path, "--data", up.data, "--json"))
    assert answer["data"]["published"] == len(signals), answer
    return list(signals)


def with_settings(config: Path, **changes: Any) -> Path:
    """The config with other top-level settings or sections."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8")) | changes
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return config


def journal_of(config: Path) -> Journal:
    """The agent's journal, read-only; to be closed."""
    return Journal.open(config.with_name(f"{config.stem}-data") / "journal.sqlite", read_only=True)


async def _asked(up: Any, role: str, work: Callable[[Link], Any]) -> Any:
    creds = read_creds(up.data / role / f"{role}.creds")
    async with opened([up.url], creds, label="test") as link:
        return await work(link)


def with_link(up: Any, role: str, work: Callable[[Link], Any]) -> Any:
    """Run `await work(link)` on a connection with the creds of a role."""
    return asyncio.run(_asked(up, role, work))


def durable_state(up: Any, user: str) -> tuple[int, int]:
    """How many messages wait for a user, and how many he has not acknowledged."""

    async def ask(link: Link) -> tuple[int, int]:
        info = await link.api(f"$JS.API.CONSUMER.INFO.SIGNALS.sub_{user}")
        return int(info["num_pending"]), int(info["num_ack_pending"])

    return tuple(with_link(up, "admin", ask))


def codes_of(config: Path) -> dict[str, str]:
    """Signal id → code or verdict, newest first, as the journal has it."""
    with journal_of(config) as journal:
        return {row.signal_id: str(row.code or row.verdict) for row in journal.signals(10_000)}


def assert_once_each(config: Path, expected: Sequence[Signal]) -> None:
    """Every signal once in the journal, decided once; one filled order per accepted one, and no other fill."""
    with journal_of(config) as journal:
        rows = journal.signals(10_000)
        assert sorted(row.signal_id for row in rows) == sorted(each.signal_id for each in expected)
        assert len({row.stream_seq for row in rows}) == len(rows)
        assert journal.undecided_count() == 0
        assert sum(tally.count for tally in journal.counts()) == len(rows)
        assert journal.open_intents() == []
        accepted = {row.signal_id for row in rows if row.verdict == "ACCEPTED"}
        orders = {row.signal_id: journal.orders_of(row.signal_id) for row in rows}
        assert {key for key, found in orders.items() if found} == accepted
        assert all(len(orders[key]) == 1 for key in accepted)
        settled = [order for found in orders.values() for order in found]
        filled = [each.intent.order_id for each in settled if each.outcome and each.outcome.state == "FILLED"]
        fills = [each.order_id for each in journal.fills()]
        assert sorted(fills) == sorted(filled)
        assert len(set(fills)) == len(fills)
