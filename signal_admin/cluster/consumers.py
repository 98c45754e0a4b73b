"""Keeps the consumers of many friends in memory, and makes them again after the server that held them was restarted.

The stream stays on disk. A consumer in memory costs the server a third of the work of one on disk, and is gone with a
single server's restart; then it is made again behind the position that the friend's agent reported, or where he began
when none is known. So something may come twice, which his agent drops, and nothing is ever skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from signal_admin.apply import delete_durable, read_durables, read_stream
from signal_admin.cluster.settings import ScaleSettings, read_scale
from signal_admin.control import is_held_back, repeat_for
from signal_admin.desk import Desk, open_desk
from signal_admin.dial import dial
from signal_admin.registry import User, all_users, registry_held
from signal_admin.repair import Placed, Source, believed_position, placed
from signal_admin.reports import last_statuses
from signal_contract.errors import ServerUnreachable, StreamMissing
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.topology import API_PREFIX, STREAM, durable_config, durable_name

# How soon a restarted server is noticed, and how often its consumers are counted in between.
_LOOK_S = 1.0
_COUNT_S = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Restore:
    """A consumer to be made: at its place, in memory or on disk."""

    user: User
    where: Placed
    in_memory: bool


@dataclass(frozen=True, slots=True)
class Convert:
    """A consumer that changes its storage: removed and made again behind what was acknowledged."""

    user: User
    start: int
    in_memory: bool


@dataclass(frozen=True, slots=True)
class Step:
    """All that has to be done, by user."""

    restores: tuple[Restore, ...] = ()
    converts: tuple[Convert, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server has: the stream's sequences, consumer infos by name, and where those who have none said to be."""

    first: int
    last: int
    durables: Mapping[str, Mapping[str, Any]]
    positions: Mapping[str, int]


def ours(users: tuple[User, ...]) -> tuple[User, ...]:
    """The users whose consumers are kept: those who began and are not leaving. Others are `catalyst up`'s affair."""
    return tuple(user for user in users if user.start_sequence is not None and not user.is_leaving)


def step_from(users: tuple[User, ...], settings: ScaleSettings, seen: Seen, *, may_convert: bool) -> Step:
    """What has to be done for these users. Pure. With the setting off, a lost consumer is left to `catalyst up`."""
    known, in_memory = ours(users), settings.wants_memory(len(ours(users)))
    restores, converts = [], []
    for user in known:
        info = seen.durables.get(durable_name(user.name))
        if info is None:
            if settings.memory_consumers_above is not None:
                restores.append(Restore(user, _place(user, seen), in_memory))
        elif may_convert and bool(info["config"].get("mem_storage")) is not in_memory:
            converts.append(Convert(user, _behind_acknowledged(user, info), in_memory))
    return Step(tuple(restores), tuple(converts))


def _place(user: User, seen: Seen) -> Placed:
    return placed(seen.positions.get(user.name), Source.REPORT, user, seen.first, seen.last)


def _behind_acknowledged(user: User, info: Mapping[str, Any]) -> int:
    floor = int((info.get("ack_floor") or {}).get("stream_seq", 0))
    return max(floor + 1, user.start_sequence or 1)


async def brought_in_step(link: Link, desk: Desk, *, may_convert: bool = True) -> Step:
    """Do what has to be done; what was done. The registry must be held, `link` is an admin's.

    Does nothing on a stream that is not there or not the one of before: `provision` says so. Raises a LinkError,
    Conflict, ConfigInvalid (scale.json), StorageFailed.
    """
    settings, users = read_scale(desk), all_users(desk)
    info = await read_stream(link)
    if info is None or not _is_the_one_of_before(desk, info):
        return Step()
    durables = await read_durables(link)
    lost = tuple(user for user in ours(users) if durable_name(user.name) not in durables)
    first, last = int(info["state"]["first_seq"]), int(info["state"]["last_seq"])
    positions = await _positions(link, lost, last) if settings.memory_consumers_above is not None else {}
    seen = Seen(first, last, durables, positions)
    todo = step_from(users, settings, seen, may_convert=may_convert)
    if is_held_back(desk, tuple(each.user.name for each in todo.restores)):
        # What stands cannot be said to them again before the publisher's new key is in force.
        todo = Step(converts=todo.converts)
    await _carried_out(link, desk, todo)
    return todo


