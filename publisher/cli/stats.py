"""`catalyst stats`: bars in the terminal, the same as JSON, or a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from publisher.census import Census, bar, census_of
from publisher.outbox import Outbox
from publisher.revision import duration_from, signal_of
from publisher.settings import default_data_dir, outbox_path
from signal_contract.cli.answer import finish
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ConfigInvalid, ExitCode, StorageFailed

_MOST = 200_000
_SHOWN_CATALYSTS = 25
Rows = Sequence[tuple[str, int]]


def answer_stats(data: Path | None, since: str, png: Path | None, *, as_json: bool) -> NoReturn:
    """Count the outbox and print it; with `png` draw it too."""
    if png is not None:
        _charts_checked()
    start = datetime.now(UTC) - duration_from(since)
    path = outbox_path(data or default_data_dir())
    problems: tuple[Problem, ...] = ()
    kept = []
    if path.exists():
        with Outbox.open(path) as outbox:
            kept = [signal_of(each.entry) for each in outbox.latest(since=start, limit=_MOST)]
            problems = tuple(Problem.from_error(each.error) for each in outbox.replaced)
    census = census_of(kept)
    if png is not None:
        _draw(census, since, png)
    answer = {
        "since": start.isoformat(),
        "total": census.total,
        "retracted": census.retracted,
        "by_hour_utc": list(census.by_hour),
        "by_catalyst": dict(census.by_catalyst),
        "by_confidence": dict(census.by_confidence),
        "by_action": dict(census.by_action),
        "png": None if png is None else str(png),
    }

    def render(out: Console) -> None:
        _render(out, census, since)
        if png is not None:
            out.print(f"drawn to {png}", markup=False)

    code = ExitCode.PARTIAL if problems else ExitCode.OK
    finish(Envelope("catalyst stats", answer, code, problems), as_json=as_json, render=render)


def _render(out: Console, census: Census, since: str) -> None:
    if not census.total:
        out.print(f"no signals in the last {since}", markup=False)
        return
    actions = ", ".join(f"{name} {count}" for name, count in census.by_action)
    taken_back = f", {census.retracted} retracted" if census.retracted else ""
    out.print(f"{census.total} signals in the last {since}: {actions}{taken_back}", markup=False)
    _bars(out, "by hour (UTC)", [(f"{hour:02}", count) for hour, count in enumerate(census.by_hour)])
    _bars(out, "by catalyst", census.by_catalyst[:_SHOWN_CATALYSTS])
    _bars(out, "by confidence", census.by_confidence)


def _bars(out: Console, title: str, rows: Rows) -> None:
    longest, width = max(count for _, count in rows), max(len(name) for name, _ in rows)
    out.print(f"\n{title}", markup=False)
    for name, count in rows:
        out.print(f"  {name:<{width}} {count:>6}  {bar(count, longest)}".rstrip(), markup=False)


def _charts_checked() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigInvalid(
            "--png needs the package matplotlib, which is not installed",
            hint="Run: pip install 'catalyst-signals[charts]'",
        )


def _draw(census: Census, since: str, png: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 10), layout="constrained")
    figure.suptitle(f"{census.total} signals in the last {since}")
    hours = [(f"{hour:02}", count) for hour, count in enumerate(census.by_hour)]
    plots: list[tuple[str, Rows]] = [
        ("by hour (UTC)", hours),
        ("by catalyst", census.by_catalyst[:_SHOWN_CATALYSTS]),
        ("by confidence", census.by_confidence),
    ]
    for axes, (title, rows) in zip(figure.subplots(3, 1), plots, strict=True):
        axes.bar([name for name, _ in rows], [count for _, count in rows])
        axes.set_title(title)
        axes.tick_params(axis="x", labelrotation=0 if len(rows) > _SHOWN_CATALYSTS else 30)
    try:
        figure.savefig(png, format="png", dpi=120)
    except OSError as error:
        raise StorageFailed(f"{png} cannot be written: {error.strerror or error}") from error
