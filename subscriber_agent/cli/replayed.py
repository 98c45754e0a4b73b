"""The answer of `subscriber-agent replay`: as text for people, as data for `--json`."""

from __future__ import annotations

import locale
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from signal_contract.cli.answer import table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ExitCode, SignalInvalid
from subscriber_agent.replay.chart import Line
from subscriber_agent.replay.compare import Difference, differences, head_dict, result_dict
from subscriber_agent.replay.plot import curve_lines
from subscriber_agent.replay.quotes import QuoteFile
from subscriber_agent.replay.simulate import Replay
from subscriber_agent.replay.source import BadLines, Source
from subscriber_agent.replay.step import Step
from subscriber_agent.replay.summary import summary_from
from subscriber_agent.replay.wording import catalyst_rows, summary_rows

if TYPE_CHECKING:
    from rich.console import Console

# Few and narrow columns: the reasons need what a terminal of 80 columns has left.
_HEAD = (">no.", "id", "published", "action", "ticker")


@dataclass(frozen=True, slots=True)
class Replayed:
    """One or two replays with their summaries, and what was wrong with the input. `limit` is for the lists."""

    replays: tuple[Replay, ...]
    lines: tuple[Line, ...]
    differing: tuple[Difference, ...] | None
    bad: BadLines
    bad_quotes: BadLines
    quotes: int
    limit: int

    @classmethod
    def of(
        cls,
        replays: Sequence[Replay],
        names: Sequence[str],
        source: Source,
        prices: QuoteFile | None,
        limit: int,
    ) -> Self:
        """Summed up and compared."""
        lines = [Line(name, each.curve, summary_from(each)) for name, each in zip(names, replays, strict=True)]
        return cls(
            replays=tuple(replays),
            lines=tuple(lines),
            differing=tuple(differences(*replays)) if len(replays) == 2 else None,
            bad=source.bad,
            bad_quotes=BadLines() if prices is None else prices.bad,
            quotes=0 if prices is None else prices.count,
            limit=limit,
        )


def envelope(answer: Replayed) -> Envelope:
    """The data, and one problem for each bad line that is named; bad lines make the answer a partial one."""
    problems = (*_problems("signal", answer.bad), *_problems("quote", answer.bad_quotes))
    first = answer.replays[0]
    data: dict[str, Any] = {
        "duplicates": first.duplicates,
        "out_of_order": first.out_of_order,
        "quotes": answer.quotes,
        "bad_lines": _bad_dict(answer.bad),
        "bad_quotes": _bad_dict(answer.bad_quotes),
        "configs": [
            {"name": line.name, **line.summary.as_dict(), "left_out": list(each.left_out)}
            for line, each in zip(answer.lines, answer.replays, strict=True)
        ],
    }
    if answer.differing is None:
        data["signals"] = [{**head_dict(each), **result_dict(each)} for each in _latest(first, answer.limit)]
    else:
        listed = [each.as_dict() for each in answer.differing[: answer.limit]]
        traded = sum(each.is_traded for each in answer.differing)
        data["differences"] = {"count": len(answer.differing), "traded": traded, "signals": listed}
    exit_code = ExitCode.PARTIAL if problems else ExitCode.OK
    return Envelope("subscriber-agent replay", data, exit_code, problems)


def render(out: Console, answer: Replayed) -> None:
    """Summary, catalysts, curves, and the list of signals."""
    names = [each.name for each in answer.lines]
    summaries = [each.summary for each in answer.lines]
    table("", *(f">{name}" for name in names), rows=summary_rows(summaries))(out)
    out.print()
    columns = [column for _ in names for column in (">taken", ">won", ">P&L USD")]
    table("catalyst", ">signals", *columns, rows=catalyst_rows(summaries), empty="no catalysts")(out)
    for each in answer.lines:
        out.print(f"\n{each.name}", markup=False)
        for line in curve_lines(each.curve, width=out.width, is_unicode=_is_unicode(out)):
            out.print(line, markup=False, soft_wrap=True)
    _render_remarks(out, answer)
    if answer.differing is None:
        _render_signals(out, answer.replays[0], answer.limit)
    else:
        _render_differences(out, answer.differing, names, answer.limit)


def _render_remarks(out: Console, answer: Replayed) -> None:
    first = answer.replays[0]
    remarks = [
        (first.duplicates, "came more than once and counted once"),
        (first.out_of_order, "say that they were published before the signal ahead of them"),
    ]
    for count, what in remarks:
        if count:
            out.print(f"\n{count} signals {what}", markup=False)
    for line, each in zip(answer.lines, answer.replays, strict=True):
        if each.left_out:
            out.print(f"\n{line.name}: {', '.join(each.left_out)} not carried out on a paper account", markup=False)


def _render_signals(out: Console, replay: Replay, limit: int) -> None:
    steps = _latest(replay, limit)
    if not steps:
        return
    rows = [(*_head_cells(each), _told(each)) for each in steps]
    out.print(f"\nthe last {len(steps)} of {len(replay.steps)} signals", markup=False)
    table(*_HEAD, "outcome", rows=rows)(out)


def _render_differences(out: Console, differing: Sequence[Difference], names: Sequence[str], limit: int) -> None:
    traded = sum(each.is_traded for each in differing)
    out.print(f"\n{len(differing)} signals come out otherwise, {traded} of them traded by at least one", markup=False)
    rows = []
    for each in differing[:limit]:
        rows.append((*_head_cells(each.first), _told(each.first), _told(each.second)))
    if rows:
        table(*_HEAD, *names, rows=rows)(out)
    if len(differing) > limit:
        out.print(f"… and {len(differing) - limit} more: --csv FILE writes all of them, --limit shows more.")


def _head_cells(step: Step) -> tuple[Any, ...]:
    action = step.action.value if step.revision == 1 else f"{step.action.value} {step.event.value} {step.revision}"
    return (step.number, step.signal_id[:8], f"{step.published_at:%m-%d %H:%M}", action, step.ticker)


def _result_text(step: Step) -> str:
    shown = result_dict(step)
    return f"{shown['side']} {shown['quantity']} @ {shown['price']}" if step.price is not None else step.label


def _told(step: Step) -> str:
    return f"{_result_text(step)} ({step.why})" if step.why else _result_text(step)


def _latest(replay: Replay, limit: int) -> Sequence[Step]:
    return replay.steps[-limit:] if limit else ()


def _bad_dict(bad: BadLines) -> dict[str, Any]:
    return {"count": bad.count, "first": [each.as_dict() for each in bad.first]}


def _problems(what: str, bad: BadLines) -> tuple[Problem, ...]:
    named = [Problem(SignalInvalid.code, f"line {each.line} is no {what}: {each.problem}") for each in bad.first]
    if bad.count > len(bad.first):
        more = bad.count - len(bad.first)
        named.append(Problem(SignalInvalid.code, f"{more} more lines are no {what}s", "Is it the right file?"))
    return tuple(named)


def _is_unicode(out: Console) -> bool:
    encoding = out.encoding or locale.getpreferredencoding()
    return encoding.lower().replace("-", "").startswith("utf")
