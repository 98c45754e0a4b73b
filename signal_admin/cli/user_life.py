"""`catalyst user show | set-filters | revoke | offboard | sync`: what becomes of a friend after the invite."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.report import (
    CatalystsOption,
    ConfirmOption,
    DryRunOption,
    FilterOption,
    NameArgument,
    confirm,
    day,
    finish_report,
    lines_of,
    listed,
    printed,
)

if TYPE_CHECKING:
    from signal_admin.users import UserDetails


def show(name: NameArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show one friend: what he may read and until when, his limits, his keys, his durable and who is connected as him.

    Example: catalyst user show alice
    """
    from signal_admin.desk import open_desk
    from signal_admin.users import user_details
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    now = datetime.now(UTC)
    details = asyncio.run(user_details(open_desk(data), name))
    finish(
        Envelope("catalyst user show", {**details.as_dict(), "status": details.state.user.status(now)}),
        as_json=as_json,
        render=printed(_lines(details, now)),
    )


def _lines(details: UserDetails, now: datetime) -> list[str]:
    from signal_admin.cli.feedback import status_cell
    from signal_admin.invites import entitlement_in_words

    state, user = details.state, details.state.user
    limits, until = user.constraints, day(user.expires_at) or "no end"
    lines = [
        f"{user.name}: {user.status(now)}, valid until {until}, since {day(user.created_at)}",
        f"  {entitlement_in_words(user.filters)}",
        f"  key:      {user.public_key}{'  (the seed is on his machine)' if user.keeps_own_key else ''}",
        *(f"  retiring: {each.public_key}, at {day(each.retire_at)}" for each in user.retiring),
    ]
    if not limits.is_empty:
        hours = f"{', '.join(limits.hours)} {limits.timezone}" if limits.hours else "any hour"
        where = ", ".join(limits.cidrs) or "any address"
        lines.append(f"  limits:   {where}; {hours}{'; WebSocket only' if limits.websocket_only else ''}")
    if state.pending is not None:
        lines.append(f"  durable:  {state.pending} waiting, {state.ack_pending} not acknowledged")
    if state.report is not None:
        lines.append(f"  his word: {status_cell(state.report, now)}")
    lines += [f"  online:   {each.ip} on {each.server.name} ({each.name})" for each in details.connections]
    return lines


def set_filters(
    name: NameArgument,
    catalysts: CatalystsOption = "",
    filters: FilterOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a friend may read, without a break in what he receives.

    A subject that is new to him counts from his position in the stream: what lies before it is not delivered.

    Example: catalyst user set-filters alice --catalysts fda,uplisting
    """
    from signal_admin.actions import set_filters as change_filters
    from signal_admin.desk import open_desk
    from signal_admin.users import entitlement_from

    wanted = entitlement_from(listed(catalysts), filters or [])
    report = asyncio.run(change_filters(open_desk(data), name, wanted, now=datetime.now(UTC), dry_run=dry_run))
    finish_report(report, as_json=as_json, then=f"catalyst user show {name}")


def revoke(
    name: NameArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a friend's keys and close his connections at once. His place in the stream stays.

    Example: catalyst user revoke bob
    """
    from signal_admin.actions import revoke as withdraw
    from signal_admin.desk import open_desk

    if not dry_run:
        confirm(name, confirmed, f"This withdraws the credentials of {name}; they cannot be used again")
    report = asyncio.run(withdraw(open_desk(data), name, now=datetime.now(UTC), dry_run=dry_run))
    finish_report(report, as_json=as_json, then=f"catalyst user rotate {name} lets him in again, offboard removes him")


def offboard(
    name: NameArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Throw a friend out: withdraw his keys, close his connections, remove his durable and his entry, write the audit.

    Example: catalyst user offboard bob
    """
    from signal_admin.actions import offboard as throw_out
    from signal_admin.desk import open_desk

    if not dry_run:
        confirm(name, confirmed, f"This removes {name} and his place in the stream for good")
    report = asyncio.run(throw_out(open_desk(data), name, now=datetime.now(UTC), dry_run=dry_run))
    finish_report(report, as_json=as_json, then="catalyst user list")


def sync(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Bring every server and durable in step with the registry: repairs a push or an action that stopped half-way.

    Example: catalyst user sync
    """
    from signal_admin.actions import sync as bring_in_step
    from signal_admin.cli.report import answer
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope
    from signal_contract.errors import ExitCode

    reports = asyncio.run(bring_in_step(open_desk(data), now=datetime.now(UTC)))
    problems = tuple(problem for report in reports for problem in answer(report).errors)
    envelope = Envelope(
        "catalyst user sync",
        {"actions": [{"action": report.action, **report.as_dict()} for report in reports]},
        ExitCode.PARTIAL if problems else ExitCode.OK,
        problems,
    )
    lines = [line for report in reports for line in lines_of(report)]
    finish(envelope, as_json=as_json, render=printed(lines))
