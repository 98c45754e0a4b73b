"""Samples of a process over time, and whether they grow: a straight line through what comes after the warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, resident memory in kB, open files, threads, tasks, messages it lags."""

    at_s: float
    rss_kb: int
    files: int
    threads: int
    tasks: int
    lag: int


def looked_at(pid: int) -> tuple[int, int, int]:
    """Resident memory in kB, open files and threads of a process, from /proc."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]), files, int(status["Threads"])


def growth(samples: Sequence[Sample], what: str) -> float:
    """How much a figure rises from the first to the last sample, by least squares."""
    times, values = [each.at_s for each in samples], [float(getattr(each, what)) for each in samples]
    mean_t, mean_v = sum(times) / len(times), sum(values) / len(values)
    spread = sum((t - mean_t) ** 2 for t in times)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in zip(times, values, strict=True)) / spread
    return slope * (times[-1] - times[0])


def warmed_up(samples: Sequence[Sample], share: float) -> list[Sample]:
    """The samples after the first `share` of the time."""
    return [each for each in samples if each.at_s >= samples[-1].at_s * share]
