"""What is printed without Rich is what Rich prints: lines and tables, on a terminal and in a pipe."""

from __future__ import annotations

import contextlib
import io
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signal_contract.cli.answer import console, table
from signal_contract.cli.page import PIPE_COLUMNS, Page

COLUMNS = 60
TEXTS = st.text(alphabet="ab [x]\\'0–…é\n\t\x1b漢:", max_size=20)
LONG = st.text(alphabet="ab c", max_size=2 * COLUMNS)
HEADS = st.sampled_from(["", "a", "name", ">count", ">"])


class Stream(io.StringIO):
    """A stream that says of itself what a test wants."""

    encoding = "utf-8"

    def __init__(self, *, is_terminal):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal


@contextlib.contextmanager
def surroundings(**variables):
    """A terminal of some columns, and no variables that say how to draw but these."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
            patch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", **variables}.items():
            patch.setenv(name, value)
        patch.setattr(os, "get_terminal_size", lambda _=0: os.terminal_size((COLUMNS, 24)))
        yield


def both(is_terminal, render, **variables):
    """What a renderer prints on a page, and on Rich's console."""
    found = []
    with surroundings(**variables):
        for make in (Page, console):
            stream = Stream(is_terminal=is_terminal)
            render(make(stream))
            found.append(stream.getvalue())
    return found


@settings(deadline=None)
@given(st.booleans(), st.one_of(TEXTS, LONG), st.sampled_from([None, "bold", "italic", "red"]))
@example(True, "a [b] c", None)
@example(True, "", "bold")
@example(True, "x" * (COLUMNS + 1), None)
@example(False, "x" * (COLUMNS + 1), "bold")
def test_a_line_is_the_same(is_terminal, text, style):
    page, rich = both(is_terminal, lambda out: out.print(text, markup=False, style=style))
    assert page == rich


@settings(deadline=None, max_examples=200)
@given(
    st.booleans(),
    st.lists(HEADS, min_size=1, max_size=4).flatmap(
        lambda heads: st.tuples(
            st.just(heads),
            st.lists(
                st.lists(st.one_of(TEXTS, LONG, st.none(), st.integers()), min_size=len(heads), max_size=len(heads)),
                max_size=4,
            ),
        )
    ),
    st.sampled_from([None, "a title"]),
)
@example(True, (["", ""], [["user", "alice"], ["config", None]]), None)
@example(True, ([">n", "name"], [["1 ", "a "], ["22", "漢"]]), "a title")
@example(True, (["only"], [["x" * (COLUMNS + 1)]]), None)
def test_a_table_is_the_same(is_terminal, made, title):
    heads, rows = made
    page, rich = both(is_terminal, table(*heads, rows=rows, title=title))
    assert page == rich


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_ordinary_answer_needs_no_rich(is_terminal):
    with surroundings():
        page = Page(Stream(is_terminal=is_terminal))
        table("verdict", ">count", rows=[("ACCEPTED", 3), ("REFUSED", None)], title="decided")(page)
        page.print()
        page.print("since 10:00 [UTC] – the operator's word\nand more", markup=False)
    assert page._rich is None


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("unusual", [{"FORCE_COLOR": "1"}, {"COLUMNS": "20"}, {"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_what_is_unusual_is_drawn_as_rich_does(is_terminal, unusual):
    render = table("a", "b", rows=[("one", "two three four five six seven")], title="title")
    page, rich = both(is_terminal, render, **unusual)
    assert page == rich


@pytest.mark.parametrize("is_terminal", [True, False])
def test_markup_and_what_only_a_console_knows_are_for_rich(is_terminal):
    page, rich = both(is_terminal, lambda out: out.print("[bold]a[/bold]"))
    assert page == rich
    with surroundings():
        assert Page(Stream(is_terminal=is_terminal)).width == (COLUMNS if is_terminal else PIPE_COLUMNS)
