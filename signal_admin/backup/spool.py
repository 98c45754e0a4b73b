"""Everything that a backup holds, gathered in one private folder: copies of files, snapshots of streams, a manifest.

From a running server through its API; from a stopped one through a private server on a copy of its store. The order
is what makes it hold together: what waits at the publisher, his outbox, the streams, then all the rest.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

import signal_contract
from signal_admin.apply import read_durables, read_stream
from signal_admin.backup.files import SCRATCH_PREFIX, copied, is_before_streams, listed, outside_of
from signal_admin.backup.manifest import DurablePart, Manifest, Part, StreamPart
from signal_admin.backup.pace import Pace
from signal_admin.backup.private_files import digest_of
from signal_admin.backup.private_server import private_server, stop_left_over
from signal_admin.backup.snapshot import Snapshot, take_snapshot
from signal_admin.desk import Desk
from signal_admin.dial import dial
from signal_admin.prepare import held
from signal_admin.server.binary import find_binary, version_checked
from signal_admin.server.orphan import orphan_of
from signal_admin.store_key import is_encrypted, store_key
from signal_contract.creds import read_creds
from signal_contract.errors import AlreadyRunning, Conflict, ServerUnreachable, StorageFailed, StoreDamaged
from signal_contract.link import Link
from signal_contract.permissions import BACKED_UP, RoleName
from signal_contract.topology import STREAM

Say = Callable[[str], None]

DATA, STREAMS = "data", "streams"
# A change of these in between would leave keys, or what stands, of another moment than the stream.
_OF_ONE_MOMENT = ("vault", "publisher/signing.seed", "publisher/signing.rotating", "control.json")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Spool:
    """A gathered or unpacked backup: its files lie below `root` as the manifest names them."""

    manifest: Manifest
    root: Path

    @property
    def desk(self) -> Desk:
        """The copied data directory; it has no streams and has never run."""
        return Desk(self.root / DATA)


async def gathered(desk: Desk, scratch: Path, say: Say, *, binary: Path | None = None) -> Spool:
    """Gather a consistent copy below `scratch`, which nobody else may read. Changes nothing.

    Raises Denied (server of an older version), Conflict (keys were being changed), StorageFailed, StoreKeyMissing,
    StoreDamaged, AlreadyRunning (a server that is just starting or stopping).
    """
    async with _source(desk, scratch, say, binary) as link:
        for attempt in range(_ATTEMPTS):
            root = scratch / f"spool-{attempt}"
            before = _of_one_moment(desk)
            taken = await _taken(desk, link, root, say)
            if _of_one_moment(desk) == before:
                break
            say("keys or control messages changed meanwhile; once more …")
            await asyncio.to_thread(shutil.rmtree, root)
        else:
            raise Conflict("keys or control messages kept changing meanwhile", hint="Run it again in a moment.")
    snapshots, durables = taken
    parts = await asyncio.to_thread(_parts, root)
    return Spool(_manifest(desk, snapshots, durables, parts, binary), root)


def _of_one_moment(desk: Desk) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in _OF_ONE_MOMENT:
        top = desk.root / name
        for path in sorted(top.iterdir()) if top.is_dir() else [top]:
            try:
                found[str(path)] = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageFailed(f"cannot read {path}: {error.strerror or error}") from error
    return found


# Where the streams come from -----------------------------------------------------------------------------------


@asynccontextmanager
async def _source(desk: Desk, scratch: Path, say: Say, binary: Path | None) -> AsyncIterator[Link]:
    async with AsyncExitStack() as stack:
        link = await _running(desk, stack)
        if link is not None:
            yield link
            return
    with held(desk):
        if orphan_of(desk.nats_pid, desk.server_conf) is not None:
            raise AlreadyRunning(
                f"a nats-server of an earlier `catalyst up` still runs on {desk.root} and does not answer",
                hint="Start `catalyst up`, which takes its place, or end it.",
            )
        say("the server is stopped: working on a copy of its store …")
        key = store_key(desk, wanted=False)
        store, work = scratch / "store", scratch / "server"
        await asyncio.to_thread(_store_copied, desk, store, work)
        async with private_server(store, work, account_of(desk), store_key=key, binary=binary) as link:
            yield link


async def _running(desk: Desk, stack: AsyncExitStack) -> Link | None:
    if desk.server_record() is None:
        return None
    try:
        return await stack.enter_async_context(dial(desk, RoleName.ADMIN, "catalyst-backup"))
    except ServerUnreachable:
        return None  # `catalyst up` was killed; whether its server lives on is asked next


def _store_copied(desk: Desk, store: Path, work: Path) -> None:
    try:
        for folder in (store, work):
            folder.mkdir(mode=0o700)
        if desk.jetstream.is_dir():
            shutil.copytree(desk.jetstream, store / desk.jetstream.name)
    except (OSError, shutil.Error) as error:
        raise StorageFailed(f"{desk.jetstream} cannot be copied: {error}") from error


def account_of(desk: Desk) -> str:
    """The public key of account SIGNALS; raises CredsInvalid."""
    return read_creds(desk.role_creds(RoleName.ADMIN.value), role=RoleName.ADMIN.value).account


# Taking ---------------------------------------------------------------------------------------------------------


async def _taken(desk: Desk, link: Link, root: Path, say: Say) -> tuple[list[Snapshot], list[DurablePart]]:
    paths = listed(desk.root)
    data = root / DATA
    first = tuple(path for path in paths if is_before_streams(path))
    await asyncio.to_thread(copied, desk.root, first, data)
    durables = [_durable(each) for each in (await _durables(link)).values()]
    snapshots = [each for name in BACKED_UP if (each := await _snapshot(desk, link, name, root, say)) is not None]
    # Listed anew: a user who came meanwhile is in the registry, and gets his durable at the next start.
    rest = tuple(path for path in listed(desk.root) if not is_before_streams(path))
    await asyncio.to_thread(copied, desk.root, rest, data)
    return snapshots, durables


async def _durables(link: Link) -> dict[str, dict[str, Any]]:
    return await read_durables(link) if await read_stream(link) is not None else {}


def _durable(info: dict[str, Any]) -> DurablePart:
    return DurablePart(
        name=str(info["name"]),
        ack_floor=int(info["ack_floor"]["stream_seq"]),
        delivered=int(info["delivered"]["stream_seq"]),
        unacknowledged=int(info["num_ack_pending"]),
    )


async def _snapshot(desk: Desk, link: Link, name: str, root: Path, say: Say) -> Snapshot | None:
    if await read_stream(link, name) is None:
        if name == STREAM and desk.stream_json.exists():
            raise StoreDamaged(f"the stream {STREAM} is gone from {desk.jetstream}")
        return None
    pace = Pace(say)
    taken = await take_snapshot(
        link, name, root / _snapshot_path(name), lambda count: pace.tell(f"{name}: {count / 1e6:,.0f} MB …")
    )
    say(f"{name}: {int(taken.state['messages']):,} messages, up to sequence {int(taken.state['last_seq']):,}")
    return taken


def _snapshot_path(name: str) -> str:
    return f"{STREAMS}/{name}.snapshot"


# The manifest ---------------------------------------------------------------------------------------------------


def _parts(root: Path) -> tuple[Part, ...]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    try:
        return tuple(Part(each.relative_to(root).as_posix(), each.stat().st_size, digest_of(each)) for each in files)
    except OSError as error:
        raise StorageFailed(f"{root} cannot be read: {error.strerror or error}") from error


def _manifest(
    desk: Desk, snapshots: list[Snapshot], durables: list[DurablePart], parts: tuple[Part, ...], binary: Path | None
) -> Manifest:
    spoken = next((each.config.get("metadata", {}).get("_nats.ver") for each in snapshots), None)
    return Manifest(
        created_at=datetime.now(UTC),
        program=signal_contract.__version__,
        server=str(spoken or version_checked(find_binary(binary))),
        host=socket.gethostname(),
        source=str(desk.root),
        account=account_of(desk),
        is_encrypted=desk.store_check.exists() or is_encrypted(desk),
        streams=tuple(_stream_part(each) for each in snapshots),
        durables=tuple(durables),
        parts=parts,
        outside=outside_of(desk),
    )


def _stream_part(snapshot: Snapshot) -> StreamPart:
    state = snapshot.state
    return StreamPart(
        name=snapshot.stream,
        first_sequence=int(state["first_seq"]),
        last_sequence=int(state["last_seq"]),
        messages=int(state["messages"]),
        config=snapshot.config,
        state=state,
        part=_snapshot_path(snapshot.stream),
    )


@contextmanager
def one_at_a_time(desk: Desk) -> Iterator[None]:
    """One backup or verification of a directory at a time; what a killed one left is removed. Raises AlreadyRunning."""
    lock = filelock.FileLock(desk.root / "backup.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise AlreadyRunning(f"another backup of {desk.root} is being taken right now") from error
    try:
        for left in desk.root.glob(f"{SCRATCH_PREFIX}*"):
            stop_left_over(left)
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()
