"""`catalyst user repair`: a friend's lost place in the stream, made again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.report import DryRunOption, NameArgument, printed

if TYPE_CHECKING:
    from signal_admin.repair import Repair


def repair(
    name: NameArgument,
    told: Annotated[
        int | None,
        typer.Option(
            "--from",
            metavar="SEQ",
            min=0,
            help="The last sequence that he has; delivery begins behind it.",
            show_default="as his agent reported last",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Move his place even where the durable is there.")] = False,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a friend's durable again when it is gone, from the position that his agent reported last.

    Nothing is missed by it: what he has had already is dropped by his agent.

    Example: catalyst user repair alice
    """
    from signal_admin.desk import open_desk
    from signal_admin.repair import planned_repair
    from signal_admin.repair import repair as make_again
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    desk, now = open_desk(data), datetime.now(UTC)
    done = asyncio.run(planned_repair(desk, name, told=told, now=now))
    if done.placed is not None and not dry_run:
        if done.is_there and not yes:
            _agree(done)
        done = asyncio.run(make_again(desk, name, told=told, now=now, may_replace=done.is_there))
    answer = {**done.as_dict(), "dry_run": dry_run}
    finish(Envelope("catalyst user repair", answer), as_json=as_json, render=printed(_lines(done)))


def _agree(todo: Repair) -> None:
    """Ask before a durable that is there is moved; without a terminal only --yes will do."""
    from signal_admin.seeds import can_ask
    from signal_contract.errors import InputError

    start = todo.placed.start if todo.placed else 0
    what = f"the durable of {todo.user} is there, with {todo.pending} messages waiting; this moves it to {start}"
    if not can_ask():
        raise InputError(f"not done without a confirmation: {what}", hint="Add --yes, or --dry-run to look.")
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise InputError("you said no; nothing was changed", hint="Run it again when you are sure.")


def _lines(done: Repair) -> list[str]:
    if done.placed is None:
        return [
            f"all is well: the durable of {done.user} is there, with {done.pending} messages waiting",
            f"to move his place all the same: catalyst user repair {done.user} --from SEQ",
        ]
    verb = "moved" if done.is_there else "made again"
    what = f"the durable of {done.user} {'is' if done.is_done else 'would be'} {verb}"
    lines = [f"{what}: delivery begins at sequence {done.placed.start} (position by {done.placed.source.value})"]
    lines += [f"  {note}" for note in done.placed.notes]
    return [*lines, "next: he starts his agent again if it stopped: subscriber-agent run"] if done.is_done else lines
