"""How both doctors show an examination: a table with ids, what to do about each, a summary and the next step."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from signal_contract.cli.answer import console, finish
from signal_contract.doctor.examine import BECAUSE_OF
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from signal_contract.doctor.finding import Check, Finding, Side

ExplainOption = Annotated[
    str, typer.Option("--explain", metavar="ID", help="What a check looks at, and what its results mean.")
]
OnlyOption = Annotated[str, typer.Option("--only", metavar="IDS", help="These checks and what they need: D03,D12.")]
WaitOption = Annotated[
    float,
    typer.Option("--wait", min=0.0, max=60.0, help="Seconds to listen for the publisher; one sign of life in 15 s."),
]
_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red", "SKIPPED": "dim"}


@contextmanager
def progress() -> Iterator[Callable[[Check], None]]:
    """Say on a terminal's stderr which check is being made; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield lambda check: None
        return
    with console(sys.stderr).status("looking …") as status:
        yield lambda check: status.update(f"{check.id} {check.title} …")


def show_examination(command: str, side: Side, findings: tuple[Finding, ...], *, as_json: bool) -> NoReturn:
    """Print the findings and end: exit status 0 when nothing failed, else 3."""
    failed = [each for each in findings if each.grade.value == "FAIL"]
    problems: tuple[Problem, ...] = ()
    if failed:
        ids = ", ".join(each.check.id for each in failed)
        first = failed[0]
        hint = f"Begin with {first.check.id}: {first.cure}. More: {command} --explain {first.check.id}"
        problems = (Problem("DOCTOR_FAILED", f"{len(failed)} of {len(findings)} checks failed: {ids}", hint),)
    exit_code = ExitCode.PARTIAL if failed else ExitCode.OK
    finish(
        Envelope(command, _data(side, findings), exit_code, problems),
        as_json=as_json,
        render=lambda out: _render(out, command, findings),
    )


def _data(side: Side, findings: tuple[Finding, ...]) -> dict[str, Any]:
    return {
        "side": side.value,
        "counts": dict(Counter(each.grade.value for each in findings)),
        "took_s": round(sum(each.took_s for each in findings), 3),
        "findings": [each.as_dict() for each in findings],
    }


def _render(out: Console, command: str, findings: tuple[Finding, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "check", "result", "what was found"):
        grid.add_column(column, overflow="fold")
    for each in findings:
        if BECAUSE_OF in each.facts:
            continue
        style = _STYLES[each.grade.value]
        found = Text(each.message)
        if each.cure:
            found.append(f"\n→ {each.cure}", style="bold" if each.grade.value == "FAIL" else "")
        grid.add_row(each.check.id, Text(each.check.title), Text(each.grade.value, style=style), found)
    out.print(grid)
    out.print()
    for line in (*_consequences(findings), _summary(command, findings)):
        out.print(line, markup=False)


def _consequences(findings: tuple[Finding, ...]) -> Iterator[str]:
    """One line for all checks that could not be made because of the same one."""
    roots = dict.fromkeys(each.facts[BECAUSE_OF] for each in findings if BECAUSE_OF in each.facts)
    for root in roots:
        ids = [each.check.id for each in findings if each.facts.get(BECAUSE_OF) == root]
        yield f"not looked at because of {root}: {', '.join(ids)}"


def _summary(command: str, findings: tuple[Finding, ...]) -> str:
    counts = Counter(each.grade.value for each in findings)
    text = ", ".join(f"{counts[grade]} {grade}" for grade in _STYLES if counts[grade])
    if counts["FAIL"]:
        return text
    if counts["WARN"]:
        first = next(each for each in findings if each.grade.value == "WARN")
        return f"{text}; nothing is broken. About the first warning: {command} --explain {first.check.id}"
    return f"{text}; all that was looked at is well" if counts["SKIPPED"] else f"{text}; all is well"


def show_check(command: str, side: Side, check: Check, *, as_json: bool) -> NoReturn:
    """Print what a check is, and end."""
    data = {
        "id": check.id,
        "title": check.title,
        "sides": [each.value for each in check.sides],
        "looks_at": check.looks_at,
        "warns": check.warns,
        "fails": check.fails,
        "cure": check.cure_for(side),
        "explanation": check.explanation,
        "needs": list(check.needs_of(side)),
        "symptoms": [each.value for each in check.symptoms],
    }
    lines = [
        f"{check.id}  {check.title}",
        f"looks at   {check.looks_at}",
        f"WARN       {check.warns}",
        f"FAIL       {check.fails}",
        f"what to do {check.cure_for(side)}",
        "",
        check.explanation,
    ]
    if check.needs_of(side):
        lines.append(f"It needs {', '.join(check.needs_of(side))}.")
    finish(
        Envelope(command, data),
        as_json=as_json,
        render=lambda out: out.print("\n".join(lines), markup=False),
    )
