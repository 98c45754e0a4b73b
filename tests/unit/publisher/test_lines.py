"""Reading a file or pipe line by line."""

from __future__ import annotations

from io import BytesIO

import pytest

from publisher.intake.lines import lines_from
from publisher.intake.outcome import RefusalCode, Refused
from signal_contract.errors import InputError


def test_blank_lines_are_ignored_but_counted() -> None:
    lines = list(lines_from(BytesIO(b"\xef\xbb\xbf{1}\r\n\n   \n{2}")))
    assert [(line.number, line.content) for line in lines] == [(1, b"{1}"), (4, b"{2}")]


def test_line_over_the_limit_is_refused_and_the_next_one_read() -> None:
    lines = list(lines_from(BytesIO(b"x" * 200_000 + b"\n{2}\n"), max_bytes=100))
    assert isinstance(lines[0].content, Refused)
    assert lines[0].content.code is RefusalCode.LINE_TOO_LONG
    assert (lines[1].number, lines[1].content) == (2, b"{2}")


def test_line_at_the_limit_is_read() -> None:
    lines = list(lines_from(BytesIO(b"x" * 100 + b"\n" + b"y" * 100), max_bytes=100))
    assert [line.content for line in lines] == [b"x" * 100, b"y" * 100]


def test_endless_last_line_is_refused() -> None:
    (line,) = lines_from(BytesIO(b"x" * 101), max_bytes=100)
    assert isinstance(line.content, Refused)


def test_array_file_is_refused_with_a_way_out() -> None:
    with pytest.raises(InputError) as caught:
        list(lines_from(BytesIO(b"\n [\n{}\n]")))
    assert "jq" in caught.value.hint


def test_array_later_on_is_a_line_like_any_other() -> None:
    assert [line.content for line in lines_from(BytesIO(b"{}\n[]\n"))] == [b"{}", b"[]"]
