"""Real arrival times of news alerts, as one day's offsets. The file lies beside a checkout of the project's owner."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

ARRIVALS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "alert_arrivals.jsonl"
DAY_S = 86_400.0


def days_of_arrivals() -> list[list[float]]:
    """For each day of the file its arrivals, in seconds since midnight UTC, in order."""
    days: dict[str, list[float]] = defaultdict(list)
    for line in ARRIVALS.read_text(encoding="utf-8").splitlines():
        at = datetime.fromisoformat(json.loads(line)["ts"])
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        days[at.date().isoformat()].append((at - midnight).total_seconds())
    return [sorted(offsets) for _, offsets in sorted(days.items())]


def waits_of(days: Sequence[Sequence[float]], day_takes_s: float) -> list[float]:
    """Seconds to wait before each arrival when every day, with its quiet hours, is pressed into `day_takes_s`."""
    scale = day_takes_s / DAY_S
    times = [number * day_takes_s + each * scale for number, day in enumerate(days) for each in day]
    return [after - before for before, after in pairwise([0.0, *times])]
