"""Counts of a scenario, as a JSON line and as rows of one table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_WIDTH = 100


@dataclass
class Report:
    """What one scenario counted. `facts` are whole numbers, seconds, or short texts."""

    scenario: str
    seed: int
    is_long: bool
    started: float
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, **facts: Any) -> None:
        """Note counts; the same name again replaces the former."""
        self.facts |= facts

    def as_dict(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario.removeprefix("test_"),
            "seed": self.seed,
            "form": "long" if self.is_long else "short",
            "took_s": round(time.monotonic() - self.started, 1),
            **self.facts,
        }


def table_text(lines: Sequence[dict[str, Any]]) -> str:
    """One table of all scenarios: name, time, and what was counted, wrapped."""
    name_width = max(len(line["scenario"]) for line in lines)
    rows = [f"seed {lines[-1]['seed']}, {lines[-1]['form']} form"]
    for line in lines:
        facts = [f"{key} {_text(value)}" for key, value in line.items() if key not in _OWN_COLUMNS]
        head = f"{line['scenario']:<{name_width}}  {line['took_s']:>6.1f} s  "
        for number, part in enumerate(_wrapped(facts)):
            rows.append((head if number == 0 else " " * len(head)) + part)
    return "\n".join(rows)


_OWN_COLUMNS = ("scenario", "seed", "form", "took_s")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _wrapped(facts: list[str]) -> list[str]:
    rows = [""]
    for fact in facts:
        if rows[-1] and len(rows[-1]) + len(fact) > _WIDTH:
            rows.append("")
        rows[-1] += f", {fact}" if rows[-1] else fact
    return rows
