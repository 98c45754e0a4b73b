"""What goes into a replay and comes out of it: signal files, quotes, the journal, CSV, plot and chart."""

from __future__ import annotations

import csv
import importlib.util
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from agent_samples import NOW, D, a_config, a_signal, an_arrival
from replay_samples import past_lines, past_quotes

from signal_contract.codec import MAX_PAYLOAD_BYTES, encode
from signal_contract.errors import InputError, NotFound, StorageFailed
from subscriber_agent.cli.replay import latency_from, since_from
from subscriber_agent.journal import Journal
from subscriber_agent.replay.chart import Line, chart_checked, chart_html, write_chart
from subscriber_agent.replay.curve import Curve, Point
from subscriber_agent.replay.export import write_csv
from subscriber_agent.replay.plot import curve_lines
from subscriber_agent.replay.quotes import QuoteFile
from subscriber_agent.replay.simulate import Replay, simulate_all
from subscriber_agent.replay.source import NAMED_LINES, JournalSignals, SignalFile
from subscriber_agent.replay.summary import summary_from
from subscriber_agent.replay.wire import Past, Quote
from subscriber_agent.replay.wording import catalyst_rows, summary_rows


def written(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read(path: Path) -> tuple[list[Past], SignalFile]:
    source = SignalFile(path)
    found = list(source)
    source.close()
    return found, source


def quotes_in(path: Path, text: str) -> tuple[list[Quote], QuoteFile]:
    path.write_text(text, encoding="utf-8")
    source = QuoteFile(path)
    found = list(source)
    source.close()
    return found, source


def two_replays(count: int = 300) -> tuple[Replay, ...]:
    past = [Past(number, a_signal(f"n{number}", ticker=f"T{number}")) for number in range(count)]
    configs = [a_config(Path("unused")), a_config(Path("unused"), risk={"min_confidence": "0.99"})]
    return simulate_all(past, configs)


def lines_of(replays: Iterable[Replay], *names: str) -> list[Line]:
    return [Line(name, each.curve, summary_from(each)) for name, each in zip(names, replays, strict=False)]


# Signal files -----------------------------------------------------------------------------------------------------


def test_every_bad_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    good = encode(a_signal())
    bad = [b"{", b"\xff\xfe", good.replace(b'"fda"', b'"no_such"'), b'{"schema_version": 9}']
    found, source = read(written(tmp_path / "x.jsonl", [good, b"", *bad, encode(a_signal("n2"))]))
    assert [each.number for each in found] == [1, 7]
    assert [each.line for each in source.bad.first] == [3, 4, 5, 6]
    assert source.bad.count == 4
    assert "newer" in source.bad.first[3].problem
    assert source.done == source.total


def test_a_line_longer_than_any_signal_is_skipped_without_being_held(tmp_path: Path) -> None:
    long = b'"' + b"x" * (3 * MAX_PAYLOAD_BYTES) + b'"'
    found, source = read(written(tmp_path / "x.jsonl", [long, encode(a_signal())]))
    assert [each.number for each in found] == [2]
    assert [each.line for each in source.bad.first] == [1]


def test_only_the_first_bad_lines_are_named_but_all_are_counted(tmp_path: Path) -> None:
    _, source = read(written(tmp_path / "x.jsonl", [b"{"] * 100))
    assert (source.bad.count, len(source.bad.first)) == (100, NAMED_LINES)


def test_a_byte_order_mark_and_a_missing_last_line_end_are_no_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + encode(a_signal()) + b"\r\n" + encode(a_signal("n2")))
    found, source = read(path)
    assert (len(found), source.bad.count) == (2, 0)


@pytest.mark.parametrize("year", ["0001", "1989", "9999"])
def test_a_signal_of_another_century_is_a_bad_line(tmp_path: Path, year: str) -> None:
    old = encode(a_signal(published_at=NOW.replace(year=int(year))))
    _, source = read(written(tmp_path / "x.jsonl", [old]))
    assert "1990" in source.bad.first[0].problem


