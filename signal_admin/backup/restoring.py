"""A backup made into a new data directory, with streams and durables: `catalyst up` there goes on where it was taken.

All or nothing: everything is built beside its place and moved there at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signal_admin.apply import read_durables, read_stream, remember_stream
from signal_admin.audit import record
from signal_admin.backup.archive import unpack
from signal_admin.backup.copy_server import streams_of, version_suffices
from signal_admin.backup.manifest import Manifest, StreamPart
from signal_admin.backup.private_files import scratch_folder
from signal_admin.backup.spool import DATA, Spool
from signal_admin.desk import Desk, make_desk
from signal_admin.prepare import held
from signal_admin.registry import all_users
from signal_admin.server.orphan import orphan_of
from signal_admin.store_key import store_key
from signal_contract.errors import AlreadyRunning, Conflict, StorageFailed
from signal_contract.link import Link
from signal_contract.topology import STREAM, durable_name

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What is there now. `aged` messages had passed the stream's age and are gone with it; `floors` are ack floors."""

    manifest: Manifest
    root: Path
    sequences: dict[str, tuple[int, int]]
    aged: int
    floors: dict[str, int]


async def restore(file: Path, data: Path, passphrase: str | None, say: Say, *, binary: Path | None = None) -> Restored:
    """Restore into `data`, which must be absent or empty.

    Raises Conflict (not empty), AlreadyRunning (the wire it was taken from runs on this machine), CredsInvalid
    (passphrase), StorageFailed (damaged), StoreKeyMissing, ServerTooOld. Nothing is left behind then.
    """
    _is_free(data)
    with scratch_folder(data.parent, f".{data.name}.restoring-") as scratch:
        say("reading the backup …")
        manifest = await asyncio.to_thread(unpack, file, scratch / "spool", passphrase, _source_is_down)
        spool = Spool(manifest, scratch / "spool")
        version_suffices(spool, binary)
        desk = spool.desk
        key = store_key(desk, wanted=manifest.is_encrypted)
        work = _folder(scratch / "server")
        make_desk(desk.root)
        say("putting the streams back …")
        async with streams_of(spool, desk.root, work, key=key, binary=binary) as link:
            restored = await _looked_at(link, desk, data, manifest)
        await _noted(desk, manifest)
        _moved(spool.root / DATA, data)
    return restored


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _is_free(data: Path) -> None:
    try:
        is_used = data.exists() and (not data.is_dir() or any(data.iterdir()))
    except OSError as error:
        raise StorageFailed(f"cannot read {data}: {error.strerror or error}") from error
    if is_used:
        raise Conflict(
            f"{data} is not empty; a backup is restored into a new directory only",
            hint="Name a new one with --data. The old one can stay where it is.",
        )


def _source_is_down(manifest: Manifest) -> None:
    """Refuse while the server of the directory that the backup comes from still runs on this machine."""
    desk = Desk(Path(manifest.source))
    if not desk.lock.exists():
        return
    hint = "Stop it first: two servers of one wire would each send a part. To try a backup: catalyst verify --backup."
    try:
        with held(desk):
            is_running = orphan_of(desk.nats_pid, desk.server_conf) is not None
    except AlreadyRunning as error:
        raise AlreadyRunning(error.message, hint=hint) from error
    except OSError:
        return  # somebody else's directory: another machine's path that happens to exist here
    if is_running:
        raise AlreadyRunning(f"a nats-server still runs on {desk.root}", hint=hint)


async def _looked_at(link: Link, desk: Desk, data: Path, manifest: Manifest) -> Restored:
    sequences: dict[str, tuple[int, int]] = {}
    aged = 0
    for each in manifest.streams:
        first, last, count = await _extent(link, each)
        if last != each.last_sequence:
            raise StorageFailed(f"{each.name} ends at {last} after the restore, the backup at {each.last_sequence}")
        sequences[each.name] = (first, last)
        aged += max(0, each.messages - count)
    floors: dict[str, int] = {}
    if STREAM in sequences:
        floors = {name: int(info["ack_floor"]["stream_seq"]) for name, info in (await read_durables(link)).items()}
        await remember_stream(link, desk)
    # Of one that was there a moment before the snapshot: its user may have been offboarded meanwhile.
    users = {durable_name(user.name) for user in all_users(desk)}
    missing = sorted({each.name for each in manifest.durables} & users - set(floors))
    if missing:
        raise StorageFailed(f"the snapshot lacks the durables {', '.join(missing)}", hint="Use another copy of it.")
    return Restored(manifest, data, sequences, aged, floors)


async def _extent(link: Link, part: StreamPart) -> tuple[int, int, int]:
    info = await read_stream(link, part.name)
    state = info["state"] if info is not None else {"first_seq": 0, "last_seq": 0, "messages": 0}
    return int(state["first_seq"]), int(state["last_seq"]), int(state["messages"])


async def _noted(desk: Desk, manifest: Manifest) -> None:
    ends = {each.name: each.last_sequence for each in manifest.streams}
    after = {"taken_at": manifest.created_at, "source": f"{manifest.host}:{manifest.source}", "last_sequences": ends}
    await record(None, desk, action="restore", target="wire", before=None, after=after)


def _moved(source: Path, target: Path) -> None:
    try:
        if target.exists():
            target.rmdir()  # empty, or somebody has put something in meanwhile
        source.rename(target)
    except OSError as error:
        raise StorageFailed(f"cannot make {target}: {error.strerror or error}", hint="Nothing was restored.") from error
