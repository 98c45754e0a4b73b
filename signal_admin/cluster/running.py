"""Three nodes on one machine as a value: for development, and for whoever wants to see a node die without a gap.

It survives the death of a node, not of the machine. Three machines run the same nodes from the files that
`catalyst cluster config` writes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson

from signal_admin.actions import retire_due_keys
from signal_admin.certificate import keep_certificate
from signal_admin.cluster.node_process import NodeProcess
from signal_admin.cluster.nodes import ROUTE_PORT, TEMPLATE_NAME, Common, Node, Templates, node_text, size_checked
from signal_admin.cluster.provisioning import Duty, Reach, provisioned, watched
from signal_admin.desk import Desk, make_desk
from signal_admin.prepare import Ready, held, make_ready
from signal_admin.server.binary import find_binary, version_checked
from signal_admin.server.config import STORE_KEY_VARIABLE, TlsFiles, quoted
from signal_admin.server.config import TEMPLATE_NAME as SERVER_TEMPLATE
from signal_admin.server.supervisor import local_host
from signal_admin.settings import DEFAULT_PORT, RANDOM_PORT, UpSettings, host_port, is_local
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import ConfigInvalid, Conflict, InputError, ServerStartFailed
from signal_contract.resources import resource_path
from signal_contract.topology import Account

_LOOK_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ClusterUp:
    """Running, provisioned nodes. `urls` reach them from this machine; `watching` ends when one cannot be kept up."""

    desk: Desk
    processes: tuple[NodeProcess, ...]
    urls: tuple[str, ...]
    public: tuple[str, ...]
    version: str
    watching: asyncio.Task[None]


def cluster_folder(desk: Desk) -> Path:
    """Where the nodes of this machine live; apart from the single server's store, which no node may ever open."""
    return desk.root / "cluster"


def nodes_here(desk: Desk, settings: UpSettings, size: int) -> tuple[Node, ...]:
    """Nodes n1, n2, … on this machine: client ports from the usual one upwards, routes on loopback from 6222."""
    size_checked(size)
    if settings.port == RANDOM_PORT:
        raise InputError("a cluster needs fixed ports", hint="Name the first one with --port.")
    # Apart from the usual port, so that two clusters on one machine do not meet.
    routes = ROUTE_PORT + settings.port - DEFAULT_PORT
    routes = routes if 1024 < routes <= 65535 - size else settings.port + size
    return tuple(
        Node(
            name=f"n{number + 1}",
            host=settings.listen_host,
            reach="127.0.0.1",
            port=settings.port + number,
            route_port=routes + number,
            folder=cluster_folder(desk) / f"n{number + 1}",
            monitor_port=settings.monitor_port + number if settings.monitor_port else 0,
            wss_port=settings.wss_port + number if settings.wss_port else 0,
        )
        for number in range(size)
    )


