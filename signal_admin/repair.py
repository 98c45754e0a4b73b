"""Makes a friend's lost durable again, from the place up to which his agent holds everything it is entitled to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from signal_admin.apply import delete_durable, provision_user, read_durable
from signal_admin.audit import record
from signal_admin.commit import Session, opened_session
from signal_admin.desk import Desk
from signal_admin.registry import User, read_user, write_user
from signal_admin.reports import Status, last_status
from signal_admin.stored import Stored, message_at
from signal_contract.errors import Conflict, ServerUnreachable, StreamMissing
from signal_contract.link import Link
from signal_contract.topology import API_PREFIX, STREAM, durable_name


class Source(StrEnum):
    """Who says up to where he has everything."""

    TOLD = "told with --from"
    REPORT = "his agent's last report"
    REGISTRY = "the registry: where he began"


@dataclass(frozen=True, slots=True)
class Placed:
    """Where delivery begins again. `notes` say in words what was cut or is gone."""

    start: int
    source: Source
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repair:
    """What is or was done. `placed` is None when the durable is there and nothing has to be done."""

    user: str
    is_there: bool
    placed: Placed | None = None
    pending: int | None = None
    is_done: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "durable": durable_name(self.user),
            "was_there": self.is_there,
            "start_sequence": self.placed.start if self.placed else None,
            "source": self.placed.source.value if self.placed else None,
            "notes": list(self.placed.notes) if self.placed else [],
            "pending": self.pending,
            "done": self.is_done,
        }


def placed(position: int | None, source: Source, user: User, first: int, last: int) -> Placed:
    """The start behind a position, never beyond the stream's end; without one where the user began. Pure.

    `first` and `last` are the stream's sequences. A position that is too high was made up, or the stream is another.
    """
    notes: list[str] = []
    if position is None:
        start = user.start_sequence if user.start_sequence is not None else last + 1
        notes.append("no position is known: all since then is delivered again, and his agent drops what it has")
        source = Source.REGISTRY
    else:
        start = position + 1
    if start > last + 1:
        notes.append(f"position {start - 1} is beyond the stream's end at {last}; it counts as {last}")
        start = last + 1
    if start < first:
        notes.append(f"sequences {start} to {first - 1} are no longer in the stream")
    return Placed(max(1, start), source, tuple(notes))


def believed(status: Status, at_its_place: Stored | None) -> int | None:
    """The position of a report; None when what lies there now (None: gone for its age) came after the report.

    Then it speaks of another stream: a backup was restored, and its sequences were given again. Pure.
    """
    is_of_another = at_its_place is not None and at_its_place.at > status.stored_at
    return None if is_of_another else status.status.position


async def believed_position(link: Link, status: Status, last: int) -> int | None:
    """The position of a report, held against the stream; `last` is its end. Raises a LinkError."""
    place = min(status.status.position, last)
    return believed(status, await message_at(link, STREAM, place) if place > 0 else None)


async def planned_repair(desk: Desk, name: str, *, told: int | None, now: datetime) -> Repair:
    """What `repair` would do; changes nothing. `told` is the last sequence that the friend has, None: find it out.

    Raises NotFound, Conflict (he is leaving), ServerUnreachable, StreamMissing.
    """
    async with _session(desk, name, now) as (_, link, user):
        return await _planned(link, user, told)


async def repair(desk: Desk, name: str, *, told: int | None, now: datetime, may_replace: bool = False) -> Repair:
    """Make a friend's durable again where it is gone; one that is there only with `told` and `may_replace`.

    Raises as `planned_repair`, and Conflict for a durable that is there and may not be replaced.
    """
    async with _session(desk, name, now) as (session, link, user):
        todo = await _planned(link, user, told)
        if todo.placed is None:
            return todo
        if todo.is_there and not may_replace:
            raise Conflict(
                f"the durable of {name} is there, with {todo.pending} messages waiting",
                hint="To move his place all the same, add --yes.",
            )
        await _made_again(session, link, user, todo.placed, is_there=todo.is_there)
        return replace(todo, is_done=True)


@asynccontextmanager
async def _session(desk: Desk, name: str, now: datetime) -> AsyncIterator[tuple[Session, Link, User]]:
    async with opened_session(desk, "catalyst-user-repair", now) as session:
        user = read_user(desk, name)
        if user.is_leaving:
            raise Conflict(f"{name} is being offboarded", hint="`catalyst user sync` finishes that.")
        if session.admin is None:
            raise ServerUnreachable(
                f"the server of {desk.root} does not run; a place in the stream is made on it",
                hint="Start it with `catalyst up`.",
            )
        yield session, session.admin, user


async def _planned(link: Link, user: User, told: int | None) -> Repair:
    state = (await link.api(f"{API_PREFIX}.STREAM.INFO.{STREAM}"))["state"]
    info, last = await read_durable(link, user.name), int(state["last_seq"])
    pending = int(info.get("num_pending", 0)) if info is not None else None
    if info is not None and told is None:
        return Repair(user.name, is_there=True, pending=pending)
    position, source = (told, Source.TOLD) if told is not None else (await _reported(link, user, last), Source.REPORT)
    where = placed(position, source, user, int(state["first_seq"]), last)
    return Repair(user.name, is_there=info is not None, placed=where, pending=pending)


async def _reported(link: Link, user: User, last: int) -> int | None:
    try:
        status = await last_status(link, user)
    except StreamMissing:  # of a server from before there were reports
        return None
    return await believed_position(link, status, last) if status is not None else None


async def _made_again(session: Session, link: Link, user: User, where: Placed, *, is_there: bool) -> None:
    desk, after = session.desk, replace(user, start_sequence=where.start)
    # The registry first: after a crash in between, the next `catalyst up` makes the durable from the same place.
    write_user(desk, after)
    if is_there:
        await delete_durable(link, user.name)
    await provision_user(link, desk, after)
    await record(
        link,
        desk,
        action="user repair",
        target=user.name,
        before={"durable": "there" if is_there else "gone", "start_sequence": user.start_sequence},
        after={"start_sequence": where.start, "source": where.source.value, "notes": list(where.notes)},
    )
