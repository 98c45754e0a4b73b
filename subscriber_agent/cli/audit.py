"""`subscriber-agent audit`: the log of decisions, and whether it is still what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from signal_contract.cli.answer import Render, finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import AuditBroken
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.chain import Break, ChainRow
    from subscriber_agent.journal import Loosening

_DECISIONS, _LOOSENINGS = "decisions", "loosened"

audit_app = typer.Typer(
    no_args_is_help=True,
    help="The log of decisions: show it, and prove that nobody changed it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@audit_app.command()
def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the hash chains over every decision and everything that let more through; the first bad row is named.

    Changed, missing, moved and inserted rows are found. Note the heads it shows somewhere else: who rewrites the whole
    file cannot make the same ones again.

    Example: subscriber-agent audit verify
    """
    place = open_place(config)
    with place.journal() as journal:
        head, other = journal.chain_head(), journal.loosened_head()
        log, found = _DECISIONS, journal.first_break()
        if found is None:
            log, found = _LOOSENINGS, journal.loosened_break()
    data = {
        "rows": head.number,
        "head": head.hash,
        "loosened": {"rows": other.number, "head": other.hash},
        "broken_at": None if found is None else _break_dict(log, found),
    }
    if found is None:
        text = (
            f"{head.number} decisions, none changed; the chain ends in {head.hash}\n"
            f"{other.number} loosenings and config changes, none changed; the chain ends in {other.hash}"
        )
        finish(
            Envelope("subscriber-agent audit verify", data),
            as_json=as_json,
            render=lambda out: out.print(text, markup=False),
        )
    error = AuditBroken(f"the log of {log} does not hold: {found.kind.value} at row {found.number}: {found.detail}")
    finish(
        Envelope("subscriber-agent audit verify", data, error.exit_code, (Problem.from_error(error),)), as_json=as_json
    )


def _break_dict(log: str, found: Break) -> dict[str, Any]:
    return {"log": log, "row": found.number, "kind": found.kind.value, "detail": found.detail}


@audit_app.command()
def show(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many, the newest last.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The last decisions as they stand in the log, and what let more through, with their hashes.

    Example: subscriber-agent audit show -n 100
    """
    place = open_place(config)
    with place.journal() as journal:
        rows = [_row_dict(each) for each in journal.latest_decisions(limit)]
        loosened = [_loosened_dict(each) for each in reversed(journal.loosenings(limit))]
    cells = [
        (
            row["row"],
            row["seq"],
            row["decided_at"][:19],
            f"{row['signal_id'][:8]} r{row['revision']}",
            row["verdict"],
            row["code"],
            row["config_hash"],
            row["hash"][:16],
        )
        for row in rows
    ]
    columns = (">row", ">seq", "decided (UTC)", "signal", "decision", "reason", "config", "hash")
    decided = table(*columns, rows=cells, empty="nothing decided yet")

    def render(out: Console) -> None:
        decided(out)
        if loosened:
            out.print()
            _loosened_table(loosened)(out)

    finish(Envelope("subscriber-agent audit show", [*rows, *loosened]), as_json=as_json, render=render)


def _loosened_table(rows: list[dict[str, Any]]) -> Render:
    cells = [
        (row["row"], row["at"][5:16].replace("T", " "), row["type"], row["config_hash"], _words(row["detail"]))
        for row in rows
    ]
    return table(">row", "at (UTC)", "loosened or changed", "config", "what", rows=cells)


def _words(detail: dict[str, Any]) -> str:
    """What is plain in a document, such as `before HALTED, after ACTIVE`."""
    shown = {key: value for key, value in detail.items() if isinstance(value, str | int) and key not in ("type", "at")}
    return ", ".join(f"{key} {str(value)[:16]}" for key, value in shown.items())


def _loosened_dict(row: Loosening) -> dict[str, Any]:
    return {
        "log": _LOOSENINGS,
        "row": row.number,
        "type": row.type,
        "at": row.at.isoformat(),
        "config_hash": row.config_hash,
        "hash": row.hash,
        "detail": dict(row.body),
    }


def _row_dict(row: ChainRow) -> dict[str, Any]:
    decision = _decision(row.body)
    return {
        "log": _DECISIONS,
        "row": row.number,
        "seq": row.stream_seq,
        "signal_id": str(row.columns["signal_id"]),
        "revision": row.columns["revision"],
        "attempt": row.columns["attempt"] or 1,
        "verdict": row.columns["verdict"],
        "code": row.columns["code"],
        "decided_at": str(decision.get("decided_at", "")),
        "config_hash": row.config_hash,
        "prev_hash": row.prev_hash,
        "hash": row.hash,
        "decision": decision,
    }


def _decision(body: bytes) -> dict[str, Any]:
    # A damaged row is shown as far as it can be read; `verify` says what is wrong with it.
    try:
        decision = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return decision if isinstance(decision, dict) else {}
