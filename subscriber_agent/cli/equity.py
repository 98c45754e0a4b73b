"""`subscriber-agent equity`: what the account was worth over time, as a curve in the terminal or a picture."""

from __future__ import annotations

import locale
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, say
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError
from subscriber_agent.cli.account import usd
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from subscriber_agent.accounting.equity import EquitySummary, Worth
    from subscriber_agent.journal import EquityRow

# The curve is drawn on at most so many columns: a document need not hold more points than people can see.
_MOST_POINTS = 2_000

SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only the last 30d (m, h, d or w), or from a date on.")
]
PngOption = Annotated[Path | None, typer.Option("--png", help="Draw it into this PNG as well (needs matplotlib).")]


def equity(
    config: ConfigOption = None, since: SinceOption = None, png: PngOption = None, as_json: JsonOption = False
) -> None:
    """What the account was worth, as the engine said it: start, now, the highest, the drawdown, and the curve.

    Example: subscriber-agent equity --since 30d
    """
    from subscriber_agent.accounting.equity import Worth, equity_summary
    from subscriber_agent.cli.replay import since_from

    start = None if since is None else since_from(since, datetime.now(UTC))
    if png is not None:
        _checked(png)
    place = open_place(config)
    with place.journal() as journal:
        found = _of_last_engine(journal.equity(start))
    rows = [Worth(each.at, each.cash, each.equity) for each in found]
    summary = equity_summary(rows)
    engine = found[-1].engine if found else None
    data = {"engine": engine, "summary": None if summary is None else _summary_dict(summary), "rows": _rows(rows)}
    if png is not None and rows:
        _write_png(png, rows, str(engine))
        say(f"drawn into {png}")
    envelope = Envelope("subscriber-agent equity", data)
    finish(envelope, as_json=as_json, render=lambda out: _render(out, rows, summary, str(engine)))


def _of_last_engine(rows: Sequence[EquityRow]) -> list[EquityRow]:
    """The rows of the engine of now: two accounts make no curve."""
    return [each for each in rows if each.engine == rows[-1].engine]


def _summary_dict(summary: EquitySummary) -> dict[str, Any]:
    return {
        "since": summary.since.isoformat(),
        "until": summary.until.isoformat(),
        "start_usd": summary.start_usd,
        "now_usd": summary.now_usd,
        "change_usd": summary.change_usd,
        "change_percent": summary.change_percent,
        "high_water_usd": summary.high_water_usd,
        "high_water_at": summary.high_water_at.isoformat(),
        "low_usd": summary.low_usd,
        "drawdown_usd": summary.drawdown_usd,
        "drawdown_percent": summary.drawdown_percent,
        "max_drawdown_percent": summary.max_drawdown_percent,
    }


def _rows(rows: Sequence[Worth]) -> list[dict[str, Any]]:
    """At most `_MOST_POINTS`, the last among them."""
    step = max(1, -(-len(rows) // _MOST_POINTS))
    kept = [*rows[:-1:step], *rows[-1:]]
    return [{"at": each.at.isoformat(), "cash_usd": each.cash, "equity_usd": each.equity} for each in kept]


def _render(out: Console, rows: Sequence[Worth], summary: EquitySummary | None, engine: str) -> None:
    if summary is None:
        out.print("nothing is known yet: the running agent notes what the account is worth", markup=False)
        return
    for line in _curve(rows, out):
        out.print(line, markup=False, soft_wrap=True)
    change = "" if summary.change_percent is None else f" ({summary.change_percent:+f} %)"
    lines = (
        f"{engine}: {usd(summary.start_usd)} USD at the start, {usd(summary.now_usd)} USD now, "
        f"{summary.change_usd:+,.2f} USD{change}",
        f"highest {usd(summary.high_water_usd)} USD on {summary.high_water_at:%Y-%m-%d %H:%M} UTC, "
        f"lowest {usd(summary.low_usd)} USD",
        f"{usd(summary.drawdown_usd)} USD ({summary.drawdown_percent} %) below the highest now, "
        f"{summary.max_drawdown_percent} % at most",
    )
    out.print("\n".join(("", *lines)), markup=False, soft_wrap=True)


def _curve(rows: Sequence[Worth], out: Console) -> list[str]:
    """The replay's curve without its lower half: exposure is not kept."""
    from subscriber_agent.replay.curve import Curve, Point
    from subscriber_agent.replay.plot import curve_lines

    encoding = (out.encoding or locale.getpreferredencoding()).lower().replace("-", "")
    curve = Curve(tuple(Point(each.at, each.equity, None) for each in rows))
    lines = curve_lines(curve, width=out.width, is_unicode=encoding.startswith("utf"))
    return [*lines[: lines.index("exposure USD")], lines[-1]]


def _checked(path: Path) -> None:
    """Raises InputError, before any work is done, for what cannot become a PNG here."""
    from subscriber_agent.replay.chart import chart_checked

    if path.suffix.lower() != ".png":
        raise InputError(f"{path} is no .png", hint="Name the picture x.png.")
    chart_checked(path)


def _write_png(path: Path, rows: Sequence[Worth], engine: str) -> None:
    # Figure without pyplot: no window system is looked for, and no state stays behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from subscriber_agent.replay.export import written_failed

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    times: Any = [each.at for each in rows]  # matplotlib's types know no datetime
    axes.step(times, [float(each.equity) for each in rows], where="post", label="equity")
    axes.step(times, [float(each.cash) for each in rows], where="post", label="cash", alpha=0.5)
    axes.set_title(f"The account at {engine}")
    axes.set_ylabel("USD")
    axes.legend()
    figure.autofmt_xdate()
    try:
        figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
    except OSError as error:
        raise written_failed(path, error) from error
