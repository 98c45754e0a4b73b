"""Carries the log of a single server over to the nodes of a cluster: all streams, every friend's durable and its place.

The single server must be stopped. Its store is copied, and only the copy is opened: by a private server that takes the
snapshots. They are put into nodes that run under a throw-away operator, so that nobody else is let in meanwhile. What
the nodes hold is compared with what was there before, and only then is it a cluster's directory.
The old store is kept.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from signal_admin.apply import forget_creation, read_durables, read_stream
from signal_admin.backup.private_server import _identity as throw_away_identity
from signal_admin.backup.private_server import private_server
from signal_admin.backup.snapshot import Snapshot, put_back, take_snapshot
from signal_admin.cluster.node_process import NodeProcess
from signal_admin.cluster.nodes import Common, Node, node_text
from signal_admin.cluster.replicas import STREAMS, Counts, counts_of, settled
from signal_admin.cluster.running import mark, marker, nodes_here, read_templates, route_password
from signal_admin.desk import Desk, open_desk
from signal_admin.prepare import held
from signal_admin.server.binary import find_binary
from signal_admin.server.config import STORE_KEY_VARIABLE, quoted
from signal_admin.settings import UpSettings
from signal_admin.store_key import is_encrypted, store_key
from signal_admin.vault import read_vault
from signal_contract.errors import BrokerRefused, Conflict, RequestTimedOut, ServerStartFailed, StorageFailed
from signal_contract.link import Link, opened
from signal_contract.topology import API_PREFIX, STREAM, Account

_ELECTION_TIMEOUT_S, _POLL_S, _COPIES = 60.0, 0.25, 3
_COPY_TIMEOUT_S = 600.0

Say = Callable[[str], None]
Places = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Carried:
    """What was carried over, by stream; `places` counts the durables, `kept` is where the old store lies now."""

    streams: Mapping[str, Counts]
    places: int
    kept: Path

    def as_dict(self) -> dict[str, Any]:
        return {
            "streams": {
                name: {"messages": each.messages, "first_sequence": each.first, "last_sequence": each.last}
                for name, each in self.streams.items()
            },
            "durables": self.places,
            "kept": str(self.kept),
        }


@dataclass(frozen=True, slots=True)
class _Taken:
    """Snapshots in files, what they held, and each durable's ack floor: (stream sequence, consumer sequence)."""

    snapshots: Mapping[str, tuple[Snapshot, Path]]
    counts: Mapping[str, Counts]
    places: Places


async def carried_over(data: Path | None, settings: UpSettings, size: int, say: Say) -> Carried:
    """Make a single server's directory a cluster's. Raises AlreadyRunning, Conflict (nothing to carry, or not whole).

    After any error the directory is a single server's as before.
    """
    desk = open_desk(data)
    with held(desk):
        if marker(desk).exists() or not desk.stream_json.exists():
            raise Conflict(f"{desk.root} holds no log of a single server", hint="Start it: catalyst cluster up.")
        nodes, kept = nodes_here(desk, settings, size), desk.root / "jetstream-before-cluster"
        for path in (kept, *(node.folder for node in nodes)):
            if path.exists():  # of a try that was cut off, or worse: never cleared away unasked
                raise Conflict(f"{path} is there already", hint="Look at it, and move it away first.")
        key = store_key(desk, wanted=False) if is_encrypted(desk) else None
        with tempfile.TemporaryDirectory(prefix="carrying-", dir=desk.root) as folder:
            taken = await _taken(desk, Path(folder), key, settings.nats_server, say)
            try:
                async with _private_nodes(desk, nodes, key, settings) as link:
                    streams = await _put(link, taken, say)
            except BaseException:
                _clear(desk, nodes)
                raise
        for node in nodes:  # the throw-away accounts must not be found by the real ones
            shutil.rmtree(node.resolver, ignore_errors=True)
        forget_creation(desk)
        mark(desk, size, ())
        desk.jetstream.rename(kept)
        desk.jetstream.mkdir(mode=0o700)
        return Carried(streams, len(taken.places), kept)


