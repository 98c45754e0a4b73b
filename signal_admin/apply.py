"""Carries out a plan over an admin connection, by plain JetStream API requests, and reads what the server has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from signal_admin.control import is_held_back, repeat_for
from signal_admin.desk import Desk
from signal_admin.plan import (
    Action,
    Actual,
    CreateDurable,
    CreateStream,
    Plan,
    UpdateDurable,
    UpdateStream,
    durable_plan,
    newcomers,
    plan,
    without_newcomers,
)
from signal_admin.registry import User, all_users, write_user
from signal_contract.creds import write_secret
from signal_contract.errors import Conflict, DurableMissing, StoreDamaged, StreamMissing
from signal_contract.link import Link
from signal_contract.topology import API_PREFIX, FEEDBACK_STREAM, FLAGS_STREAM, STREAM, durable_name

_API = API_PREFIX
# AUDIT is made by `audit.ensure_stream`, and an existing one is left as it is.
_PLANNED_STREAMS = (STREAM, FEEDBACK_STREAM, FLAGS_STREAM)


async def read_durables(link: Link, *, prefix: str = API_PREFIX) -> dict[str, dict[str, Any]]:
    """Consumer info of every durable, by name (the server answers in pages).

    `prefix` is what JetStream's API is called in the link's account: WATCH_PREFIX for a monitor.
    """
    found: dict[str, dict[str, Any]] = {}
    total = 1
    while len(found) < total:
        page = await link.api(f"{prefix}.CONSUMER.LIST.{STREAM}", {"offset": len(found)})
        entries = page.get("consumers") or []
        if not entries:
            break
        found |= {entry["name"]: entry for entry in entries}
        total = int(page.get("total", 0))
    return found


async def read_stream(link: Link, name: str = STREAM) -> dict[str, Any] | None:
    """Stream info, or None when there is no such stream."""
    try:
        return await link.api(f"{_API}.STREAM.INFO.{name}")
    except StreamMissing:
        return None


async def read_actual(link: Link) -> Actual:
    """What the server has right now."""
    found = {name: await read_stream(link, name) for name in _PLANNED_STREAMS}
    configs = {name: info["config"] for name, info in found.items() if info is not None}
    signals = found[STREAM]
    if signals is None:
        return Actual(configs)
    durables = {name: info["config"] for name, info in (await read_durables(link)).items()}
    return Actual(configs, int(signals["state"]["last_seq"]), durables)


async def provision(link: Link, desk: Desk, desired_streams: Iterable[Mapping[str, Any]]) -> Plan:
    """Bring streams and durables to what the registry says. The registry must be held (`registry_locked`).

    Raises Conflict, with every refusal, before anything is changed; StoreDamaged when the stream of before is gone.
    """
    actual = await read_actual(link)
    _stream_is_the_one_of_before(desk, await read_stream(link))
    todo = plan(all_users(desk), desired_streams, actual)
    if todo.refusals:
        raise Conflict(
            "the server's streams cannot be brought to this version's settings:\n  " + "\n  ".join(todo.refusals),
            hint="Nothing was changed. Use the version that made them, or a new data directory.",
        )
    if is_held_back(desk, newcomers(todo)):
        # The server has to run so that the publisher's key can be changed to the end; those users wait for it.
        todo = without_newcomers(todo)
    await _carry_out(link, desk, todo)
    _remember_stream(desk, await read_stream(link))
    return todo


async def provision_user(link: Link, desk: Desk, user: User) -> None:
    """Bring one user's durable to what the registry says. The registry must be held; raises StreamMissing, Conflict."""
    stream = await link.api(f"{_API}.STREAM.INFO.{STREAM}")
    info = await read_durable(link, user.name)
    todo = durable_plan(user, info["config"] if info is not None else None, int(stream["state"]["last_seq"]))
    if todo.refusals:
        raise Conflict("\n  ".join(todo.refusals), hint="Nothing was changed.")
    await _carry_out(link, desk, todo)


