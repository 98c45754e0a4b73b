"""`subscriber-agent replay`: what your rules would have done with the signals of the past."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signal_contract.cli.answer import console, finish, say
from signal_contract.errors import InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, config_path, open_place

if TYPE_CHECKING:
    from subscriber_agent.replay.quotes import QuoteFile
    from subscriber_agent.replay.source import Source
    from subscriber_agent.replay.wire import Past

_SPAN = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SECONDS = re.compile(r"\d{1,5}(\.\d{1,6})?")
# Often enough to look smooth, seldom enough to cost nothing.
_BAR_EVERY = 250

SinceOption = Annotated[
    str | None, typer.Option("--since", help="Of the journal: the last 30d (m, h, d or w), or from a date on.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="Instead of the journal: signals in the wire schema, one a line.")
]
CompareOption = Annotated[Path | None, typer.Option("--compare", help="A second config, side by side with the first.")]
QuotesOption = Annotated[Path | None, typer.Option("--quotes", help="More prices: a CSV of ts,ticker,price by time.")]
LatencyOption = Annotated[str, typer.Option("--latency", help="Seconds from a signal's publication to your decision.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Write one row a signal to this file.")]
ChartOption = Annotated[Path | None, typer.Option("--chart", help="Draw x.html, or x.png (needs the extra [charts]).")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=0, max=100_000, help="How many signals to list.")]


def replay(
    config: ConfigOption = None,
    since: SinceOption = None,
    file: FileOption = None,
    compare: CompareOption = None,
    quotes: QuotesOption = None,
    latency: LatencyOption = "0.01",
    csv: CsvOption = None,
    chart: ChartOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """What your rules would have done with past signals, on a paper account that starts with cash only.

    Nothing is ordered, and nothing is written but the files you name. With --compare it lists the signals that the
    second config treats otherwise.

    Example: subscriber-agent replay --since 30d --compare stricter.yaml
    """
    from subscriber_agent.cli.replayed import Replayed, envelope, render
    from subscriber_agent.replay.chart import chart_checked, write_chart
    from subscriber_agent.replay.export import write_csv
    from subscriber_agent.replay.simulate import simulate_all
    from subscriber_agent.settings.config import load_config

    latency_s = latency_from(latency)
    if chart is not None:
        chart_checked(chart)
    paths = [config_path(each) for each in ([config] if compare is None else [config, compare])]
    configs = [load_config(path) for path in paths]
    with _source(config, file, since) as source, _prices(quotes) as prices:
        with _watched(source) as past:
            replays = simulate_all(past, configs, prices or (), latency_s=latency_s)
        answer = Replayed.of(replays, _names(paths), source, prices, limit)
    if csv is not None:
        write_csv(csv, replays)
        say(f"wrote {csv}")
    if chart is not None:
        write_chart(chart, answer.lines)
        say(f"wrote {chart}")
    finish(envelope(answer), as_json=as_json, render=lambda out: render(out, answer))


def since_from(text: str, now: datetime) -> datetime:
    """The instant that `30d`, `12h`, `2026-01-02` or `2026-01-02T14:30:00Z` means at `now`. Raises InputError.

    A date or time without an offset is UTC, as everything else that this command shows.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.utcoffset() is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"--since {text!r} is no time", hint="Such as 30d, 12h, or 2026-01-02.") from error


def latency_from(text: str) -> Decimal:
    """Seconds, 0 to 86400. Raises InputError."""
    latency_s = Decimal(text) if _SECONDS.fullmatch(text) else None
    if latency_s is None or latency_s > 86_400:
        raise InputError(f"--latency {text!r} is no number of seconds from 0 to 86400", hint="Such as 0.01.")
    return latency_s


@contextlib.contextmanager
def _source(config: Path | None, file: Path | None, since: str | None) -> Iterator[Source]:
    from subscriber_agent.replay.source import JournalSignals, SignalFile

    if file is not None and since is not None:
        raise InputError("--since and --file exclude each other", hint="A file is replayed whole.")
    source: Source
    if file is not None:
        source = SignalFile(file)
    else:
        start = None if since is None else since_from(since, datetime.now(UTC))
        source = JournalSignals(open_place(config).journal_file, start)
    with contextlib.closing(source):
        yield source


@contextlib.contextmanager
def _prices(path: Path | None) -> Iterator[QuoteFile | None]:
    from subscriber_agent.replay.quotes import QuoteFile

    if path is None:
        yield None
        return
    with contextlib.closing(QuoteFile(path)) as prices:
        yield prices


@contextlib.contextmanager
def _watched(source: Source) -> Iterator[Iterator[Past]]:
    """The source's signals, with a progress bar when a person is looking."""
    if not sys.stderr.isatty():
        yield iter(source)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("replaying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=source.total)

        def passing() -> Iterator[Past]:
            for count, each in enumerate(source):
                if count % _BAR_EVERY == 0:
                    bar.update(task, completed=source.done)
                yield each

        yield passing()


def _names(paths: Sequence[Path]) -> list[str]:
    """What each config is called in the answer: its file's name, or the whole path when both have the same."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
