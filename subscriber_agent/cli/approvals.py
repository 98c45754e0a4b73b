"""`approvals`, `approve`, `reject`: the friend's word on single orders. They work beside a running agent.

The word makes no order by itself: the running agent decides the signal again by the rules of that moment.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError, NotFound
from subscriber_agent.cli.account import usd
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from subscriber_agent.journal import ApprovalRow, Journal

_LOOKED_AT = 1000
_MINUTE_S, _HOUR_S = 60, 3600
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The signal's id, or how it begins.")]
RevisionOption = Annotated[
    int | None, typer.Option("--revision", min=1, help="Which revision; without it the latest that asks.")
]


def approvals(
    config: ConfigOption = None,
    show_all: Annotated[bool, typer.Option("--all", help="Also what was answered or expired.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=_LOOKED_AT, help="How many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The orders that wait for your word: what each would do, and how long it can still be answered.

    Example: subscriber-agent approvals
    """
    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as journal:
        asked = journal.approvals(None if show_all else "waiting", _LOOKED_AT)
    rows = [_dict(each, now) for each in asked if show_all or each.is_waiting_at(now)][:limit]
    cells = [
        (
            f"{row['signal_id'][:8]} r{row['revision']}",
            f"{row['side']} {row['quantity']} {row['ticker']}",
            row["limit_price"] or "market",
            usd(row["notional_usd"]),
            row["stop_price"],
            row["target_price"],
            row["catalyst"],
            _countdown(row["seconds_left"]) if row["state"] == "waiting" else row["state"],
        )
        for row in rows
    ]
    columns = ("id", "order", ">limit", ">USD", ">stop", ">target", "catalyst", ">left")
    render = table(*columns, rows=cells, empty="nothing waits for your word")
    finish(Envelope("subscriber-agent approvals", rows), as_json=as_json, render=render)


def approve(
    signal_id: IdArgument, revision: RevisionOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say yes to one order. The running agent decides it again by the rules of that moment, and then orders it.

    Example: subscriber-agent approve 3f9a
    """
    _answer("approve", signal_id, revision, config, as_json)


def reject(
    signal_id: IdArgument, revision: RevisionOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say no to one order, for good.

    Example: subscriber-agent reject 3f9a
    """
    _answer("reject", signal_id, revision, config, as_json)


def _answer(command: str, prefix: str, revision: int | None, config: ConfigOption, as_json: bool) -> NoReturn:
    is_yes = command == "approve"
    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as reader:  # a journal of an earlier version is said to be one before anything is written
        asked = _asked(reader, prefix, revision)
    with place.journal(read_only=False) as journal:
        row = journal.answer_approval(
            asked.signal_id, asked.revision, is_yes, now, config_hash=place.config.config_hash()
        )
        latest = journal.latest_revision(row.signal_id)
    is_running = place.is_running()
    data = {**_dict(row, now), "is_running": is_running, "latest_revision": latest}
    plan = row.plan
    text = (
        f"{row.state.value}: {plan.side} {plan.quantity:f} {plan.ticker} ({row.signal_id[:8]} revision {row.revision})"
    )
    finish(
        Envelope(f"subscriber-agent {command}", data),
        as_json=as_json,
        render=lambda out: out.print(f"{text}\n{_next(is_yes, is_running, row, latest)}", markup=False),
    )


def _next(is_yes: bool, is_running: bool, row: ApprovalRow, latest: int) -> str:
    if not is_yes:
        return "It will not be ordered."
    if latest > row.revision:
        return f"Revision {latest} came since: the rules refuse an older one."
    if is_running:
        return "The running agent decides it again now: `subscriber-agent explain` shows the outcome."
    left = "it expires by " + row.expires_at.isoformat(timespec="seconds")
    return f"No agent runs: it is ordered only once `subscriber-agent run` runs and the rules of then allow it; {left}."


def _asked(journal: Journal, prefix: str, revision: int | None) -> ApprovalRow:
    """The one question that is meant: the latest revision, what waits before what was answered. Raises NotFound."""
    rows = [row for row in journal.approvals(limit=_LOOKED_AT) if row.signal_id.startswith(prefix.lower())]
    wanted = [row for row in rows if revision in (None, row.revision)]
    if not wanted or not prefix:
        which = "" if revision is None else f" revision {revision}"
        raise NotFound(
            f"nothing was asked about a signal {prefix[:40]!r}{which}",
            hint="`subscriber-agent approvals` shows what waits for your word.",
        )
    waiting = [row for row in wanted if row.state == "waiting"] or wanted
    ids = sorted({row.signal_id for row in waiting})
    if len(ids) > 1:
        raise InputError(f"{len(ids)} signals begin with {prefix!r}", hint=f"Such as {ids[0][:10]} and {ids[1][:10]}.")
    return max(waiting, key=lambda row: row.revision)


def _dict(row: ApprovalRow, now: datetime) -> dict[str, Any]:
    is_late = row.state == "waiting" and now >= row.expires_at
    plan = row.plan.as_dict()
    return {
        "signal_id": row.signal_id,
        "revision": row.revision,
        "state": "expired" if is_late else row.state.value,
        **plan,
        "notional_usd": row.plan.notional_usd,
        "asked_at": row.asked_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "seconds_left": max(0, int((row.expires_at - now).total_seconds())),
        "answered_at": None if row.answered_at is None else row.answered_at.isoformat(),
    }


def _countdown(seconds: int) -> str:
    hours, rest = divmod(seconds, _HOUR_S)
    minutes, left = divmod(rest, _MINUTE_S)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes}:{left:02} min"