def _clear(desk: Desk, nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        shutil.rmtree(node.folder, ignore_errors=True)
    marker(desk).unlink(missing_ok=True)


async def _taken(desk: Desk, folder: Path, key: str | None, binary: Path | None, say: Say) -> _Taken:
    say(f"copying {desk.jetstream} …")
    scratch = folder / "scratch"
    try:
        scratch.mkdir(mode=0o700)
        await asyncio.to_thread(shutil.copytree, desk.jetstream, folder / "store" / "jetstream")
    except (OSError, shutil.Error) as error:
        raise StorageFailed(f"the store cannot be copied: {error}", hint="It needs three times its room.") from error
    account = read_vault(desk.vault).account_keys[Account.SIGNALS]
    snapshots: dict[str, tuple[Snapshot, Path]] = {}
    counts: dict[str, Counts] = {}
    async with private_server(folder / "store", scratch, account, store_key=key, binary=binary) as link:
        for name in STREAMS:
            info = await read_stream(link, name)
            if info is not None:
                path = folder / f"{name}.snapshot"
                counts[name] = counts_of(info)
                snapshots[name] = (await take_snapshot(link, name, path, lambda _: None), path)
        if STREAM not in snapshots:
            raise Conflict(f"{desk.jetstream} holds no stream {STREAM}", hint="Nothing was changed.")
        return _Taken(snapshots, counts, await _places(link))


async def _places(link: Link) -> Places:
    found = await read_durables(link)
    return {
        name: (int(each["ack_floor"]["stream_seq"]), int(each["ack_floor"]["consumer_seq"]))
        for name, each in found.items()
    }


@asynccontextmanager
async def _private_nodes(
    desk: Desk, nodes: tuple[Node, ...], key: str | None, settings: UpSettings
) -> AsyncIterator[Link]:
    """Run the nodes under an operator that is thrown away; the system account's name is the real one.

    The nodes keep what they agreed on below that name: under another they would not know their own streams.
    """
    keys = read_vault(desk.vault).account_keys
    operator_jwt, accounts, creds = throw_away_identity(keys[Account.SIGNALS], keys[Account.SYS])
    private = tuple(replace(node, host="127.0.0.1", wss_port=0, monitor_port=0) for node in nodes)
    common = Common(
        operator_jwt, keys[Account.SYS], accounts, settings.max_store_bytes, None, is_encrypted=key is not None
    )
    secrets = {STORE_KEY_VARIABLE: quoted(key)} if key else {}
    password, templates, binary = route_password(desk), read_templates(), find_binary(settings.nats_server)
    async with AsyncExitStack() as stack:
        for node in private:
            text = node_text(templates, node, private, common, password, None)
            process = NodeProcess(node, binary, text, False, lambda _: None, secrets)
            stack.push_async_callback(process.stop)
            await process.start()
        urls = [f"nats://127.0.0.1:{node.port}" for node in private]
        yield await stack.enter_async_context(opened(urls, creds, label="catalyst-carrying"))


async def _put(link: Link, taken: _Taken, say: Say) -> dict[str, Counts]:
    await _elected(link)
    found: dict[str, Counts] = {}
    for name, (snapshot, path) in taken.snapshots.items():
        say(f"{name}: {taken.counts[name].messages} messages …")
        await put_back(link, name, {**snapshot.config, "num_replicas": _COPIES}, snapshot.state, path)
        found[name], _ = await settled(link, name, _COPIES, say, _COPY_TIMEOUT_S)
    if not all(_is_same(found[name], before) for name, before in taken.counts.items()):
        raise Conflict("the nodes do not hold what the server held", hint="Nothing was changed; use the single server.")
    places = await _places(link)
    if places != taken.places:
        wrong = sorted(name for name in {*places, *taken.places} if places.get(name) != taken.places.get(name))
        raise Conflict(f"the place of {', '.join(wrong[:5])} is another one", hint="Nothing was changed.")
    return found


def _is_same(one: Counts, other: Counts) -> bool:
    # Where an empty stream begins is said in two ways.
    is_empty = one.messages == other.messages == 0 and one.last == other.last
    return one == other or is_empty


async def _elected(link: Link) -> None:
    try:
        async with asyncio.timeout(_ELECTION_TIMEOUT_S):
            while True:
                try:
                    await link.api(f"{API_PREFIX}.INFO", timeout_s=2)
                except (RequestTimedOut, BrokerRefused):
                    await asyncio.sleep(_POLL_S)
                else:
                    return
    except TimeoutError as error:
        raise ServerStartFailed(
            "the nodes did not elect a leader", hint="Nothing was changed. Try it again."
        ) from error
