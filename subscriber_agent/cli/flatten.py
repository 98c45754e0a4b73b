"""`subscriber-agent flatten`: close every position. The running agent carries it out, also while it is halted."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import console, finish, say, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError
from subscriber_agent.cli.account import book_now, usd
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from subscriber_agent.accounting.book import Book

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept with the command.")]


def flatten(
    config: ConfigOption = None, yes: YesOption = False, reason: ReasonOption = "", as_json: JsonOption = False
) -> None:
    """Close every position at the market. It stops no new entries: `halt` does, before or after.

    Example: subscriber-agent flatten --yes --reason "going on holiday"
    """
    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as reader:
        book, asked = book_now(reader, place.config, now), reader.flatten_request()
    is_running, is_empty = place.is_running(), not book.occupied
    data: dict[str, Any] = {
        "positions": [_position(each) for each in book.positions.values()],
        "working": [each.ticker for each in book.working],
        "is_running": is_running,
        "requested_at": None if asked is None else asked.at.isoformat(),
    }
    envelope = Envelope("subscriber-agent flatten", data)
    if is_empty and asked is None:
        finish(envelope, as_json=as_json, render=lambda out: out.print("nothing to close", markup=False))
    _ask(book, yes=yes)
    with place.journal(read_only=False) as journal:
        request = journal.request_flatten(reason, now)
    data["requested_at"] = request.at.isoformat()
    text = _said(len(book.occupied), is_running)
    finish(envelope, as_json=as_json, render=lambda out: out.print(text, markup=False))


def _said(count: int, is_running: bool) -> str:
    if is_running:
        return (
            f"asked to close {count}: the running agent does it within seconds; `subscriber-agent positions` shows it"
        )
    return f"asked to close {count}; no agent runs: `subscriber-agent run` does it as soon as it starts"


def _ask(book: Book, *, yes: bool) -> None:
    """Show what will be closed and ask. Raises InputError without a terminal to ask on, and for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("closing every position asks for your word", hint="Say it with --yes.")
    rows = [(each.ticker, each.quantity, usd(each.value), usd(each.unrealised_usd)) for each in book.positions.values()]
    table("will be closed", ">shares", ">value USD", ">P&L USD", rows=rows, empty="no positions yet")(
        console(sys.stderr)
    )
    if not typer.confirm("Close them all?", default=False, err=True):
        say("nothing was done")
        raise typer.Exit(int(InputError.exit_code))


def _position(position: Any) -> dict[str, Any]:
    return {
        "ticker": position.ticker,
        "quantity": position.quantity,
        "value_usd": position.value,
        "unrealised_usd": position.unrealised_usd,
    }
