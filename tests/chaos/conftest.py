"""Chaos: real processes are killed, starved and cut off, and then the books are counted.

Without more it is the short form. `make chaos` runs the long one (CHAOS_FORM=long) in rounds of new seeds; CHAOS_SEED
repeats a run, CHAOS_REPORT names the file of JSON lines that each scenario adds its counts to.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# importlib mode puts no test folder on the path; only these are wanted.
for _folder in (Path(__file__).parent, Path(__file__).parents[1] / "acceptance"):
    sys.path.insert(0, str(_folder))

from chaos_process import Crew, crew_in  # noqa: E402  # found through the path above
from chaos_report import Report, table_text  # noqa: E402  # found through the path above
from chaos_wire import Wire  # noqa: E402  # found through the path above

_REPORTS: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
LONG_TIMEOUT_S, SHORT_TIMEOUT_S = 1800, 180


@dataclass(frozen=True, slots=True)
class Chaos:
    """How much of it, and with which dice. The same seed draws the same edges, passes and loads."""

    is_long: bool
    seed: int

    def dice(self, what: str) -> random.Random:
        """A random source of this scenario's own, so that one scenario's draws do not move another's."""
        return random.Random(f"{self.seed}/{what}")

    def pick(self, short: Any, long: Any) -> Any:
        """The number for this form."""
        return long if self.is_long else short


@pytest.fixture(autouse=True)
def _trades_at_any_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    # By default entries are made in New York's regular session only.
    monkeypatch.setenv("SUBSCRIBER_AGENT__RISK__SESSIONS", "[pre, regular, after, closed]")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    timeout_s = LONG_TIMEOUT_S if _is_long() else SHORT_TIMEOUT_S
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.timeout(timeout_s))


def _is_long() -> bool:
    return os.environ.get("CHAOS_FORM") == "long"


@pytest.fixture(scope="session")
def chaos() -> Chaos:
    """Short or long, and the seed."""
    if os.name != "posix":
        pytest.skip("kill -9 is POSIX")
    return Chaos(_is_long(), int(os.environ.get("CHAOS_SEED") or 20260102))


@pytest.fixture
def report(chaos: Chaos, request: pytest.FixtureRequest) -> Iterator[Report]:
    """`report.add(name=count, …)`: what this scenario did; printed at the end, also when it failed."""
    made = Report(request.node.name, chaos.seed, is_long=chaos.is_long, started=time.monotonic())
    yield made
    line = made.as_dict()
    request.config.stash.setdefault(_REPORTS, []).append(line)
    if file := os.environ.get("CHAOS_REPORT"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


@pytest.fixture
def crew(chaos: Chaos, tmp_path: Path) -> Iterator[Crew]:
    """Starts processes; whatever still runs is ended with the test. (`chaos` skips where there is no kill -9.)"""
    with crew_in(tmp_path / "out") as started:
        yield started


@pytest.fixture
def wire(tmp_path: Path, crew: Crew) -> Iterator[Wire]:
    """`catalyst up` on a fresh data directory."""
    yield from _wire(Wire(tmp_path / "data", crew))


@pytest.fixture
def bare_wire(tmp_path: Path, crew: Crew) -> Iterator[Wire]:
    """`catalyst up --no-relay`: the classifier's own process sends."""
    yield from _wire(Wire(tmp_path / "data", crew, "--no-relay"))


def _wire(made: Wire) -> Iterator[Wire]:
    try:
        made.start()
        yield made
    finally:
        made.end()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := config.stash.get(_REPORTS, []):
        terminalreporter.section("chaos")
        terminalreporter.write_line(table_text(lines))
