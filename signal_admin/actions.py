"""What the operator does with the users he has: revoke, offboard, other filters, and bringing everything in step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from signal_admin.apply import provision_users
from signal_admin.commit import Outcome, Report, Session, Step, opened_session
from signal_admin.desk import Desk
from signal_admin.lifecycle import Edit, offboarded, refiltered, retired, revoked
from signal_admin.registry import User, all_users, read_user
from signal_contract.errors import CatalystError

Say = Callable[[str], None]


async def _changed(
    desk: Desk, name: str, action: str, edit_of: Callable[[User], Edit], now: datetime, *, dry_run: bool
) -> Report:
    if dry_run:
        return Report(action, name, edit_of(read_user(desk, name)).changes, is_dry_run=True)
    async with opened_session(desk, f"catalyst-{action.replace(' ', '-')}", now) as session:
        return await session.carry_out(action, edit_of(read_user(desk, name)))


async def revoke(desk: Desk, name: str, *, now: datetime, dry_run: bool = False) -> Report:
    """Withdraw all keys of a user and close his connections. His place in the stream stays. Raises NotFound."""
    return await _changed(desk, name, "user revoke", lambda user: revoked(user, now), now, dry_run=dry_run)


async def offboard(desk: Desk, name: str, *, now: datetime, dry_run: bool = False) -> Report:
    """Throw a user out: withdraw his keys, close his connections, remove durable and registry entry. Raises NotFound.

    What the server cannot be told now is done by the next `catalyst up` or `catalyst user sync`.
    """
    return await _changed(desk, name, "user offboard", lambda user: offboarded(user, now), now, dry_run=dry_run)


async def set_filters(
    desk: Desk, name: str, filters: tuple[str, ...], *, now: datetime, dry_run: bool = False
) -> Report:
    """Give a user another entitlement (as `entitlement_from` returns it), without a break in what he receives.

    A subject that is new to him counts from his position: what was stored after the last message that he received is
    delivered, what was stored before it is not. Raises NotFound.
    """
    return await _changed(desk, name, "user set-filters", lambda user: refiltered(user, filters), now, dry_run=dry_run)


async def sync(desk: Desk, *, now: datetime) -> tuple[Report, ...]:
    """Bring every server and durable in step with the registry; repairs a push or an action that stopped half-way.

    One report for each user with something to do, and a last one for the whole. Raises Conflict as `opened_session`.
    """
    async with opened_session(desk, "catalyst-user-sync", now) as session:
        reports = await _catch_up(session)
        steps = [await session.push_account(), await _provisioned(session)]
        return (*reports, await session.audited(Report("user sync", "all users", (), tuple(steps))))


async def _catch_up(session: Session) -> list[Report]:
    reports = []
    for user in all_users(session.desk):
        due = retired(user, session.now)
        if user.is_leaving:
            reports.append(await session.carry_out("user offboard", offboarded(user, session.now)))
        elif due is not None:
            reports.append(await session.carry_out("user retire-key", due))
    return reports


async def _provisioned(session: Session) -> Step:
    if session.admin is None:
        return Step("durables", Outcome.FAILED if session.is_silent else Outcome.LATER, "the server does not run")
    try:
        changed = await provision_users(session.admin, session.desk)
    except CatalystError as error:
        return Step("durables", Outcome.FAILED, f"{error.message} ({error.code})")
    return Step("durables", Outcome.DONE, f"changed: {', '.join(changed)}" if changed else "all as they should be")


async def retire_due_keys(desk: Desk, say: Say) -> None:
    """Housekeeping for `catalyst up`: withdraw keys whose overlap is over, finish offboarding, repair the account JWT.

    Call it after provisioning and every minute or so; it does nothing when nothing is due. Never raises a
    CatalystError: the server must not go down because a look at it failed; `say` gets what happened.
    """
    try:
        async with opened_session(desk, "catalyst-housekeeping", datetime.now(UTC)) as session:
            for report in await _catch_up(session):
                say(f"{report.action} {report.user}: {'done' if report.is_complete else 'not complete'}")
            await _repaired(session, say)
    except CatalystError as error:
        say(f"housekeeping: {error.message} [{error.code}]; {error.hint}")


async def _repaired(session: Session, say: Say) -> None:
    if session.system is None or await session.is_in_step():
        return
    step = await session.push_account()
    say(f"{step.what}: {step.detail}")


async def run_housekeeping(desk: Desk, say: Say, *, every_s: float = 60.0) -> None:
    """`retire_due_keys` whenever something is due, while the server runs; the first look is after `every_s` seconds."""
    while True:
        await asyncio.sleep(every_s)
        if _has_due_work(desk, datetime.now(UTC), say):
            await retire_due_keys(desk, say)


def _has_due_work(desk: Desk, now: datetime, say: Say) -> bool:
    # A look at the registry only: with nothing due, the server is not asked.
    try:
        return any(user.is_leaving or retired(user, now) is not None for user in all_users(desk))
    except CatalystError as error:
        say(f"housekeeping: {error.message} [{error.code}]; {error.hint}")
        return False
