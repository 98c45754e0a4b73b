"""`subscriber-agent journal`: keeps the journal's file from growing for ever. The running agent does it every day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

_DAYS = re.compile(r"([1-9]\d{0,3})d")

journal_app = typer.Typer(
    no_args_is_help=True,
    help="The journal's upkeep.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@journal_app.command()
def prune(
    older_than: Annotated[str, typer.Option("--older-than", help="In days, such as 90d.")] = "90d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and remove nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what is old and has left the stream. Orders and fills stay, and the log of decisions still verifies.

    Example: subscriber-agent journal prune --older-than 90d --dry-run
    """
    days = _DAYS.fullmatch(older_than)
    if days is None:
        raise InputError(f"{older_than[:40]!r} is not a number of days", hint="Such as --older-than 90d.")
    before = datetime.now(UTC) - timedelta(days=int(days.group(1)))
    place = open_place(config)
    with place.journal() as reader:  # an older journal is said to be one before anything is written
        first = _first_sequence(reader.meta("heartbeat"))
    with place.journal(read_only=False) as journal:
        pruned = journal.prune(before=before, stream_first_sequence=first, dry_run=dry_run)
    counts = {
        "signals": pruned.signals,
        "decisions": pruned.decisions,
        "parked": pruned.parked,
        "seen": pruned.seen,
    }
    data = {"dry_run": dry_run, "before": before.isoformat(), "stream_first_sequence": first, **counts}
    finish(
        Envelope("subscriber-agent journal prune", data),
        as_json=as_json,
        render=table("what", ">would go" if dry_run else ">gone", rows=list(counts.items())),
    )


def _first_sequence(heartbeat: str | None) -> int | None:
    """Where the stream starts, as the publisher last said; None when it never did: then little can go."""
    found: Any = None if heartbeat is None else orjson.loads(heartbeat)["first_sequence"]
    return found if isinstance(found, int) else None
