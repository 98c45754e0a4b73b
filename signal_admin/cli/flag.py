"""`catalyst flag …`: what is held back for some or all friends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.report import printed

if TYPE_CHECKING:
    from signal_admin.desk import Desk
    from signal_admin.flags.bucket import Change
    from signal_contract.flags import Flag

flag_app = typer.Typer(
    help="Flags that hold back some or all friends: who may open positions, who is asked first. Never an exit.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
NameArgument = Annotated[str, typer.Argument(help="entries_percent or mode_floor.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show whom it would hold back; set nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@flag_app.command("set")
def set_flag(
    name: NameArgument,
    value: Annotated[str, typer.Argument(help="entries_percent: 0 to 100. mode_floor: notify, approve or paper.")],
    percent: Annotated[int, typer.Option(help="mode_floor only: for this share of the friends.")] = 100,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a flag. Agents take it up within half a minute; for "stop now" use `catalyst control halt`.

    Examples: catalyst flag set entries_percent 25; catalyst flag set mode_floor approve --percent 10
    """
    _change("catalyst flag set", name, value, percent, data, is_agreed=yes, dry_run=dry_run, as_json=as_json)


@flag_app.command("clear")
def clear(
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a flag away again. It asks, because it loosens.

    Example: catalyst flag clear mode_floor --yes
    """
    _change("catalyst flag clear", name, None, 100, data, is_agreed=yes, dry_run=dry_run, as_json=as_json)


@flag_app.command("list")
def list_flags(
    user: Annotated[str | None, typer.Option(help="What holds for this friend.", show_default="everybody")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the flags and whom they hold back. Needs no server.

    Example: catalyst flag list --user alice
    """
    from signal_admin.desk import open_desk
    from signal_admin.flags.kept import read_kept
    from signal_contract.cli.answer import finish, table
    from signal_contract.envelope import Envelope

    desk = open_desk(data)
    kept = read_kept(desk)
    flags, names = dict(kept.flags) if kept else {}, _names(desk, user)
    concerned = {name: _concerned({name: flag}, names) for name, flag in flags.items()}
    answer = {
        "issued_at": kept.issued_at.isoformat() if kept else None,
        "flags": [
            {"flag": name, **flag.model_dump(mode="json"), "held_back": concerned[name]} for name, flag in flags.items()
        ],
    }
    rows = [
        (name, flag.value, f"{flag.percent} %", f"{len(concerned[name])} of {len(names)}", _few(concerned[name]))
        for name, flag in sorted(flags.items())
    ]
    columns = ("flag", "value", ">for", ">holds back", "whom")
    render = table(*columns, rows=rows, empty="no flags: everybody follows his own config")
    finish(Envelope("catalyst flag list", answer), as_json=as_json, render=render)


def _names(desk: Desk, user: str | None) -> list[str]:
    from signal_admin.registry import all_users, read_user

    return [read_user(desk, user).name] if user is not None else [each.name for each in all_users(desk)]


def _concerned(flags: Mapping[str, Flag], names: Sequence[str]) -> list[str]:
    from signal_contract.flags import held

    return [name for name in names if held(flags, name).is_anything]


def _few(names: Sequence[str]) -> str | None:
    if not names:
        return None
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _change(
    command: str,
    name: str,
    value: str | None,
    percent: int,
    data: DataOption,
    *,
    is_agreed: bool,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    from signal_admin.desk import open_desk
    from signal_admin.flags.bucket import apply, change_from
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    desk = open_desk(data)
    change = change_from(desk, name, value, percent)
    names = _names(desk, None)
    concerned = _concerned({name: change.after} if change.after else {}, names)
    if not dry_run:
        if change.is_loosening and not is_agreed:
            _agree(change)
        asyncio.run(apply(desk, change, now=datetime.now(UTC)))
    lines = _lines(change, concerned, len(names), dry_run=dry_run)
    answer = {**change.as_dict(), "held_back": concerned, "dry_run": dry_run}
    finish(Envelope(command, answer), as_json=as_json, render=printed(lines))


def _agree(change: Change) -> None:
    """Ask before anybody is let loose; without a terminal only --yes will do."""
    from signal_admin.seeds import can_ask
    from signal_contract.errors import InputError

    what = f"{change.name}: {_text(change.before)} → {_text(change.after)}"
    if not can_ask():
        raise InputError(f"this lets friends trade more, and there is no terminal to ask ({what})", hint="Add --yes.")
    if not typer.confirm(f"Let friends trade more? {what}.", err=True):
        raise InputError("you said no; nothing was set", hint="What stood goes on standing.")


def _text(flag: Flag | None) -> str:
    if flag is None:
        return "not set"
    return flag.value if flag.percent == 100 else f"{flag.value} for {flag.percent} %"


def _lines(change: Change, concerned: Sequence[str], total: int, *, dry_run: bool) -> list[str]:
    what = f"{change.name}: {_text(change.before)} → {_text(change.after)}"
    head = f"dry run; it would change {what}" if dry_run else what
    return [
        head,
        f"  it holds back {len(concerned)} of {total} friends{f': {_few(concerned)}' if concerned else ''}",
        *([] if dry_run else ["next: catalyst flag list; agents follow within half a minute of being online"]),
    ]
