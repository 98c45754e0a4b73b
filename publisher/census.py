"""What went out, counted: by hour of the day, by catalyst, by confidence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal

from signal_contract.model import Signal

_BAND = Decimal("0.1")
_FULL = "█"
# Eighths of a block, so that short bars still differ.
_PARTS = " ▏▎▍▌▋▊▉"
_BAR_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of signals in their last revision; `by_hour` is UTC hours 0..23 of the publication, none left out.

    `by_confidence` counts bands of 0.1, the last of which holds 1.0 too; exits and watches are in it as they stand.
    """

    total: int
    by_hour: tuple[int, ...]
    by_catalyst: tuple[tuple[str, int], ...]
    by_confidence: tuple[tuple[str, int], ...]
    by_action: tuple[tuple[str, int], ...]
    retracted: int


def census_of(signals: Sequence[Signal]) -> Census:
    """Count signals; catalysts and actions the most frequent first."""
    hours = Counter(each.published_at.astimezone(UTC).hour for each in signals)
    bands = Counter(min(int(each.confidence / _BAND), 9) for each in signals)
    return Census(
        total=len(signals),
        by_hour=tuple(hours[hour] for hour in range(24)),
        by_catalyst=tuple(Counter(each.catalyst for each in signals).most_common()),
        by_confidence=tuple((_band_name(band), bands[band]) for band in range(10)),
        by_action=tuple(Counter(each.action.value for each in signals).most_common()),
        retracted=sum(1 for each in signals if each.event.value == "retract"),
    )


def _band_name(band: int) -> str:
    return f"{band / 10:.1f}–{(band + 1) / 10:.1f}"


def bar(count: int, longest: int) -> str:
    """A bar of up to 40 characters for `count` of at most `longest`; something is shown for every count above zero."""
    if count <= 0 or longest <= 0:
        return ""
    eighths = max(1, round(count * _BAR_WIDTH * 8 / longest))
    return (_FULL * (eighths // 8) + _PARTS[eighths % 8]).rstrip()