def test_a_missing_file_is_not_found_and_a_directory_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        SignalFile(tmp_path / "none.jsonl")
    with pytest.raises(StorageFailed):
        SignalFile(tmp_path)


# The journal ------------------------------------------------------------------------------------------------------


def test_the_journal_gives_its_signals_in_stream_order_since_an_instant(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    old = a_signal("old", published_at=NOW - timedelta(days=2), classified_at=NOW - timedelta(days=2))
    later, sooner = a_signal("n2"), a_signal("n1")
    with Journal.open(path) as journal:
        journal.record([an_arrival(9, later), an_arrival(3, old), an_arrival(7, sooner)])
        whole, recent = JournalSignals(path, None), JournalSignals(path, NOW - timedelta(days=1))
        journal.record([an_arrival(12, a_signal("n3"))])
        assert [each.number for each in whole] == [3, 7, 9]
        assert [(each.number, each.signal) for each in recent] == [(7, sooner), (9, later)]
        assert (whole.total, whole.done, recent.total) == (3, 3, 2)
        whole.close()
        recent.close()


def test_a_journal_of_many_pages_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        journal.record([an_arrival(seq, a_signal(f"n{seq}")) for seq in range(1, 1102)])
    source = JournalSignals(path, None)
    assert [each.number for each in source] == list(range(1, 1102))
    source.close()


def test_no_journal_yet_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        JournalSignals(tmp_path / "journal.sqlite", None)


# Quotes -----------------------------------------------------------------------------------------------------------


def test_quotes_are_read_in_time_order_and_bad_rows_are_named(tmp_path: Path) -> None:
    text = (
        "ts,ticker,price\n"
        "2026-01-02T14:31:00Z,ABCD,5.41\n"
        "\n"
        "2026-01-02T14:31,ABCD,5.41\n"
        "2026-01-02T14:30:59Z,ABCD,5.41\n"
        "2026-01-02T09:32:00-05:00,BRK.B,0.5\n"
        "2026-01-02T14:33:00Z,abcd,5\n"
        "2026-01-02T14:33:00Z,ABCD,-1\n"
        "2026-01-02T14:33:00Z,ABCD,NaN\n"
        "2026-01-02T14:33:00Z,ABCD\n"
    )
    found, source = quotes_in(tmp_path / "q.csv", text)
    assert [(each.ticker, each.price) for each in found] == [("ABCD", D("5.41")), ("BRK.B", D("0.5"))]
    assert found[1].at == datetime(2026, 1, 2, 14, 32, tzinfo=UTC)
    assert [each.line for each in source.bad.first] == [4, 5, 7, 8, 9, 10]
    assert (source.count, source.bad.count) == (2, 6)


@pytest.mark.parametrize("text", ["", "time,symbol,last\n", '"ts\n'])
def test_a_file_without_the_header_is_no_file_of_quotes(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="ts,ticker,price"):
        quotes_in(tmp_path / "q.csv", text)


def test_a_broken_quotation_mark_is_a_bad_row(tmp_path: Path) -> None:
    _, source = quotes_in(tmp_path / "q.csv", 'ts,ticker,price\n2026-01-02T14:31:00Z,"AB"CD,5\n')
    assert source.bad.count == 1


def test_the_made_up_past_is_in_order_and_whole(tmp_path: Path) -> None:
    found, source = read(written(tmp_path / "x.jsonl", past_lines(500)))
    times = [each.signal.published_at for each in found]
    assert (len(found), source.bad.count, times) == (500, 0, sorted(times))
    quotes, prices = quotes_in(tmp_path / "q.csv", "\n".join(past_quotes(100)))
    assert (len(quotes), prices.bad.count) == (100, 0)


# What comes out ---------------------------------------------------------------------------------------------------


def test_the_csv_has_one_row_a_signal_and_both_results(tmp_path: Path) -> None:
    replays = two_replays()
    write_csv(tmp_path / "one.csv", replays[:1])
    write_csv(tmp_path / "two.csv", replays)
    with (tmp_path / "one.csv").open(encoding="utf-8", newline="") as one:
        assert len(list(csv.DictReader(one))) == 300
    with (tmp_path / "two.csv").open(encoding="utf-8", newline="") as two:
        first = next(csv.DictReader(two))
    assert (first["outcome"], first["other_outcome"], first["differs"]) == ("FILLED", "LOW_CONFIDENCE", "yes")
    assert first["quantity"] == "100"


def test_a_csv_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"none/x\.csv"):
        write_csv(tmp_path / "none" / "x.csv", two_replays(1))


