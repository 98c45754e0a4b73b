"""kill -9 between a fill, its stop and its exit, with a program of the friend as the engine: by its own log."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Agents, a_signal, envelope, journal_of, publish, run_command, with_settings

from signal_contract.edges import STOP_VARIABLE
from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
EXAMPLE = Path(__file__).parents[2] / "examples/engines/paper_engine.py"


@pytest.fixture(name="agents")
def _agents() -> Iterator[Agents]:
    with Agents() as started:
        yield started


class Program:
    """The example engine, with or without stops of its own, and what its file says."""

    def __init__(self, folder: Path, *, brackets: bool) -> None:
        text = EXAMPLE.read_text(encoding="utf-8")
        if not brackets:
            text = text.replace('"brackets": True', '"brackets": False')
        self.path, self._file = folder / "engine.py", folder / "orders.json"
        self.path.write_text(text, encoding="utf-8")
        self.settings = {"argv": [sys.executable, str(self.path), str(self._file)], "is_paper": True}

    @property
    def orders(self) -> dict[str, dict[str, Any]]:
        return json.loads(self._file.read_text())["orders"] if self._file.exists() else {}

    def states(self, leg: str) -> list[str]:
        return [each["state"] for name, each in self.orders.items() if name.endswith(f"-{leg}")]


def until(is_true: Callable[[], bool], what: str, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def killed_at(
    monkeypatch: pytest.MonkeyPatch, agents: Agents, config: Path, edge: str, then: Callable[[], object] = lambda: None
) -> None:
    """An agent that dies at this edge, at the latest after what `then` does."""
    monkeypatch.setenv(STOP_VARIABLE, edge)
    agent = agents(config)
    monkeypatch.delenv(STOP_VARIABLE)
    then()
    assert agent.ended(60) == -9, agent.said[-2000:]


@pytest.mark.parametrize("brackets", [True, False], ids=["its_stops", "our_stops"])
def test_each_order_once_a_stop_for_every_share_and_no_exit_that_opens_a_short(
    up: Any, agents: Agents, monkeypatch: pytest.MonkeyPatch, brackets: bool
) -> None:
    config = up.add_user("alice", ["signals.*.*"])
    program = Program(config.parent, brackets=brackets)
    with_settings(config, engine={"kind": "command", "command": program.settings})

    def flatten() -> None:
        done = run_command("subscriber-agent", "flatten", "--yes", "--config", config, "--json")
        assert done.returncode == ExitCode.OK, done.stdout

    killed_at(monkeypatch, agents, config, "engine.submitted", lambda: publish(up, a_signal()))
    if not brackets:
        killed_at(monkeypatch, agents, config, "stop.intended")
        killed_at(monkeypatch, agents, config, "engine.submitted")
    agent = agents(config)
    until(lambda: protected(config), "its stop is confirmed")
    agent.kill()
    flatten()
    killed_at(monkeypatch, agents, config, "exit.released")
    killed_at(monkeypatch, agents, config, "engine.submitted")
    last = agents(config)
    last.until_line("all_closed", timeout_s=40)
    assert last.stop() == ExitCode.OK
    assert program.states("entry") == ["FILLED"]
    assert program.states("exit") == ["FILLED"]
    assert "ACCEPTED" not in program.states("stop")
    assert len(program.states("stop")) == (0 if brackets else 1)
    with journal_of(config) as journal:
        assert [(each.leg.value, each.quantity) for each in journal.fills()] == [("entry", 100), ("exit", 100)]
        assert journal.open_intents() == []
    held = envelope(run_command("subscriber-agent", "engine", "show", "--check", "--config", config, "--json"))
    assert held["data"]["positions"] == []


def protected(config: Path) -> bool:
    done = run_command("subscriber-agent", "positions", "--config", config, "--json")
    rows = envelope(done)["data"]["positions"]
    return [each["is_protected"] for each in rows] == [True]
