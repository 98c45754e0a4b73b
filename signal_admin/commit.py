"""Carries out edits of users: registry, account JWT on every server, live connections, durable, audit, in this order.

The registry is held for the whole time. What the server cannot be told now it learns at the next `catalyst up` or
`catalyst user sync`: each step says what became of it, and none of them is skipped in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from signal_admin.apply import delete_durable, provision_user
from signal_admin.audit import record
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.issuing import issue_accounts
from signal_admin.lifecycle import Change, Edit
from signal_admin.registry import archive_user, registry_held, write_user
from signal_admin.resolver import checked_copy, look_up, push
from signal_admin.revocations import add_revocations
from signal_admin.standing import forget_user
from signal_admin.system import Connection, all_servers, connections_of, kick
from signal_admin.vault import Vault, read_vault
from signal_contract.errors import CatalystError, ServerUnreachable
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.topology import Account, durable_name

# The server is on this machine: if it does not answer by then, its record is a left-over.
_CONNECT_TIMEOUT_S = 2.0
# A revocation closes connections within milliseconds; what is still there after this is closed one by one.
_CLOSING_S = 1.0
_POLL_S = 0.02


class Outcome(StrEnum):
    DONE = "done"
    LATER = "later"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one part of an action. LATER: the next `catalyst up` does it."""

    what: str
    outcome: Outcome
    detail: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"step": self.what, "outcome": self.outcome.value, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Report:
    """An action on a user: what changed, and each step's result (none in a dry run)."""

    action: str
    user: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...] = ()
    is_dry_run: bool = False

    @property
    def is_complete(self) -> bool:
        return all(step.outcome is not Outcome.FAILED for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "dry_run": self.is_dry_run,
            "changes": [change.as_dict() for change in self.changes],
            "steps": [step.as_dict() for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class Session:
    """The registry, held, with the vault open and, when the server runs, a connection of each role that is needed.

    `is_silent`: a server is recorded but does not answer; what it should have been told counts as failed.
    """

    desk: Desk
    vault: Vault
    now: datetime
    admin: Link | None = None
    system: Link | None = None
    is_silent: bool = False

    @property
    def friends_key(self) -> str:
        return self.vault.account_keys[Account.FRIENDS]

    def _untold(self, what: str) -> Step:
        if self.is_silent:
            return Step(what, Outcome.FAILED, "the server does not answer; then run `catalyst user sync`")
        return Step(what, Outcome.LATER, "the server is not running; the next `catalyst up` does it")

    async def carry_out(self, action: str, edit: Edit) -> Report:
        """Do all that an edit asks for and write it into the audit log. Raises StorageFailed (disk)."""
        steps = [self._write(edit)]
        if edit.touches_account:
            steps.append(await self.push_account())
        if edit.revoked:
            steps.append(await self._close(edit))
        if edit.after.is_leaving:
            steps += await self.leave(edit.after.name)
        elif edit.before is None or edit.before.filters != edit.after.filters:
            steps.append(await self._provision(edit))
        report = Report(action, edit.after.name, edit.changes, tuple(steps))
        return await self.audited(report)

    async def audited(self, report: Report) -> Report:
        """Write a report into the audit log; it comes back with that step added."""
        before = {each.what: each.before for each in report.changes}
        after: dict[str, Any] = {each.what: each.after for each in report.changes}
        after["steps"] = [step.as_dict() for step in report.steps]
        outcome = "done" if report.is_complete else "partial"
        await record(self.admin, self.desk, action=report.action, target=report.user, before=before, after=after,
                     outcome=outcome)  # fmt: skip
        return replace(report, steps=(*report.steps, Step("audit", Outcome.DONE)))

    def _write(self, edit: Edit) -> Step:
        # Revocations first: after a crash in between, a key is withdrawn too early rather than not at all.
        if edit.revoked:
            add_revocations(self.desk, edit.revoked, self.now)
        write_user(self.desk, edit.after)
        return Step("registry", Outcome.DONE, f"{edit.after.name} is {edit.after.status(self.now)}")

    async def is_in_step(self) -> bool:
        """Whether the server has account FRIENDS' JWT as this desk would issue it; True without a server."""
        issued = issue_accounts(self.desk, self.vault, self.now)
        return self.system is None or await look_up(self.system, self.friends_key) == issued.accounts[Account.FRIENDS]

    async def push_account(self) -> Step:
        """Issue account FRIENDS anew where it changed, and bring it to every server."""
        what = "account JWT"
        issued = issue_accounts(self.desk, self.vault, self.now)
        if self.system is None:
            return self._untold(what)
        jwt = issued.accounts[Account.FRIENDS]

        async def pushing(link: Link) -> Step:
            pushed = await push(link, jwt, self.friends_key)
            detail = pushed.in_words if pushed.is_complete else f"{pushed.in_words}; then run `catalyst user sync`"
            return Step(what, Outcome.DONE if pushed.is_complete else Outcome.FAILED, detail)

        return await _tried(what, pushing, self.system)

    async def _close(self, edit: Edit) -> Step:
        keys = tuple(each.public_key for each in edit.revoked)

        async def closing(link: Link) -> Step:
            return await _closed(link, keys)

        if self.system is None:
            return self._untold("live connections")
        return await _tried("live connections", closing, self.system)

    async def _provision(self, edit: Edit) -> Step:
        what = "durable"

        async def provisioning(link: Link) -> Step:
            await provision_user(link, self.desk, edit.after)
            return Step(what, Outcome.DONE, f"{durable_name(edit.after.name)} reads {', '.join(edit.after.filters)}")

        return await _tried(what, provisioning, self.admin) if self.admin else self._untold(what)

    async def leave(self, name: str) -> list[Step]:
        """Remove the durable of a user who is leaving, and then his place in the registry."""

        async def removing(link: Link) -> Step:
            there = await delete_durable(link, name)
            return Step("durable", Outcome.DONE, f"{durable_name(name)} {'removed' if there else 'was gone already'}")

        removed = await _tried("durable", removing, self.admin) if self.admin else self._untold("durable")
        if removed.outcome is not Outcome.DONE:
            return [removed, replace(removed, what="registry entry")]
        await forget_user(self.desk, name)
        place = archive_user(self.desk, name, self.now)
        return [removed, Step("registry entry", Outcome.DONE, f"kept without secrets in {place}")]


async def _tried(what: str, doing: Callable[[Link], Awaitable[Step]], link: Link) -> Step:
    try:
        return await doing(link)
    except CatalystError as error:
        return Step(what, Outcome.FAILED, f"{error.message} ({error.code}); then run `catalyst user sync`")


async def _closed(link: Link, keys: tuple[str, ...]) -> Step:
    servers = await all_servers(link)

    async def left() -> tuple[Connection, ...]:
        return await connections_of(link, keys, servers)

    remaining = await _until_none(left)
    for connection in remaining:
        await kick(link, connection)
    kicked = len(remaining)
    remaining = await _until_none(left) if kicked else ()
    silent = [server.name for server in servers if server.is_silent]
    if remaining or silent:
        words = [f"{len(remaining)} are still open", *(f"{name} did not answer" for name in silent)]
        return Step("live connections", Outcome.FAILED, "; ".join(words))
    return Step("live connections", Outcome.DONE, f"none is open{f'; {kicked} had to be closed' if kicked else ''}")


async def _until_none(left: Callable[[], Awaitable[tuple[Connection, ...]]]) -> tuple[Connection, ...]:
    remaining = await left()
    for _ in range(round(_CLOSING_S / _POLL_S)):
        if not remaining:
            break
        await asyncio.sleep(_POLL_S)
        remaining = await left()
    return remaining


@asynccontextmanager
async def opened_session(desk: Desk, label: str, now: datetime) -> AsyncIterator[Session]:
    """Hold the registry and connect to the server if it runs; `label` is the name of the connections, `now` aware.

    Raises Conflict when another command holds the registry, or when the server has an account JWT that this desk must
    not overwrite; CredsInvalid (vault, own creds).
    """
    vault = read_vault(desk.vault)
    async with registry_held(desk):
        session = Session(desk, vault, now.replace(microsecond=0))
        async with AsyncExitStack() as stack:
            links = await _dialled(stack, desk, label)
            if links is None:
                yield replace(session, is_silent=desk.server_record() is not None)
                return
            await _check_server(session, links[1])
            yield replace(session, admin=links[0], system=links[1])


async def _dialled(stack: AsyncExitStack, desk: Desk, label: str) -> tuple[Link, Link] | None:
    try:
        return (
            await stack.enter_async_context(dial(desk, RoleName.ADMIN, label, connect_timeout_s=_CONNECT_TIMEOUT_S)),
            await stack.enter_async_context(dial(desk, RoleName.SYSTEM, label, connect_timeout_s=_CONNECT_TIMEOUT_S)),
        )
    except ServerUnreachable:
        return None


async def _check_server(session: Session, system: Link) -> None:
    path = session.desk.accounts / f"{Account.FRIENDS}.jwt"
    if path.exists():
        ours = path.read_text(encoding="utf-8").strip()
        trusted = frozenset({session.vault.operator_signing.public})
        checked_copy(await look_up(system, session.friends_key), ours, trusted)
