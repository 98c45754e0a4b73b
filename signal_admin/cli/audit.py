"""`catalyst audit`: who did what, and who came, went or was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_admin.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from signal_admin.audit import AuditEntry
    from signal_admin.audit_reading import Wanted
    from signal_admin.desk import Desk

_CHANGE_CHARACTERS = 60
# In --json only: a table has to fit on a screen.
_DETAILS = frozenset({"public_key", "version", "kind"})


def audit(
    since: Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d, 4w. Empty: from the beginning.")] = "7d",
    user: Annotated[str, typer.Option(help="Only what concerns this user, or was done by this OS user.")] = "",
    action: Annotated[
        str,
        typer.Option(help="Only this action, such as auth-failure or 'user revoke'; user means all of user."),
    ] = "",
    limit: Annotated[int, typer.Option(help="The newest so many entries.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="Also the coming and going of your own programs.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the audit log, newest last: every action of the operator, every connection and every refused log-in.

    Examples: catalyst audit --user alice; catalyst audit --since 12h --action auth-failure
    """
    import asyncio
    from datetime import UTC, datetime

    from signal_admin.audit_reading import Wanted, since_from
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import finish, say, table
    from signal_contract.envelope import Envelope

    start = since_from(since, datetime.now(UTC)) if since else None
    desk = open_desk(data)
    entries, waiting = asyncio.run(
        _read(desk, Wanted(start, user or None, action or None, limit, with_own=everything or bool(user or action)))
    )
    if waiting:
        say(f"{waiting} of these wait on disk and go into the log at the next `catalyst up`")
    render = table("at (UTC)", "who", "action", "target", "outcome", "change", rows=[_row(each) for each in entries])
    answer = {"entries": [each.as_dict() for each in entries], "waiting": waiting}
    finish(Envelope("catalyst audit", answer), as_json=as_json, render=render)


async def _read(desk: Desk, wanted: Wanted) -> tuple[list[AuditEntry], int]:
    """Entries of the stream and of the waiting room; the second number says how many of them still wait."""
    from signal_admin.audit import pending_entries
    from signal_admin.audit_reading import read_audit
    from signal_admin.dial import dial
    from signal_contract.permissions import RoleName

    async with dial(desk, RoleName.AUDITOR, "catalyst-audit") as link:
        stored = await read_audit(link, wanted)
    known = {each.id for each in stored}
    pending = [each for each in pending_entries(desk) if each.id not in known and wanted.takes(each)]
    newest = sorted([*stored, *pending], key=lambda each: each.at)[-wanted.limit :]
    return newest, len([each for each in newest if each.id not in known])


def _row(entry: AuditEntry) -> tuple[Any, ...]:
    at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
    return (at, entry.who, entry.action, entry.target, entry.outcome, _change(entry))


def _change(entry: AuditEntry) -> str | None:
    """`before → after` in one short line; only what differs where both are tables."""
    before, after = entry.before, entry.after
    if isinstance(before, dict) and isinstance(after, dict):
        differing = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        parts = [f"{key}: {_short(before.get(key))} → {_short(after.get(key))}" for key in differing]
        return ", ".join(parts)[:_CHANGE_CHARACTERS] or None
    if isinstance(after, dict) and before is None:
        shown = {key: value for key, value in after.items() if value and key not in _DETAILS}
        return ", ".join(f"{key} {_short(value)}" for key, value in shown.items())[:_CHANGE_CHARACTERS] or None
    if before is None and after is None:
        return None
    return f"{_short(before)} → {_short(after)}"[:_CHANGE_CHARACTERS]


def _short(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else str(value)
    # What a client calls itself is its own choice: no control character of it reaches the terminal.
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return f"{shown[:16]}…" if len(shown) > 40 else shown
