"""Results for people: a table on the terminal, and the tables in docs/performance.md, from the same rows."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from harness import Bench

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_BEGIN, _END = "<!-- measured: {name} -->", "<!-- end -->"


def shown(value: float) -> str:
    """A figure with three significant digits, thousands in full."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _rows(figures: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    names = list(dict.fromkeys(each["figure"] for each in figures))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for each in figures:
        text = f"{shown(each['median'])} ({shown(each['low'])}–{shown(each['high'])})"
        cells.setdefault((each["at"], each["contender"]), {})[each["figure"]] = text
    has_at = any(at for at, _ in cells)
    header = [*(["at"] if has_at else []), "who", *names]
    rows = [
        [*([at] if has_at else []), who, *(found.get(name, "–") for name in names)]
        for (at, who), found in cells.items()
    ]
    return header, rows


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _goals(found: list[dict[str, Any]]) -> str:
    rows = [
        [
            each["goal"],
            f"{shown(each['ratio'])} ({shown(each['low'])}–{shown(each['high'])})",
            each["limit"] or "–",
            "" if not each["limit"] else "yes" if each["is_met"] else "**no**",
        ]
        for each in found
    ]
    return _table(["ratio or figure", "median over the rounds (lowest–highest)", "goal", "met"], rows)


def as_markdown(bench: dict[str, Any]) -> str:
    """A benchmark's figures and ratios, as Markdown tables."""
    parts = [_table(*_rows(bench["figures"])), _goals(bench["goals"]) if bench["goals"] else ""]
    return "\n\n".join([*filter(None, parts), *bench["notes"]])


def as_text(bench: Bench) -> str:
    """The same for a terminal."""
    found = bench.as_dict()
    header, rows = _rows(found["figures"])
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    for goal, ratios in bench.ratios():
        is_met = goal.is_met_by(_mid(ratios))
        verdict = f"; goal {goal.limit}: {'met' if is_met else 'NOT met'}" if goal.limit else ""
        lines.append(f"  {goal.name}: {shown(_mid(ratios))} ({shown(min(ratios))}–{shown(max(ratios))}){verdict}")
    return "\n".join([f"\n{bench.title}", *(line.rstrip() for line in lines), *bench.notes, ""])


def _mid(values: list[float]) -> float:
    return statistics.median(values)


def write(result: dict[str, Any]) -> None:
    """Renew what was measured now in docs/performance.json and .md; the other benchmarks stay as they are."""
    path = _DOCS / "performance.json"
    kept = json.loads(path.read_text()) if path.exists() else {"benches": {}}
    text = (_DOCS / "performance.md").read_text()
    for bench in result["benches"]:
        kept["benches"][bench["name"]] = {"machine": result["machine"], "rounds": result["rounds"], **bench}
        text = _put(text, bench["name"], f"{_when(result)}\n\n{as_markdown(bench)}")
    path.write_text(json.dumps(kept, indent=1) + "\n")
    (_DOCS / "performance.md").write_text(text)


def _when(result: dict[str, Any]) -> str:
    about = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    where = f"{about['cpu']}, {about['cores']} cores, {about['system']}"
    return f"{about['date']}, {where}, {result['rounds']} rounds; {versions}."


def _put(text: str, name: str, content: str) -> str:
    begin = _BEGIN.format(name=name)
    before, found, rest = text.partition(begin)
    if not found:
        raise ValueError(f"docs/performance.md has no place for {name}: it needs {begin}")
    return f"{before}{begin}\n\n{content}\n\n{_END}{rest.partition(_END)[2]}"
