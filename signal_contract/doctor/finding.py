"""The values of an examination: a check of the registry, the verdict on what was measured, the finding. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Side(StrEnum):
    """Whose doctor: the friend's (`subscriber-agent doctor`) or the operator's (`catalyst doctor`)."""

    AGENT = "agent"
    OPERATOR = "operator"


class Grade(StrEnum):
    """OK, WARN: it works and should be looked at, FAIL: it does not work, SKIPPED: not looked at, and why."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    SKIPPED = "SKIPPED"


class Symptom(StrEnum):
    """What somebody sees before he knows the cause, in his words."""

    CANNOT_CONNECT = "it cannot connect"
    NO_SIGNALS = "no signals come"
    NO_ORDERS = "signals come, but nothing is ordered"
    HIGH_LATENCY = "signals come late"
    STORAGE = "storage trouble"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the registry. `cure` is one line; `cure_operator` replaces it on the operator's side.

    `needs` are the checks without which this one cannot be made, `needs_operator` more of them on the operator's side;
    checks that a side does not have do not count.
    """

    id: str
    title: str
    sides: tuple[Side, ...]
    looks_at: str
    warns: str
    fails: str
    cure: str
    explanation: str
    needs: tuple[str, ...] = ()
    symptoms: tuple[Symptom, ...] = ()
    cure_operator: str = ""
    needs_operator: tuple[str, ...] = ()

    def needs_of(self, side: Side) -> tuple[str, ...]:
        """What it needs on one side."""
        return (*self.needs, *self.needs_operator) if side is Side.OPERATOR else self.needs

    def cure_for(self, side: Side) -> str:
        """What to do about it, for whoever sits there."""
        return self.cure_operator if side is Side.OPERATOR and self.cure_operator else self.cure


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a measurement amounts to. `cure` replaces the registry's line; `facts` are for machines (--json)."""

    grade: Grade
    message: str
    cure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its check; `cure` is empty when there is nothing to do. `took_s` is how long it took."""

    check: Check
    grade: Grade
    message: str
    cure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    took_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.check.id,
            "title": self.check.title,
            "grade": self.grade.value,
            "message": self.message,
            "cure": self.cure,
            "facts": dict(self.facts),
            "took_s": round(self.took_s, 3),
        }


def ok(message: str, **facts: Any) -> Verdict:
    """It works."""
    return Verdict(Grade.OK, message, facts=facts)


def warn(message: str, cure: str = "", **facts: Any) -> Verdict:
    """It works, and somebody should look at it."""
    return Verdict(Grade.WARN, message, cure, facts)


def fail(message: str, cure: str = "", **facts: Any) -> Verdict:
    """It does not work."""
    return Verdict(Grade.FAIL, message, cure, facts)


def skipped(message: str, cure: str = "", **facts: Any) -> Verdict:
    """It was not looked at; `message` says why."""
    return Verdict(Grade.SKIPPED, message, cure, facts)


def worst(findings: tuple[Finding, ...]) -> Grade:
    """FAIL when one failed, else WARN, else OK; what was skipped does not count."""
    grades = {each.grade for each in findings}
    return next((grade for grade in (Grade.FAIL, Grade.WARN) if grade in grades), Grade.OK)
