"""Equity and exposure as block characters for a terminal, without colour. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from subscriber_agent.replay.curve import Curve, Point

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .......##"
_EQUITY_ROWS, _EXPOSURE_ROWS = 8, 4
_MIN_WIDTH, _MAX_WIDTH = 30, 120

Pick = Callable[[Point], Decimal | None]


def curve_lines(curve: Curve, *, width: int, is_unicode: bool = True) -> list[str]:
    """Lines of at most `width` characters (30 to 120): equity above, exposure from zero below; empty without points.

    What is not known is left blank. Without `is_unicode` it is drawn in ASCII.
    """
    if not curve.points:
        return []
    blocks = _BLOCKS if is_unicode else _ASCII
    room = max(_MIN_WIDTH, min(width, _MAX_WIDTH))
    equity = _panel(curve.points, lambda point: point.equity_usd, None, _EQUITY_ROWS, room, blocks)
    exposure = _panel(curve.points, lambda point: point.exposure_usd, Decimal(0), _EXPOSURE_ROWS, room, blocks)
    first, last = curve.points[0].at, curve.points[-1].at
    ends = f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%d %H:%M}"
    return ["equity USD", *equity, "exposure USD", *exposure, ends[0] + ends[1].rjust(max(room - len(ends[0]), 17))]


def _panel(points: Sequence[Point], pick: Pick, floor: Decimal | None, rows: int, width: int, blocks: str) -> list[str]:
    known = [value for value in map(pick, points) if value is not None]
    if not known:
        return ["unknown"]
    low, high = min(known) if floor is None else floor, max(known)
    labels = [f"{high:,.0f}", *[""] * (rows - 2), f"{low:,.0f}"]
    margin = max(map(len, labels))
    columns = [_eighths(value, low, high, rows) for value in sampled(points, pick, width - margin - 2)]
    drawn = []
    for row in range(rows):
        base = (rows - 1 - row) * 8
        cells = "".join(" " if each is None else blocks[max(0, min(8, each - base))] for each in columns)
        drawn.append(f"{labels[row].rjust(margin)} |{cells}".rstrip())
    return drawn


def sampled(points: Sequence[Point], pick: Pick, columns: int) -> list[Decimal | None]:
    """The value in force at the end of each of `columns` equal spans between the first and the last point."""
    start, span = points[0].at, points[-1].at - points[0].at
    values: list[Decimal | None] = []
    index = 0
    for column in range(columns):
        end = start + span * (column + 1) / columns
        while index + 1 < len(points) and points[index + 1].at <= end:
            index += 1
        values.append(pick(points[index]))
    return values


def _eighths(value: Decimal | None, low: Decimal, high: Decimal, rows: int) -> int | None:
    """Height in eighths of a row. A flat line above zero is drawn at half height; the lowest value stays visible."""
    if value is None:
        return None
    if high == low:
        return rows * 4 if value else 0
    height = int((value - low) * rows * 8 / (high - low))
    return height if height or not value else 1
