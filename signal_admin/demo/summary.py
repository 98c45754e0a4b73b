"""What the demonstration measured, and whether what was promised was seen. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from signal_contract.subject import is_entitled

STAGES = (
    ("published → received", "published_at", "received_at"),
    ("received → decided", "received_at", "decided_at"),
    ("published → decided", "published_at", "decided_at"),
)


def flat(report: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's decision report with what the demonstration shows of it on one level."""
    decision, outcome = report["decision"], report["outcome"] or {}
    return {
        **{key: report[key] for key in ("subject", "action", "ticker", "catalyst", "published_at", "received_at")},
        "verdict": str(decision["verdict"]).lower(),
        "code": decision["code"],
        "decided_at": decision["decided_at"],
        "side": (decision["plan"] or {}).get("side"),
        "quantity": outcome.get("quantity"),
        "price": outcome.get("price"),
    }


@dataclass(slots=True)
class FriendLog:
    """What one friend's agent reported, in order; `live` are the decisions that were no catching up."""

    name: str
    filters: tuple[str, ...]
    decisions: list[Mapping[str, Any]] = field(default_factory=list)
    live: list[Mapping[str, Any]] = field(default_factory=list)
    is_live: bool = False
    caught_up: list[Mapping[str, Any]] = field(default_factory=list)

    def note(self, kind: str, report: Mapping[str, Any]) -> None:
        """Keep one report of the agent."""
        if kind == "decision":
            self.decisions.append(report)
            if self.is_live:
                self.live.append(report)
        elif kind == "caught_up":
            self.caught_up.append(report)
        self.is_live = kind == "caught_up" or (self.is_live and kind != "stopped")

    def entitled(self, wire: Sequence[str]) -> list[str]:
        """The published subjects that are this friend's to read."""
        return [subject for subject in wire if is_entitled(subject, self.filters)]

    @property
    def verdicts(self) -> Counter[str]:
        return Counter(str(each["verdict"]) for each in self.decisions)

    @property
    def codes(self) -> Counter[str]:
        return Counter(str(each["code"]) for each in self.decisions if each["verdict"] == "refused")


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it was kept in this run."""

    promise: str
    is_kept: bool
    seen: str


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value below which `percent` of the values lie (nearest rank); None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def latencies_ms(decisions: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Milliseconds spent in each stage, one value a decision."""
    found: dict[str, list[float]] = {}
    for label, start, end in STAGES:
        found[label] = [
            (datetime.fromisoformat(each[end]) - datetime.fromisoformat(each[start])).total_seconds() * 1000
            for each in decisions
            if each.get(start) and each.get(end)
        ]
    return found


def latency_rows(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """(stage, p50, p95, max) in milliseconds, as text."""
    rows = []
    for label, values in latencies_ms(decisions).items():
        if values:
            p95 = percentile(values, 95) or 0.0
            rows.append((label, f"{statistics.median(values):.1f}", f"{p95:.1f}", f"{max(values):.1f}"))
    return rows


def checks(wire: Sequence[str], logs: Sequence[FriendLog], denials: Sequence[tuple[str, bool, str]]) -> list[Check]:
    """Compare what was published (subjects, in order) with what each friend decided on."""
    found = []
    for log in logs:
        entitled = log.entitled(wire)
        decided = [str(each["subject"]) for each in log.decisions]
        found.append(
            Check(
                f"{log.name} decided on each of his signals exactly once",
                Counter(decided) == Counter(entitled),
                f"{len(decided)} of {len(entitled)}",
            )
        )
        strays = [subject for subject in decided if not is_entitled(subject, log.filters)]
        found.append(Check(f"{log.name} saw nothing beyond his entitlement", not strays, f"{len(strays)} strays"))
    found.extend(Check(f"denied: {what}", is_denied, words) for what, is_denied, words in denials)
    return found