def public_addresses(settings: UpSettings, nodes: tuple[Node, ...], before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The addresses that friends are told: as the operator said, else each node under each public name.

    `before` is what was worked out at the last start: it was not said by the operator, and ports may have changed.
    """
    if settings.public and settings.public != before:
        return settings.public
    hosts = [name for name in settings.tls_hosts if not is_local(name)] or list(settings.tls_hosts) or ["127.0.0.1"]
    scheme = "tls" if settings.has_tls else "nats"
    found = [f"{scheme}://{host_port(host, node.port)}" for host in hosts for node in nodes]
    found += [f"wss://{host_port(host, node.wss_port)}" for host in hosts for node in nodes if node.wss_port]
    return tuple(found)


def _not_of_a_single_server(desk: Desk) -> None:
    if desk.stream_json.exists() and not marker(desk).exists():
        raise Conflict(
            f"{desk.jetstream} holds the log of a single server; the nodes would begin an empty one",
            hint="docs/cluster.md says how it is carried over. Never copy that folder to a node: it would be deleted.",
        )


def marker(desk: Desk) -> Path:
    """The file that says: this directory is a cluster's."""
    return cluster_folder(desk) / "cluster.json"


def mark(desk: Desk, size: int, public: tuple[str, ...]) -> None:
    """Make the directory a cluster's of so many nodes; `public` are the addresses that were worked out."""
    write_secret(marker(desk), orjson.dumps({"nodes": size, "public": list(public)}).decode() + "\n")


@dataclass(frozen=True, slots=True)
class _Before:
    """What the last start was: how many nodes (None: there was none), and the addresses that were worked out then."""

    nodes: int | None = None
    public: tuple[str, ...] = ()


def _before(desk: Desk) -> _Before:
    path = marker(desk)
    if not path.exists():
        return _Before()
    try:
        found = orjson.loads(path.read_bytes())
        return _Before(int(found["nodes"]), tuple(str(each) for each in found["public"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}", hint="Restore it from a backup.") from error


def _same_size(before: _Before, size: int) -> None:
    # With fewer, what only the others hold would be missing.
    if before.nodes not in (None, size):
        raise Conflict(f"this cluster has {before.nodes} nodes, not {size}", hint=f"Use --nodes {before.nodes}.")


def route_password(desk: Desk) -> str:
    """What the nodes know each other by; made at the first start. Raises CredsInvalid when others can read it."""
    path = cluster_folder(desk) / "routes.secret"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, secrets.token_hex(24) + "\n")
    return read_secret(path, what="password of the routes").strip()


def common_of(ready: Ready) -> Common:
    """What all nodes have in common."""
    issued, certificate = ready.issued, ready.certificate
    return Common(
        operator_jwt=issued.operator_jwt,
        system_account=issued.keys[Account.SYS],
        accounts={issued.keys[account]: jwt for account, jwt in issued.accounts.items()},
        max_store_bytes=ready.settings.max_store_bytes,
        tls=TlsFiles(certificate.cert, certificate.key) if certificate else None,
        is_encrypted=ready.store_key is not None,
    )


def read_templates() -> Templates:
    """The templates of this installation."""
    server, block = (resource_path(name).read_text(encoding="utf-8") for name in (SERVER_TEMPLATE, TEMPLATE_NAME))
    return Templates(server, block)


@asynccontextmanager
async def cluster_brought_up(data: Path | None, settings: UpSettings, size: int, say: Say) -> AsyncIterator[ClusterUp]:
    """Run a provisioned cluster for the length of the block; `say` gets lines for people.

    Raises as `brought_up`, and Conflict on a directory that holds a single server's log. All nodes are stopped at the
    end in any case.
    """
    desk = make_desk(data)
    with held(desk):
        _not_of_a_single_server(desk)
        before, nodes = _before(desk), nodes_here(desk, settings, size)
        _same_size(before, size)
        public = public_addresses(settings, nodes, before.public)
        ready = make_ready(desk, replace(settings, public=public), datetime.now(UTC))
        binary = find_binary(settings.nats_server)
        version = version_checked(binary)
        processes = _processes(desk, ready, nodes, binary, say)
        mark(desk, size, public)
        reach = Reach(desk, ready, tuple(_url(node, has_tls=ready.certificate is not None) for node in nodes))
        async with _run(desk, processes):
            await provisioned(reach, say)
            tell = partial(_tell, reach, processes)
            tell()
            for each in processes:
                each.on_change = tell
            await retire_due_keys(desk, say)
            async with watched(reach, _duties(reach, processes, say), (), say) as watching:
                yield ClusterUp(desk, processes, reach.urls, ready.settings.public, version, watching)


def _processes(desk: Desk, ready: Ready, nodes: tuple[Node, ...], binary: Path, say: Say) -> tuple[NodeProcess, ...]:
    password, common, templates = route_password(desk), common_of(ready), read_templates()
    key = {STORE_KEY_VARIABLE: quoted(ready.store_key)} if ready.store_key else {}
    has_tls = common.tls is not None
    texts = [node_text(templates, node, nodes, common, password, None) for node in nodes]
    return tuple(NodeProcess(node, binary, text, has_tls, say, key) for node, text in zip(nodes, texts, strict=True))


def _url(node: Node, *, has_tls: bool) -> str:
    return f"{'tls' if has_tls else 'nats'}://{host_port(local_host(node.host), node.port)}"


@asynccontextmanager
async def _run(desk: Desk, processes: tuple[NodeProcess, ...]) -> AsyncIterator[None]:
    desk.server_json.unlink(missing_ok=True)
    try:
        for each in processes:
            await each.start()
        yield
    finally:
        desk.server_json.unlink(missing_ok=True)
        await asyncio.gather(*(each.stop() for each in processes))


def _tell(reach: Reach, processes: tuple[NodeProcess, ...]) -> None:
    for process, url in zip(processes, reach.urls, strict=True):
        if process.pid is not None:
            reach.tell(url, process.pid)
            return


def _duties(reach: Reach, processes: tuple[NodeProcess, ...], say: Say) -> dict[str, Duty]:
    duties: dict[str, Duty] = {each.node.name: each.watch for each in processes}
    duties["majority"] = partial(_majority_kept, processes)
    ready = reach.ready
    if ready.certificate is not None:

        def reload() -> None:
            for each in processes:
                each.reload()

        duties["certificate"] = partial(keep_certificate, reach.desk, ready.settings, ready.certificate, reload, say)
    return duties


async def _majority_kept(processes: tuple[NodeProcess, ...]) -> None:
    """Runs until cancelled; raises ServerStartFailed when so many nodes were given up that the rest cannot agree."""
    while True:
        lost = [each.node.name for each in processes if each.is_given_up]
        if len(lost) > (len(processes) - 1) // 2:
            raise ServerStartFailed(
                f"{', '.join(lost)} keep dying; the other nodes are no majority",
                hint="Each node's log is in its folder below <data>/cluster.",
            )
        await asyncio.sleep(_LOOK_S)
