"""`catalyst control …`: the operator's word to all agents, or to one friend's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.report import printed

if TYPE_CHECKING:
    from signal_admin.control import Said
    from signal_admin.desk import Desk
    from signal_admin.standing import Word

control_app = typer.Typer(
    help="Halt, reduce or resume trading of all agents or of one friend's, or send a notice.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
UserOption = Annotated[str | None, typer.Option(help="Only this friend.", show_default="everybody")]
ReasonOption = Annotated[str, typer.Option(help="One line that the friends are shown.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, max=600, help="Seconds without a receipt until it gives up.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_MEANS = {
    "halt": "agents order nothing any more",
    "reduce": "agents only reduce and close what they hold",
    "resume": "agents trade again as they decide",
    "notice": "agents show it; trading goes on as it was",
}


@control_app.command("halt")
def halt(
    user: UserOption = None,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 10.0,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop all ordering, at once and without a question. Who is off hears it before he decides on anything.

    Example: catalyst control halt --reason "wrong tickers"
    """
    _send("halt", user, reason, data, timeout_s, dry_run=dry_run, as_json=as_json)


@control_app.command("reduce")
def reduce(
    user: UserOption = None,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 10.0,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Allow exits only: no new positions until `catalyst control resume`.

    Example: catalyst control reduce --user alice --reason "as agreed"
    """
    _send("reduce", user, reason, data, timeout_s, dry_run=dry_run, as_json=as_json)


@control_app.command("resume")
def resume(
    user: UserOption = None,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 10.0,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take halt and reduce back. It asks, because it loosens. A friend's own halt stays his.

    Example: catalyst control resume --yes
    """
    _send("resume", user, reason, data, timeout_s, is_agreed=yes, dry_run=dry_run, as_json=as_json)


@control_app.command("notice")
def notice(
    user: UserOption = None,
    reason: ReasonOption = "",
    timeout_s: TimeoutOption = 10.0,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show friends one line; trading goes on.

    Example: catalyst control notice --reason "server moves on Saturday, 10:00 UTC"
    """
    _send("notice", user, reason, data, timeout_s, dry_run=dry_run, as_json=as_json)


@control_app.command("status")
def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show what was said last, to everybody and to single friends. Needs no server.

    Example: catalyst control status
    """
    from signal_admin.desk import open_desk
    from signal_admin.standing import read_standing
    from signal_contract.cli.answer import finish, table
    from signal_contract.envelope import Envelope

    standing = read_standing(open_desk(data))
    rows = [_row("everybody", standing.everybody), *(_row(name, word) for name, word in sorted(standing.users.items()))]
    render = table("who", "last word", "since (UTC)", ">sequence", "reason", rows=rows)
    finish(Envelope("catalyst control status", standing.as_dict()), as_json=as_json, render=render)


def _row(who: str, word: Word | None) -> tuple[object, ...]:
    if word is None:
        return (who, "none: agents trade as they decide", None, None, None)
    place = word.sequence if word.sequence is not None else "no receipt"
    return (who, word.verb.value, f"{word.issued_at:%Y-%m-%d %H:%M:%S}", place, word.reason or None)


def _send(
    verb: str,
    user: str | None,
    reason: str,
    data: DataOption,
    timeout_s: float,
    *,
    is_agreed: bool = True,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    from signal_admin.control import Order, issue, order_checked
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import finish
    from signal_contract.control import Verb
    from signal_contract.envelope import Envelope

    desk = open_desk(data)
    order = order_checked(desk, Order(Verb(verb), user, reason))
    if not dry_run and not is_agreed:
        _agree(desk, user)
    said = asyncio.run(issue(desk, order, now=datetime.now(UTC), timeout_s=timeout_s, dry_run=dry_run))
    finish(Envelope(f"catalyst control {verb}", said.as_dict()), as_json=as_json, render=printed(_lines(said)))


def _agree(desk: Desk, user: str | None) -> None:
    """Ask before trading is let loose; without a terminal only --yes will do."""
    from signal_admin.seeds import can_ask
    from signal_admin.standing import read_standing
    from signal_contract.errors import InputError

    word = read_standing(desk).of(user)
    stands = f"{word.verb.value}{f' ({word.reason})' if word.reason else ''}" if word else "nothing that is known here"
    who = user or "everybody"
    if not can_ask():
        raise InputError(f"resume lets {who} trade again, and there is no terminal to ask", hint="Add --yes.")
    if not typer.confirm(f"Let {who} trade again? What stands is: {stands}.", err=True):
        raise InputError("you said no; nothing was sent", hint="What stood goes on standing.")


def _lines(said: Said) -> list[str]:
    control = said.control
    who = control.user or "everybody"
    verb = control.verb.value
    meaning = _MEANS[verb]
    if said.is_dry_run:
        return [f"dry run; would send {verb} to {who} on {control.subject}: {meaning}"]
    lines = [f"{verb} sent to {who}, sequence {said.sequence}: {meaning}"]
    if control.reason:
        lines.append(f"  reason: {control.reason}")
    if said.before is not None and verb != "notice":
        lines.append(f"  before: {said.before.verb.value}, since {said.before.issued_at:%Y-%m-%d %H:%M:%S} UTC")
    if verb in ("halt", "reduce"):
        scope = f" --user {control.user}" if control.user else ""
        lines.append(f"next: catalyst control status; take it back with  catalyst control resume{scope}")
    return lines
