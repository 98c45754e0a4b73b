"""The replay as a picture: one HTML file with inline SVG that needs nothing else, or a PNG by matplotlib."""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from signal_contract.errors import InputError
from subscriber_agent.replay.curve import Curve, Point
from subscriber_agent.replay.export import written_failed
from subscriber_agent.replay.plot import Pick
from subscriber_agent.replay.summary import Summary
from subscriber_agent.replay.wording import summary_rows

_COLOURS = ("#2563eb", "#d97706")
_WIDTH, _LEFT, _RIGHT = 960, 90, 20
_EQUITY_TOP, _EQUITY_HEIGHT, _EXPOSURE_TOP, _EXPOSURE_HEIGHT = 30, 240, 320, 120
_HEIGHT = _EXPOSURE_TOP + _EXPOSURE_HEIGHT + 30
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2rem;max-width:60rem;color-scheme:light dark}"
    "svg{width:100%;height:auto}text{font-size:12px;fill:currentColor}"
    ".axis{stroke:currentColor;stroke-opacity:.25}"
    "td,th{padding:.15rem 1rem .15rem 0;text-align:right}td:first-child,th:first-child{text-align:left}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One config's curve under its name."""

    name: str
    curve: Curve
    summary: Summary


def chart_checked(path: Path) -> Path:
    """The path, when a chart of its kind can be drawn here; raises InputError, before any work is done."""
    kind = path.suffix.lower()
    if kind not in (".html", ".png"):
        raise InputError(f"{path} is neither .html nor .png", hint="Name the chart x.html or x.png.")
    if kind == ".png" and importlib.util.find_spec("matplotlib") is None:
        raise InputError(
            "a PNG needs matplotlib, which is not installed",
            hint="pip install 'catalyst-signals[charts]', or name the chart x.html: that needs nothing.",
        )
    return path


def write_chart(path: Path, lines: Sequence[Line]) -> None:
    """Write the chart in the kind its name asks for, over an existing file. Raises InputError, StorageFailed."""
    try:
        if chart_checked(path).suffix.lower() == ".png":
            _write_png(path, lines)
        else:
            path.write_text(chart_html(lines), encoding="utf-8")
    except OSError as error:
        raise written_failed(path, error) from error


def chart_html(lines: Sequence[Line]) -> str:
    """A page with the curves and the summary: no script, nothing from elsewhere. Same input, same bytes."""
    names = "".join(f"<th>{html.escape(each.name)}</th>" for each in lines)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n"
        for row in summary_rows([each.summary for each in lines])
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Replay</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>Replay</h1>\n{_svg(lines)}\n"
        f"<table><tr><th></th>{names}</tr>\n{rows}</table>\n"
        "<p>Paper fills at the signals' own prices: treat profits as fiction.</p></body></html>\n"
    )


def _svg(lines: Sequence[Line]) -> str:
    span = _span(lines)
    if span is None:
        return "<p>Nothing happened: there is nothing to draw.</p>"
    equity = _panel(lines, lambda p: p.equity_usd, span, "equity USD", (_EQUITY_TOP, _EQUITY_HEIGHT), None)
    exposure = _panel(
        lines, lambda p: p.exposure_usd, span, "exposure USD", (_EXPOSURE_TOP, _EXPOSURE_HEIGHT), Decimal(0)
    )
    # Two names at most, one at each end: long ones must not run into each other.
    places = (f'x="{_LEFT + 140}"', f'x="{_WIDTH - _RIGHT}" text-anchor="end"')
    legend = "".join(
        f'<text {place} y="18" style="fill:{colour}">{html.escape(each.name)}</text>'
        for each, place, colour in zip(lines, places, _COLOURS, strict=False)
    )
    ends = (
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{span[0]:%Y-%m-%d %H:%M}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{span[1]:%Y-%m-%d %H:%M} UTC</text>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Equity and exposure over time">'
        f"{legend}{equity}{exposure}{ends}</svg>"
    )


def _panel(
    lines: Sequence[Line],
    pick: Pick,
    span: tuple[datetime, datetime],
    title: str,
    place: tuple[int, int],
    floor: Decimal | None,
) -> str:
    top, height = place
    known = [value for each in lines for point in each.curve.points if (value := pick(point)) is not None]
    low = min(known, default=Decimal(0)) if floor is None else floor
    high = max(known, default=Decimal(0))
    grid = "".join(
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:,.0f}</text>'
        for y, value in ((top, high), (top + height, low))
    )
    paths = "".join(
        f'<path d="{_path(each.curve.points, pick, span, (low, high), place)}" fill="none" stroke-width="1.5" '
        f'stroke="{_COLOURS[number % 2]}"/>'
        for number, each in enumerate(lines)
    )
    return f'<text x="{_LEFT}" y="{top - 12}">{title}</text>{grid}{paths}'


def _path(
    points: Sequence[Point],
    pick: Pick,
    span: tuple[datetime, datetime],
    values: tuple[Decimal, Decimal],
    place: tuple[int, int],
) -> str:
    """Steps: a value holds until the next one. A value that is not known breaks the line."""
    (start, end), (low, high), (top, height) = span, values, place
    width = _WIDTH - _LEFT - _RIGHT
    whole = max((end - start) // timedelta(microseconds=1), 1)
    parts: list[str] = []
    is_drawing = False
    for point in points:
        value = pick(point)
        if value is None:
            is_drawing = False
            continue
        x = _LEFT + width * ((point.at - start) // timedelta(microseconds=1)) / whole
        share = (value - low) / (high - low) if high > low else Decimal("0.5")
        y = top + height - float(share) * height
        parts.append(f"H{x:.1f}V{y:.1f}" if is_drawing else f"M{x:.1f} {y:.1f}")
        is_drawing = True
    return "".join(parts)


def _span(lines: Sequence[Line]) -> tuple[datetime, datetime] | None:
    points = [point for each in lines for point in (*each.curve.points[:1], *each.curve.points[-1:])]
    return (min(each.at for each in points), max(each.at for each in points)) if points else None


def _write_png(path: Path, lines: Sequence[Line]) -> None:
    # Figure without pyplot: no window system is looked for, and no state stays behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    equity, exposure = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for number, each in enumerate(lines):
        for axes, pick in ((equity, _equity), (exposure, _exposure)):
            values = [(point.at, value) for point in each.curve.points if (value := pick(point)) is not None]
            axes.step(
                [at for at, _ in values],
                [float(value) for _, value in values],
                where="post",
                label=each.name,
                color=_COLOURS[number % 2],
            )
    equity.set_title("Replay")
    equity.set_ylabel("equity USD")
    exposure.set_ylabel("exposure USD")
    equity.legend()
    figure.autofmt_xdate()
    # Without the writer's name and version in it the same input makes the same file.
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _equity(point: Point) -> Decimal | None:
    return point.equity_usd


def _exposure(point: Point) -> Decimal | None:
    return point.exposure_usd
