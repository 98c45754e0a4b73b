"""Three nodes on one machine as a value: for development, and for whoever wants to see a node die without a gap.

It survives the death of a node, not of the machine. Three machines run the same nodes from the files that
`catalyst cluster config` writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from signal_admin.actions import retire_due_keys, run_housekeeping
from signal_admin.apply import provision, read_stream, remember_stream
from signal_admin.audit import flush_pending
from signal_admin.audit_tail import run_audit_tail
from signal_admin.certificate import keep_certificate
from signal_admin.cluster.consumers import brought_in_step, in_words
from signal_admin.cluster.node_process import NodeProcess
from signal_admin.cluster.nodes import ROUTE_PORT, TEMPLATE_NAME, Common, Node, Templates, node_text, size_checked
from signal_admin.cluster.replicas import STREAMS
from signal_admin.control import repeat_due
from signal_admin.desk import Desk, ServerRecord, make_desk
from signal_admin.dial import tls_options
from signal_admin.issuing import own_creds, write_publisher_settings
from signal_admin.prepare import Ready, held, make_ready
from signal_admin.registry import registry_held
from signal_admin.server.binary import find_binary, version_checked
from signal_admin.server.config import STORE_KEY_VARIABLE, TlsFiles, quoted
from signal_admin.server.config import TEMPLATE_NAME as SERVER_TEMPLATE
from signal_admin.server.supervisor import local_host
from signal_admin.settings import DEFAULT_PORT, RANDOM_PORT, UpSettings, host_port, is_local
from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import (
    BrokerRefused,
    CatalystError,
    Conflict,
    InputError,
    LinkError,
    RequestTimedOut,
    ServerStartFailed,
    ServerUnreachable,
    StreamMissing,
)
from signal_contract.link import Link, opened
from signal_contract.permissions import RoleName
from signal_contract.resources import resource_path
from signal_contract.topology import API_PREFIX, FEEDBACK_STREAM, STREAM, Account, feedback_stream_config, stream_config

# The nodes have to find each other and elect a leader before anything can be stored.
ELECTION_TIMEOUT_S = 60.0
_POLL_S, _LOOK_TIMEOUT_S = 0.25, 2.0
_STOP_TIMEOUT_S = 5.0

Say = Callable[[str], None]
Duty = Callable[[], Coroutine[Any, Any, None]]


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


def public_addresses(settings: UpSettings, nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """The addresses that friends are told: as the operator said, else each node under each public name."""
    if settings.public:
        return settings.public
    hosts = [name for name in settings.tls_hosts if not is_local(name)] or list(settings.tls_hosts) or ["127.0.0.1"]
    scheme = "tls" if settings.has_tls else "nats"
    found = [f"{scheme}://{host_port(host, node.port)}" for host in hosts for node in nodes]
    found += [f"wss://{host_port(host, node.wss_port)}" for host in hosts for node in nodes if node.wss_port]
    return tuple(found)


def _not_of_a_single_server(desk: Desk) -> None:
    if desk.stream_json.exists() and not (cluster_folder(desk) / "cluster.json").exists():
        raise Conflict(
            f"{desk.jetstream} holds the log of a single server; the nodes would begin an empty one",
            hint="docs/cluster.md says how it is carried over. Never copy that folder to a node: it would be deleted.",
        )


def _remembered(desk: Desk, size: int, ports: tuple[int, ...]) -> None:
    """Keep how many nodes there are: with fewer, what only the others hold would be missing. Raises Conflict."""
    path = cluster_folder(desk) / "cluster.json"
    if path.exists():
        before = int(orjson.loads(path.read_bytes())["nodes"])
        if before != size:
            raise Conflict(f"this cluster has {before} nodes, not {size}", hint=f"Use --nodes {before}.")
    write_secret(path, orjson.dumps({"nodes": size, "ports": list(ports)}).decode() + "\n")


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
        nodes = nodes_here(desk, settings, size)
        settings = replace(settings, public=public_addresses(settings, nodes))
        ready = make_ready(desk, settings, datetime.now(UTC))
        binary = find_binary(settings.nats_server)
        version = version_checked(binary)
        password, common, templates = route_password(desk), common_of(ready), read_templates()
        _remembered(desk, size, tuple(node.port for node in nodes))
        key = {STORE_KEY_VARIABLE: quoted(ready.store_key)} if ready.store_key else {}
        processes = tuple(
            NodeProcess(
                node,
                binary,
                node_text(templates, node, nodes, common, password, None),
                common.tls is not None,
                say,
                key,
            )
            for node in nodes
        )
        urls = tuple(_url(node, has_tls=common.tls is not None) for node in nodes)
        async with _run(desk, processes):
            record = partial(_record, desk, ready, processes, urls)
            await _provisioned(desk, ready, processes, urls, say)
            record()
            for each in processes:
                each.on_change = record
            await retire_due_keys(desk, say)
            async with _watched(desk, ready, processes, urls, say) as watching:
                yield ClusterUp(desk, processes, urls, ready.settings.public, version, watching)


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


def _record(desk: Desk, ready: Ready, processes: tuple[NodeProcess, ...], urls: tuple[str, ...]) -> None:
    """Tell other commands where a living node is, and the publisher where all are."""
    alive = [(each, url) for each, url in zip(processes, urls, strict=True) if each.is_up]
    if not alive:
        return
    process, url = alive[0]
    record = _server_record(ready, process, url)
    write_publisher_settings(desk, record)
    path = desk.publisher / "settings.json"
    told = orjson.loads(path.read_bytes()) | {"servers": list(urls)}
    write_secret(path, orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    desk.write_server_record(record)


def _server_record(ready: Ready, process: NodeProcess, url: str) -> ServerRecord:
    certificate, host = ready.certificate, urlsplit(url).hostname or ""
    return ServerRecord(
        url=url,
        pid=os.getpid(),
        nats_pid=process.pid or 0,
        started_at=datetime.now(UTC).isoformat(),
        ca_file=str(certificate.ca) if certificate and certificate.ca else None,
        tls_name=certificate.name_for(host) if certificate else None,
    )


@asynccontextmanager
async def _admin(
    desk: Desk, ready: Ready, processes: tuple[NodeProcess, ...], urls: tuple[str, ...]
) -> AsyncIterator[Link]:
    options = tls_options(_server_record(ready, processes[0], urls[0]))
    creds = own_creds(desk, RoleName.ADMIN)
    async with opened(list(urls), creds, label="catalyst-cluster", **options) as link:
        yield link


async def _provisioned(
    desk: Desk, ready: Ready, processes: tuple[NodeProcess, ...], urls: tuple[str, ...], say: Say
) -> None:
    say(f"waiting for the {len(processes)} nodes to elect a leader …")
    async with registry_held(desk), _admin(desk, ready, processes, urls) as link:
        await _elected(link)
        for line in in_words(await brought_in_step(link, desk)):
            say(line)
        todo = await provision(link, desk, await _streams(link, ready.settings, len(processes)))
        if todo.actions:
            say(f"{len(todo.actions)} changes: streams and durables are as they should be")
        try:
            await flush_pending(link, desk)
            await repeat_due(link, desk)
        except CatalystError as error:  # told, but no reason not to run
            say(f"what waited could not be sent: {error.message} [{error.code}]; {error.hint}")


async def _elected(link: Link) -> None:
    """Wait until JetStream, each stream and each durable has a leader; raises ServerStartFailed."""
    last: LinkError = ServerUnreachable("no answer")
    try:
        async with asyncio.timeout(ELECTION_TIMEOUT_S):
            while True:
                try:
                    if await _is_led(link):
                        return
                except (RequestTimedOut, BrokerRefused) as error:
                    last = error
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise ServerStartFailed(
            f"the nodes did not elect a leader within {ELECTION_TIMEOUT_S:g} s: {last.message}",
            hint="Their logs are in <data>/cluster/n1/server.log and beside it.",
        ) from error


async def _is_led(link: Link) -> bool:
    await link.api(f"{API_PREFIX}.INFO", timeout_s=_LOOK_TIMEOUT_S)
    for name in STREAMS:
        try:
            # A stream without a leader does not answer at all.
            info = await link.api(f"{API_PREFIX}.STREAM.INFO.{name}", timeout_s=_LOOK_TIMEOUT_S)
        except StreamMissing:
            continue
        if not (info.get("cluster") or {}).get("leader"):
            return False
        if name == STREAM:
            # A durable without one would be taken for lost.
            page = await link.api(f"{API_PREFIX}.CONSUMER.LIST.{name}", {"offset": 0}, timeout_s=_LOOK_TIMEOUT_S)
            if page.get("missing") or page.get("offline"):
                return False
    return True


async def _streams(link: Link, settings: UpSettings, size: int) -> tuple[Mapping[str, Any], ...]:
    """The streams as they should be: new ones on three nodes, existing ones with the copies that they have."""
    copies = {}
    for name in (STREAM, FEEDBACK_STREAM):
        info = await read_stream(link, name)
        copies[name] = int(info["config"]["num_replicas"]) if info is not None else min(size, 3)
    return (
        stream_config(max_bytes=settings.stream_bytes, replicas=copies[STREAM]),
        feedback_stream_config(max_bytes=settings.feedback_bytes, replicas=copies[FEEDBACK_STREAM]),
    )


@asynccontextmanager
async def _watched(
    desk: Desk, ready: Ready, processes: tuple[NodeProcess, ...], urls: tuple[str, ...], say: Say
) -> AsyncIterator[asyncio.Task[None]]:
    duties: dict[str, Duty] = {each.node.name: each.watch for each in processes}
    duties |= {"housekeeping": partial(run_housekeeping, desk, say), "audit-tail": partial(run_audit_tail, desk)}
    if ready.certificate is not None:

        def reload() -> None:
            for each in processes:
                each.reload()

        duties["certificate"] = partial(keep_certificate, desk, ready.settings, ready.certificate, reload, say)
    watching = asyncio.create_task(_all_of(duties), name="catalyst-cluster")
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.wait({watching}, timeout=_STOP_TIMEOUT_S)
        # A stop must not fail because a last look did.
        with contextlib.suppress(CatalystError):
            async with _admin(desk, ready, processes, urls) as link:
                await remember_stream(link, desk)


async def _all_of(duties: Mapping[str, Duty]) -> None:
    """Run them all; the first one that fails ends the others, and its error is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, duty in duties.items():
                group.create_task(duty(), name=name)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
