"""One case of the kit, what it needs to be tried, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from subscriber_agent.conformance.bench import Bench, Rig
from subscriber_agent.risk.market import Capabilities


class Need(StrEnum):
    """What a case cannot do without. TRADE: it orders; PRICE: the test can move the market; the rest: capabilities."""

    TRADE = "trade"
    PRICE = "price"
    QUOTES = "quotes"
    SYMBOLS = "symbols"
    BRACKETS = "brackets"
    STOP_ORDERS = "stop_orders"
    LIMITS = "limits"
    CANCELS = "cancels"
    EVENTS = "events"
    CONCURRENT = "concurrent"


Run = Callable[[Bench], Awaitable[str | None]]


class Result(StrEnum):
    PASS = "PASS"  # noqa: S105  # a word, not a secret
    FAIL = "FAIL"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Case:
    """`title` is the rule as a sentence; `run` raises Failed or Skipped with a text, and returns what it saw."""

    id: str
    title: str
    needs: frozenset[Need]
    run: Run


def case(case_id: str, title: str, run: Run, *needs: Need) -> Case:
    """A line of the table."""
    return Case(case_id, title, frozenset(needs), run)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case. `text` says why it failed or was skipped; `took_s` in seconds, its cleaning up included."""

    id: str
    title: str
    result: Result
    text: str
    took_s: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "result": self.result.value,
            "text": self.text,
            "took_s": round(self.took_s, 3),
        }


def missing(case: Case, can: Capabilities, rig: Rig) -> str | None:
    """Why a case cannot be tried on this engine with this rig; None when it can."""
    if Need.TRADE in case.needs and not rig.may_trade:
        return "it would order, and orders were not allowed"
    if Need.PRICE in case.needs and rig.move_price is None:
        return "it needs a market whose price the test can move"
    lacking = [need for need in _OF_THE_ENGINE if need in case.needs and not getattr(can, need.value)]
    return f"the engine does not declare: {', '.join(lacking)}" if lacking else None


_OF_THE_ENGINE = tuple(each for each in Need if each not in (Need.TRADE, Need.PRICE))
