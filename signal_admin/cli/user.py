"""`catalyst user …`: friends and what they may read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli import invite, repair, user_life
from signal_admin.cli.options import DataOption, HistoryOption, JsonOption

if TYPE_CHECKING:
    from signal_admin.presence.rows import Presence
    from signal_admin.users import NewUser
    from signal_contract.cli.answer import Render

user_app = typer.Typer(
    help="Friends: add them, see what they may read and who is online.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@user_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="2 to 32 characters: a-z, 0-9, _ and -.")],
    catalysts: Annotated[str, typer.Option(help="Catalysts or aliases, separated by commas.")] = "",
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="A subject filter such as signals.*.AAPL; may be repeated.")
    ] = None,
    expires: Annotated[str, typer.Option(help="How long the creds are valid: 90d, 12h, 2w. Empty: no end.")] = "",
    history: HistoryOption = "now",
    out: Annotated[Path | None, typer.Option(help="Put the two files here instead, to hand them over.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a friend: his creds, a config that works as it is, and his place in the stream from now on.

    Example: catalyst user add alice --catalysts fda,acquisition --expires 90d
    """
    import asyncio

    from signal_admin.desk import open_desk
    from signal_admin.history import history_from
    from signal_admin.users import add_user, entitlement_from, expiry_from
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    now = datetime.now(UTC)
    names = [each.strip() for each in catalysts.split(",") if each.strip()]
    wanted = entitlement_from(names, filters or [])
    end = expiry_from(expires, now) if expires else None
    past = history_from(history, now)
    made = asyncio.run(add_user(open_desk(data), name, wanted, now=now, expires_at=end, out=out, history=past))
    answer = {
        **made.user.as_dict(),
        "creds": str(made.creds),
        "config": str(made.config),
        "durable": "ready" if made.has_durable else "at the next `catalyst up`",
    }
    finish(Envelope("catalyst user add", answer), as_json=as_json, render=_made(made))


def _made(made: NewUser) -> Render:
    from rich.console import Console

    def render(out: Console) -> None:
        lines = [
            f"user {made.user.name} may read {', '.join(made.user.filters)}",
            f"  creds:  {made.creds}   (a password: hand it over privately)",
            f"  config: {made.config}",
            f"  valid:  {_day(made.user.expires_at) or 'without end'}",
        ]
        if made.user.start_sequence is not None:
            lines.append(f"  stream: from sequence {made.user.start_sequence} on")
        if not made.has_durable:
            lines.append("  the server is not running: his place in the stream is made at the next `catalyst up`")
        lines.append(f"next: send him both files; he runs  subscriber-agent run --config {made.config.name}")
        for line in lines:
            out.print(line, markup=False)

    return render


def _day(instant: datetime | None) -> str | None:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else None


@user_app.command("list")
def list_users(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show all friends: what they may read and until when; with the server up also who is there and what waits.

    Example: catalyst user list
    """
    import asyncio

    from signal_admin.desk import open_desk
    from signal_admin.presence.lookout import looked
    from signal_contract.cli.answer import finish, table
    from signal_contract.envelope import Envelope

    snapshot = asyncio.run(looked(open_desk(data), "catalyst-user-list"))
    render = table(
        "user",
        "may read",
        "status",
        "valid until",
        "agent",
        ">waiting",
        ">unacked",
        "last ack",
        "his agent's own word",
        rows=[_row(each) for each in snapshot.rows],
        empty="no users yet; add one: catalyst user invite alice --catalysts fda",
    )
    users = [each.as_dict() for each in snapshot.rows]
    finish(Envelope("catalyst user list", {"users": users}), as_json=as_json, render=render)


def _row(row: Presence) -> tuple[object, ...]:
    from signal_admin.cli.feedback import age_in_words, status_cell

    state = row.state
    acked = state.last_ack_at
    return (
        state.user.name,
        ", ".join(state.user.filters),
        row.status,
        _day(state.user.expires_at) or "no end",
        row.link.value if row.link else None,
        state.pending,
        state.ack_pending,
        f"{age_in_words(row.at, acked)} ago" if acked else None,
        status_cell(state.report, row.at),
    )


user_app.command("invite")(invite.invite)
user_app.command("show")(user_life.show)
user_app.command("rotate")(invite.rotate)
user_app.command("extend")(invite.extend)
user_app.command("set-filters")(user_life.set_filters)
user_app.command("revoke")(user_life.revoke)
user_app.command("offboard")(user_life.offboard)
user_app.command("repair")(repair.repair)
user_app.command("sync")(user_life.sync)
