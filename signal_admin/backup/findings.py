"""What a verification found: one line each, OK, WARN (look at it) or FAIL (it does not hold). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

_SHOWN = 5


class Level(StrEnum):
    """OK holds, WARN has an innocent reason or needs a look, FAIL breaks a promise."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at, and what is to be said of it."""

    level: Level
    what: str
    text: str

    def as_dict(self) -> dict[str, str]:
        return {"level": self.level.value, "what": self.what, "text": self.text}


@dataclass(slots=True)
class Cases:
    """Counts cases and remembers the first five for people."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, case: object) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(str(case))

    @property
    def text(self) -> str:
        return ", ".join(self.first) + (" …" if self.count > len(self.first) else "")


def judged(what: str, cases: Cases, *, fine: str, wrong: str, level: Level = Level.FAIL) -> Finding:
    """`fine` when there are no cases, else `wrong` with how many and the first of them."""
    if not cases.count:
        return Finding(Level.OK, what, fine)
    return Finding(level, what, f"{cases.count:,} {wrong}: {cases.text}")


def has_failed(findings: Iterable[Finding]) -> bool:
    return any(each.level is Level.FAIL for each in findings)