async def provision_users(link: Link, desk: Desk) -> tuple[str, ...]:
    """Bring every registered user's durable to what the registry says; names of the users whose durable changed.

    The registry must be held; raises StreamMissing, Conflict (with every refusal, before anything is changed).
    """
    actual = await read_actual(link)
    if STREAM not in actual.streams:
        raise StreamMissing(f"the server has no stream {STREAM}")
    todo = plan(all_users(desk), actual.streams.values(), actual)
    if todo.refusals:
        raise Conflict("\n  ".join(todo.refusals), hint="Nothing was changed.")
    await _carry_out(link, desk, todo)
    return tuple(each.user.name for each in todo.actions if isinstance(each, CreateDurable | UpdateDurable))


async def delete_durable(link: Link, name: str) -> bool:
    """Remove a user's durable; False when there was none. His position is gone with it. Raises a LinkError."""
    try:
        await link.api(f"{_API}.CONSUMER.DELETE.{STREAM}.{durable_name(name)}")
    except DurableMissing:
        return False
    return True


async def read_durable(link: Link, name: str) -> dict[str, Any] | None:
    """Consumer info of a user's durable, or None when he has none. Raises a LinkError."""
    try:
        return await link.api(f"{_API}.CONSUMER.INFO.{STREAM}.{durable_name(name)}")
    except DurableMissing:
        return None


async def _carry_out(link: Link, desk: Desk, todo: Plan) -> None:
    for action in todo.actions:
        await _put_stream(link, action)
    await repeat_for(link, desk, newcomers(todo))
    for action in todo.actions:
        match action:
            case CreateDurable(user, config):
                # Remembered first: after a crash in between, the durable is made from the same place.
                write_user(desk, user)
                await _put_durable(link, user, dict(config), "create")
            case UpdateDurable(user, config):
                await _put_durable(link, user, dict(config), "update")


async def _put_stream(link: Link, action: Action) -> None:
    match action:
        case CreateStream(config):
            await link.api(f"{_API}.STREAM.CREATE.{config['name']}", config)
        case UpdateStream(config):
            await link.api(f"{_API}.STREAM.UPDATE.{config['name']}", config)


async def _put_durable(link: Link, user: User, config: dict[str, Any], action: str) -> None:
    subject = f"{_API}.CONSUMER.CREATE.{STREAM}.{durable_name(user.name)}"
    await link.api(subject, {"stream_name": STREAM, "config": config, "action": action})


def _stream_is_the_one_of_before(desk: Desk, info: dict[str, Any] | None) -> None:
    """Raise StoreDamaged when a stream was here and is gone, is another one, or has become shorter.

    nats-server starts without a stream whose files it cannot read; a new one would begin again at sequence 1.
    """
    if not desk.stream_json.exists():
        return
    before = orjson.loads(desk.stream_json.read_bytes())
    hint = (
        f"Restore {desk.jetstream} from a backup. To begin a new log on purpose, remove {desk.stream_json}: "
        "sequences then start again."
    )
    if info is None:
        raise StoreDamaged(
            f"the stream {STREAM}, made at {before['created'] or 'an earlier time'}, is gone from {desk.jetstream}",
            hint=hint,
        )
    if before["created"] and info["created"] != before["created"]:
        raise StoreDamaged(f"{desk.jetstream} holds another stream than before", hint=hint)
    if int(info["state"]["last_seq"]) < int(before["last_sequence"]):
        raise StoreDamaged(
            f"the stream ends at sequence {info['state']['last_seq']}, it was at {before['last_sequence']}", hint=hint
        )


def _remember_stream(desk: Desk, info: dict[str, Any] | None) -> None:
    if info is not None:
        seen = {"created": info["created"], "last_sequence": int(info["state"]["last_seq"])}
        write_secret(desk.stream_json, orjson.dumps(seen).decode() + "\n")


def forget_creation(desk: Desk) -> None:
    """Accept another creation time at the next start; the last sequence still counts.

    nats-server 2.15 gives a stream a new one when it encrypts its files for the first time, and shows it only after
    another start.
    """
    if desk.stream_json.exists():
        seen = orjson.loads(desk.stream_json.read_bytes()) | {"created": ""}
        write_secret(desk.stream_json, orjson.dumps(seen).decode() + "\n")


async def remember_stream(link: Link, desk: Desk) -> None:
    """Note how far the stream has come, so that a shortened one is recognised at the next start."""
    _remember_stream(desk, await read_stream(link))