async def _positions(link: Link, users: tuple[User, ...], last: int) -> dict[str, int]:
    """Where they said to be, as far as that can be true of this stream."""
    try:
        statuses = await last_statuses(link, users)
    except StreamMissing:  # of a server from before there were reports
        return {}
    found = {name: await believed_position(link, status, last) for name, status in statuses.items()}
    return {name: position for name, position in found.items() if position is not None}


def _is_the_one_of_before(desk: Desk, info: Mapping[str, Any]) -> bool:
    if not desk.stream_json.exists():
        return True
    before = orjson.loads(desk.stream_json.read_bytes())
    is_same = not before["created"] or before["created"] == info["created"]
    return is_same and int(info["state"]["last_seq"]) >= int(before["last_sequence"])


async def _carried_out(link: Link, desk: Desk, todo: Step) -> None:
    await repeat_for(link, desk, tuple(each.user.name for each in todo.restores))
    for restore in todo.restores:
        await _made(link, restore.user, restore.where.start, in_memory=restore.in_memory)
    for convert in todo.converts:
        await delete_durable(link, convert.user.name)
        await _made(link, convert.user, convert.start, in_memory=convert.in_memory)


async def _made(link: Link, user: User, start: int, *, in_memory: bool) -> None:
    config = durable_config(user.name, user.filters, start_sequence=start) | {"mem_storage": in_memory}
    body = {"stream_name": STREAM, "config": config, "action": "create"}
    await link.api(f"{API_PREFIX}.CONSUMER.CREATE.{STREAM}.{durable_name(user.name)}", body)


def in_words(done: Step) -> list[str]:
    """What was done, for people; empty when nothing was."""
    lines = []
    if done.restores:
        known = sum(each.where.source is Source.REPORT for each in done.restores)
        lines.append(
            f"{len(done.restores)} consumers made again: {known} behind the position that the agent reported, "
            f"{len(done.restores) - known} from where the friend began"
        )
    if done.converts:
        place = "in memory" if done.converts[0].in_memory else "on disk"
        lines.append(f"{len(done.converts)} consumers are now kept {place}; each goes on where it was")
    return lines


# While the server runs --------------------------------------------------------------------------------------------


async def consumers_kept(data: Path, say: Say) -> None:
    """Run beside the server: make lost consumers again, soon after it was restarted. Ends by being cancelled.

    Raises a CatalystError when it cannot; whoever runs it begins it again.
    """
    desk = open_desk(data)
    clock = asyncio.get_running_loop().time
    pid, looked_at, is_first = 0, float("-inf"), True
    while True:
        record = desk.server_record()
        is_new = record is not None and record.nats_pid != pid
        if record is not None and (is_new or clock() - looked_at >= _COUNT_S):
            pid, looked_at = record.nats_pid, clock()
            # Only once: around the limit they would otherwise change with each user who comes or goes.
            await _looked_after(desk, say, may_convert=is_first)
            is_first = False
        await asyncio.sleep(_LOOK_S)


async def _looked_after(desk: Desk, say: Say, *, may_convert: bool) -> None:
    if read_scale(desk).memory_consumers_above is None and not may_convert:
        return
    try:
        async with registry_held(desk), dial(desk, RoleName.ADMIN, "catalyst-consumers") as link:
            done = await brought_in_step(link, desk, may_convert=may_convert)
    except ServerUnreachable:
        return  # it is being started; the next look comes
    for line in in_words(done):
        say(line)
