"""How long the commands take, as processes: help, `status` and `explain` beside a running agent, its start, its size.

`python -c pass` is the base: what no Python program can be faster than. All of them take turns, and the shell's own
share (fork, exec, reading what is printed) is in every figure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / each) for each in ("acceptance", "chaos", "unit/agent")]

import replay  # noqa: E402
from chaos_process import Crew  # noqa: E402
from chaos_wire import Wire  # noqa: E402
from harness import Bench, Goal, Measured, Scale, rss_mb  # noqa: E402
from processes import Agents, a_signal, command_path, publish  # noqa: E402
from replay_samples import past_lines  # noqa: E402

_HELP = "--help"
_HELD = 300
_IDLE_S = 3.0


def bench(scale: Scale) -> Bench:
    """Everything a friend or an operator waits for at his keyboard."""
    result = Bench("commands", "Commands: what one waits for at the keyboard", goals=_GOALS)
    with tempfile.TemporaryDirectory() as folder, Crew(Path(folder)) as crew, Agents() as agents:
        desk = Desktop(Path(folder), crew, agents)
        desk.fill(_HELD)
        for number in range(scale.rounds):
            result.rounds.append([*desk.waited_for(scale.of(7, 3)), desk.started(number), _replayed(scale)])
    return result


_GOALS = (
    Goal("subscriber-agent --help, ms", "wall_ms", "subscriber-agent --help", most=200),
    Goal("catalyst --help, ms", "wall_ms", "catalyst --help", most=200),
    Goal("subscriber-agent status, ms", "wall_ms", "subscriber-agent status", most=400),
    Goal("subscriber-agent explain --last, ms", "wall_ms", "subscriber-agent explain --last"),
    Goal("start of the agent to its first decision, ms", "first_signal_ms", "subscriber-agent run", most=1000),
    Goal("an idle agent's memory, MB", "idle_rss_mb", "subscriber-agent run", most=80),
)


class Desktop:
    """A server, and one friend whose agent runs, as processes."""

    def __init__(self, folder: Path, crew: Crew, agents: Agents) -> None:
        self._wire = Wire(folder / "data", crew)
        self._wire.start()
        self._agents = agents
        self._config = self._wire.friend("alice")
        self._agent = agents.online(self._config)

    def fill(self, count: int) -> None:
        """Have the agent decide so many signals."""
        publish(self._wire, *(a_signal(news=f"held-{number}") for number in range(count)))
        self._agent.until_line("decision", count, timeout_s=60)

    def waited_for(self, runs: int) -> list[Measured]:
        """Wall time of each command, the median of some runs in turns."""
        chosen = ("--config", str(self._config))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "subscriber-agent --help": [command_path("subscriber-agent"), _HELP],
            "catalyst --help": [command_path("catalyst"), _HELP],
            "subscriber-agent status": [command_path("subscriber-agent"), "status", *chosen],
            "subscriber-agent explain --last": [command_path("subscriber-agent"), "explain", "--last", *chosen],
        }
        times = medians_ms({name: lambda words=words: ran(words) for name, words in commands.items()}, runs)
        return [Measured(name, {"wall_ms": each}) for name, each in times.items()]

    def started(self, number: int) -> Measured:
        """From the start of a process to its decision about a signal that waits; then its memory when it idles."""
        assert self._agent.stop() == 0, self._agent.said
        publish(self._wire, a_signal(news=f"waits-{number}"))
        began = time.perf_counter()
        self._agent = self._agents(self._config)
        self._agent.until_line("decision")
        first_ms = (time.perf_counter() - began) * 1e3
        self._agent.until_line("caught_up")
        time.sleep(_IDLE_S)
        idle_mb = rss_mb(self._agent.process.pid)
        return Measured("subscriber-agent run", {"first_signal_ms": first_ms, "idle_rss_mb": idle_mb})


def medians_ms(works: dict[str, Callable[[], None]], runs: int) -> dict[str, float]:
    """The median wall time of each, run in turns; the first turn, which may read from disk, does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - began) * 1e3)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def ran(words: list[str]) -> None:
    """Run a command to its end, which must be a good one."""
    # Whoever installed it has compiled it; an environment that forbids that would measure the compiler.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(words, capture_output=True, check=True, env=environment)


def _replayed(scale: Scale) -> Measured:
    """How fast the past is decided again, with the defaults."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "past.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in past_lines(scale.of(20_000, 2_000))))
        found = replay.measured(path, "defaults")
    return Measured("subscriber-agent replay", {"signals_per_s": float(str(found["signals_per_s"]))})