def points(*values: str | None) -> Curve:
    start = NOW
    made = (
        Point(start + timedelta(hours=number), None if v is None else D(v), None if v is None else D(number))
        for number, v in enumerate(values)
    )
    return Curve(tuple(made))


def test_the_plot_fits_the_width_and_shows_the_extremes() -> None:
    for width in (10, 30, 80, 300):
        lines = curve_lines(points("9500", "10000", "12000", "11000"), width=width)
        assert all(len(line) <= max(30, min(width, 120)) or "2026" in line for line in lines)
        assert any(line.startswith("12,000 |") for line in lines)
        assert any("9,500 |" in line for line in lines)
    ascii_lines = curve_lines(points("1", "2", "3"), width=60, is_unicode=False)
    assert "".join(ascii_lines).isascii()


@pytest.mark.parametrize("values", [(), ("5",), ("5", "5"), ("0", "0"), (None, None), (None, "5", None), ("-5", "5")])
def test_the_plot_bears_flat_unknown_and_empty_curves(values: tuple[str | None, ...]) -> None:
    lines = curve_lines(points(*values), width=60)
    assert (lines == []) == (not values)


def test_the_page_is_one_file_with_an_svg_and_escaped_names() -> None:
    page = chart_html(lines_of(two_replays(), "<a & b>.yaml", "b.yaml"))
    assert "&lt;a &amp; b&gt;.yaml" in page
    assert "<a & b>" not in page
    assert "http" not in page
    assert "<script" not in page
    svg = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert len(svg.findall("path")) == 4
    assert page == chart_html(lines_of(two_replays(), "<a & b>.yaml", "b.yaml"))


def test_the_page_of_nothing_says_so() -> None:
    replays = simulate_all([], [a_config(Path("unused"))])
    assert "nothing to draw" in chart_html(lines_of(replays, "a.yaml"))


def test_a_chart_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="neither"):
        chart_checked(Path("x.jpg"))


def test_a_png_is_drawn_or_the_extra_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(InputError, match="matplotlib") as refused:
            chart_checked(path)
        assert "catalyst-signals[charts]" in refused.value.hint
        return
    write_chart(path, lines_of(two_replays(), "a.yaml", "b.yaml"))
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    write_chart(path, lines_of(two_replays(), "a.yaml", "b.yaml"))
    assert path.read_bytes() == first


def test_the_words_hold_every_figure_for_both() -> None:
    summaries = [summary_from(each) for each in two_replays()]
    rows = {row[0]: row[1:] for row in summary_rows(summaries)}
    assert rows["signals"] == ("300", "300")
    assert rows["refused LOW_CONFIDENCE"] == ("0", "300")
    assert rows["unrealised USD"] == ("unknown", "0.00")
    assert rows["of it where a price is known"] == ("0.00", "0.00")
    assert rows["open, no price since the entry"][0].startswith("5: T")
    assert catalyst_rows(summaries)[0][:2] == ("fda", "300")


# Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW - timedelta(days=30)),
        ("12h", NOW - timedelta(hours=12)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T09:30:00-05:00", datetime(2026, 1, 1, 14, 30, tzinfo=UTC)),
    ],
)
def test_since_is_a_span_or_a_date(text: str, expected: datetime) -> None:
    assert since_from(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "30y", "yesterday", "9999w" * 2])
def test_since_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        since_from(text, NOW)


@pytest.mark.parametrize("text", ["", "-1", "NaN", "1e3", "86401", "inf"])
def test_a_latency_that_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        latency_from(text)
    assert latency_from("0.25") == D("0.25")
