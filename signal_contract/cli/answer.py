"""One place renders a command's answer: text for people on stdout, one JSON envelope for machines, errors on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

import orjson
import typer

from signal_contract.cli.collecting import collect_no_more
from signal_contract.cli.page import PIPE_COLUMNS, Page
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import CatalystError, ExitCode
from signal_contract.logs import is_json, log_said

if TYPE_CHECKING:
    from rich.console import Console

# What answers are printed on is a `Page`, which does as much of a console's work as they need.
Render = Callable[["Console"], None]


def console(stream: IO[str] | None = None) -> Console:
    """A console for stdout (or `stream`). Pipes and NO_COLOR get no styling; a pipe is not wrapped at 80 columns."""
    from rich.console import Console

    target = stream or sys.stdout
    is_terminal = target.isatty()
    return Console(
        file=target,
        highlight=False,
        emoji=False,  # a headline may hold `:fire:`, and the table of them is slow to load
        soft_wrap=not is_terminal,
        width=None if is_terminal else int(os.environ.get("COLUMNS", PIPE_COLUMNS)),
        no_color=True if os.environ.get("NO_COLOR") else None,
    )


def say(message: str) -> None:
    """One line for people, on stderr: progress and what to do next. Plain text, never markup."""
    if is_json():
        log_said(message)
        return
    Page(sys.stderr).print(message, markup=False)


def table(*columns: str, rows: Sequence[Sequence[Any]], title: str | None = None, empty: str = "nothing") -> Render:
    """A renderer that prints rows as a table, or one line when there are none. Cells are text, never markup."""

    cells = [["–" if cell is None else str(cell) for cell in row] for row in rows]

    def render(out: Console | Page) -> None:
        if not cells:
            out.print(empty, markup=False)
            return
        if title:  # not Rich's own title: it would be wrapped to the width of a narrow table
            out.print(title, markup=False, style="italic")
        if isinstance(out, Page) and out.table(columns, cells):
            return
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            right = column.startswith(">")
            grid.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
        for row in cells:
            grid.add_row(*map(Text, row))
        out.print(grid)

    return render


def print_json(document: Any) -> None:
    """One JSON document on one line of stdout, flushed: streams are JSON lines."""
    sys.stdout.write(orjson.dumps(document, default=_text).decode() + "\n")
    sys.stdout.flush()


def _text(value: Any) -> str:
    """What orjson does not know, as text; a number without exponent."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def finish(envelope: Envelope, *, as_json: bool, render: Render | None = None) -> NoReturn:
    """Print the answer and end with its exit status."""
    if as_json:
        print_json(envelope.as_dict())
    else:
        if render is not None:
            render(cast("Console", Page(sys.stdout)))
        for problem in envelope.errors:
            _complain(problem)
    raise typer.Exit(int(envelope.exit_code))


def _complain(problem: Problem) -> None:
    say(f"error [{problem.code}]: {problem.message}")
    if problem.hint:
        say(f"  → {problem.hint}")


def run_app(app: typer.Typer, name: str) -> NoReturn:
    """Run a Typer application; the top of both commands and one of the two places with a broad except.

    Expected errors become an answer with code, hint and exit status; `--json` anywhere makes it an envelope.
    """
    as_json = "--json" in sys.argv[1:]
    try:
        status = app(prog_name=name, standalone_mode=False)
        code = int(status or 0)
    except CatalystError as error:
        command = _command_path(app, name, sys.argv[1:])
        code = _end(Envelope(command, None, error.exit_code, (Problem.from_error(error),)), as_json)
    except KeyboardInterrupt:
        code = int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # `catalyst … | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # noqa: BLE001
        code = _end_unexpected(error, _command_path(app, name, sys.argv[1:]), as_json)
    collect_no_more()
    sys.exit(code)


def _command_path(app: typer.Typer, name: str, words: Sequence[str]) -> str:
    """`catalyst user add` of all that was typed: the command's own words, without arguments and options."""
    here: Any = typer.main.get_command(app)
    path = [name]
    for word in words:
        children = getattr(here, "commands", {})
        if word in children:
            here = children[word]
            path.append(word)
        elif not word.startswith("-"):
            break
    return " ".join(path)


def _end(envelope: Envelope, as_json: bool) -> int:
    if as_json:
        print_json(envelope.as_dict())
    else:
        for problem in envelope.errors:
            _complain(problem)
    return int(envelope.exit_code)


def _end_unexpected(error: Exception, command: str, as_json: bool) -> int:
    exit_code = getattr(error, "exit_code", None)
    show = getattr(error, "show", None)
    if exit_code is not None and callable(show):  # typer's own: usage errors and aborts
        if as_json:
            message = str(getattr(error, "message", error))
            print_json(Envelope(command, None, ExitCode.USAGE, (Problem("USAGE", message, "See --help."),)).as_dict())
        else:
            show()
        return int(exit_code)
    if os.environ.get("CATALYST_DEBUG"):
        traceback.print_exc()
    if os.environ.get("CATALYST_SENTRY_DSN"):
        from signal_contract.fault_reports import report_fault

        with contextlib.suppress(CatalystError):
            report_fault(error)
    hint = "This is a fault in the program. Set CATALYST_DEBUG=1 to see where, and report it."
    problem = Problem("UNEXPECTED", f"{error.__class__.__name__}: {error}", hint)
    return _end(Envelope(command, None, ExitCode.UNEXPECTED, (problem,)), as_json)
