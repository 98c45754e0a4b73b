"""`subscriber-agent audit`: the log of decisions, and whether it is still what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import AuditBroken
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from subscriber_agent.chain import ChainRow

audit_app = typer.Typer(
    no_args_is_help=True,
    help="The log of decisions: show it, and prove that nobody changed it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@audit_app.command()
def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the hash chain over every decision; a changed, missing, moved or inserted row is named, the first one.

    Note the head it shows somewhere else: who rewrites the whole file cannot make the same one again.

    Example: subscriber-agent audit verify
    """
    place = open_place(config)
    with place.journal() as journal:
        head, found = journal.chain_head(), journal.first_break()
    data = {
        "rows": head.number,
        "head": head.hash,
        "broken_at": None if found is None else {"row": found.number, "kind": found.kind.value, "detail": found.detail},
    }
    if found is None:
        text = f"{head.number} decisions, none changed; the chain ends in {head.hash}"
        finish(
            Envelope("subscriber-agent audit verify", data),
            as_json=as_json,
            render=lambda out: out.print(text, markup=False),
        )
    error = AuditBroken(f"the log of decisions does not hold: {found.kind.value} at row {found.number}: {found.detail}")
    finish(
        Envelope("subscriber-agent audit verify", data, error.exit_code, (Problem.from_error(error),)), as_json=as_json
    )


@audit_app.command()
def show(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many, the newest last.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The last decisions as they stand in the log, with their hashes.

    Example: subscriber-agent audit show -n 100
    """
    place = open_place(config)
    with place.journal() as journal:
        rows = [_row_dict(each) for each in journal.latest_decisions(limit)]
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
    render = table(*columns, rows=cells, empty="nothing decided yet")
    finish(Envelope("subscriber-agent audit show", rows), as_json=as_json, render=render)


def _row_dict(row: ChainRow) -> dict[str, Any]:
    decision = _decision(row.body)
    return {
        "row": row.number,
        "seq": row.stream_seq,
        "signal_id": str(row.columns["signal_id"]),
        "revision": row.columns["revision"],
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
