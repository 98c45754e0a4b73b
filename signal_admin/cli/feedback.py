"""`catalyst feedback`: what friends report about their agents, as far as each of them allows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_admin.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from signal_admin.desk import Desk
    from signal_admin.reports import Reported, Reports, Status, WantedReports

_TEXT_CHARACTERS = 60


def feedback(
    user: Annotated[str, typer.Option(help="Only this friend's.")] = "",
    kind: Annotated[str, typer.Option(help="Only received, decision, order, fill, exit or status.")] = "",
    since: Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d, 4w. Empty: from the beginning.")] = "7d",
    limit: Annotated[int, typer.Option(help="The newest so many reports.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what friends' agents report, newest last. It is each friend's own word, and as much as he allows.

    Examples: catalyst feedback --user alice; catalyst feedback --kind decision --since 12h
    """
    import asyncio
    from datetime import UTC

    from signal_admin.audit_reading import since_from
    from signal_admin.desk import open_desk
    from signal_admin.reports import MAX_LOOKED_AT, WantedReports, kind_from
    from signal_contract.cli.answer import finish, say, table
    from signal_contract.envelope import Envelope
    from signal_contract.subject import user_name_checked

    start = since_from(since, datetime.now(UTC)) if since else None
    wanted = WantedReports(user_name_checked(user) if user else None, kind_from(kind), start, limit)
    reports = asyncio.run(_read(open_desk(data), wanted))
    if reports.unreadable:
        say(f"{reports.unreadable} messages are no reports that can be read; they were left out")
    if reports.is_cut:
        say(f"only the newest {MAX_LOOKED_AT} reports were looked at; --since or another choice does not change that")
    columns = ("at (UTC)", "user", "kind", "signal", "says", "more")
    render = table(*columns, rows=[_row(each) for each in reports.found], empty="no reports")
    answer = {
        "reports": [each.as_dict() for each in reports.found],
        "unreadable": reports.unreadable,
        "is_cut": reports.is_cut,
    }
    finish(Envelope("catalyst feedback", answer), as_json=as_json, render=render)


async def _read(desk: Desk, wanted: WantedReports) -> Reports:
    from signal_admin.dial import dial
    from signal_admin.reports import read_reports
    from signal_contract.permissions import RoleName

    async with dial(desk, RoleName.ADMIN, "catalyst-feedback") as link:
        return await read_reports(link, wanted)


def _row(reported: Reported) -> tuple[Any, ...]:
    report = reported.feedback
    says = " ".join(each for each in (report.label, report.code) if each)
    more = _status_words(report.status) if report.status is not None else _numbers(report)
    signal = f"{report.signal_id[:8]}.{report.revision or 1}" if report.signal_id else None
    return (
        f"{reported.stored_at:%Y-%m-%d %H:%M:%S}",
        reported.user,
        report.kind.value,
        signal,
        shown(says) or None,
        shown(more) or None,
    )


def _status_words(status: Any) -> str:
    return f"{status.version} {status.mode} {status.link_state} {status.trading_state} at {status.position}"


def _numbers(report: Any) -> str:
    quantity = format(report.quantity, "f") if report.quantity is not None else ""
    price = f"@ {report.price:f}" if report.price is not None else ""
    return " ".join(each for each in (report.side, quantity, price, report.detail) if each)


def shown(text: str) -> str:
    """A friend's text for the terminal: no control character of it gets there, and it has an end."""
    plain = "".join(each if each.isprintable() else "?" for each in text)
    return plain if len(plain) <= _TEXT_CHARACTERS else f"{plain[: _TEXT_CHARACTERS - 1]}…"


def status_cell(status: Status | None, now: datetime) -> str | None:
    """An agent's last status report in one cell: version, mode, link, how much waits for it, and how old that is."""
    if status is None:
        return None
    said = status.status
    words = (
        f"{said.version} {said.mode} {said.link_state} {said.trading_state}, at {said.position}, {status.lag} behind"
    )
    return f"{shown(words)}, {age_in_words(now, status.stored_at)} ago"


def age_in_words(now: datetime, then: datetime) -> str:
    """`40s`, `12m`, `3h` or `9d`; both aware."""
    age_s = max(0, int((now - then).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if age_s >= size:
            return f"{age_s // size}{unit}"
    return f"{age_s}s"
