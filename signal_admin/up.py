"""`catalyst up` as a value: opens the data directory, runs the server, provisions it, and undoes all of it in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock

from signal_admin.apply import provision, remember_stream
from signal_admin.desk import Desk, ServerRecord, make_desk
from signal_admin.issuing import IssuedAccounts, issue_accounts, issue_own_creds, own_creds, write_publisher_settings
from signal_admin.plan import CreateDurable, CreateStream, Plan, UpdateDurable, UpdateStream
from signal_admin.registry import registry_locked
from signal_admin.server.binary import find_binary, version_checked
from signal_admin.server.config import ServerConfig
from signal_admin.server.orphan import orphan_of, stop_orphan
from signal_admin.server.supervisor import Running, Supervisor
from signal_admin.vault import make_vault, read_vault
from signal_contract.errors import AlreadyRunning, CatalystError
from signal_contract.link import opened
from signal_contract.permissions import RoleName
from signal_contract.topology import Account, stream_config

DEFAULT_PORT = 4222
DEFAULT_STORE_BYTES = 4 << 30
_STREAM_BYTES = 1 << 30

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What `catalyst up` can be told. Port -1 takes a random one; `monitor_port` 0 is off; bytes for the store."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    monitor_port: int = 0
    nats_server: Path | None = None
    max_store_bytes: int = DEFAULT_STORE_BYTES

    @property
    def stream_bytes(self) -> int:
        # The other half of a small store is room for durables and what comes later.
        return min(_STREAM_BYTES, self.max_store_bytes // 2)


@dataclass(frozen=True, slots=True)
class Up:
    """A running and provisioned server. `watching` ends with an error when the server can no longer be kept up."""

    desk: Desk
    supervisor: Supervisor
    running: Running
    version: str
    watching: asyncio.Task[None]


@contextmanager
def _held(desk: Desk) -> Iterator[None]:
    lock = filelock.FileLock(desk.lock)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        record = desk.server_record()
        who = f"pid {record.pid}, at {record.url}" if record else "it is still starting or stopping"
        raise AlreadyRunning(f"`catalyst up` is running already on {desk.root} ({who})") from error
    try:
        yield
    finally:
        lock.release()


def _server_config(desk: Desk, settings: UpSettings, issued: IssuedAccounts) -> ServerConfig:
    return ServerConfig(
        host=settings.host,
        port=settings.port,
        monitor_port=settings.monitor_port,
        server_name="catalyst",
        max_store_bytes=settings.max_store_bytes,
        store_dir=desk.root,  # nats-server makes its own `jetstream` folder below it
        resolver_dir=desk.resolver,
        ports_dir=desk.ports,
        pid_file=desk.nats_pid,
        log_file=desk.server_log,
        operator_jwt=issued.operator_jwt,
        system_account=issued.keys[Account.SYS],
        accounts={issued.keys[account]: jwt for account, jwt in issued.accounts.items()},
    )


def _clear_the_way(desk: Desk, say: Say) -> None:
    pid = orphan_of(desk.nats_pid, desk.server_conf)
    if pid is not None:
        say(f"a nats-server of an earlier `catalyst up` is still running (pid {pid}); stopping it")
        stop_orphan(pid, desk.nats_pid, desk.server_conf)
    desk.server_json.unlink(missing_ok=True)


def _record(desk: Desk, running: Running) -> None:
    write_publisher_settings(desk, running.url)
    desk.write_server_record(
        ServerRecord(
            url=running.url,
            pid=os.getpid(),
            nats_pid=running.nats_pid,
            started_at=datetime.now(UTC).isoformat(),
            monitor_url=running.monitor_url,
        )
    )


def _in_words(action: CreateStream | UpdateStream | CreateDurable | UpdateDurable) -> str:
    match action:
        case CreateStream():
            return "stream made"
        case UpdateStream(changes=changes):
            return f"stream changed: {', '.join(changes)}"
        case CreateDurable(user=user):
            return f"durable of {user.name} made, from sequence {user.start_sequence}"
        case UpdateDurable(user=user, changes=changes):
            return f"durable of {user.name} changed: {', '.join(changes)}"


def _report(todo: Plan, say: Say) -> None:
    for action in todo.actions:
        say(_in_words(action))
    for name in todo.strangers:
        say(f"durable {name} belongs to no registered user; it is left alone")


async def _provisioned(desk: Desk, settings: UpSettings, running: Running, say: Say) -> None:
    with registry_locked(desk):
        async with opened([running.url], own_creds(desk, RoleName.ADMIN), label="catalyst-up") as link:
            todo = await provision(link, desk, stream_config(max_bytes=settings.stream_bytes))
        _report(todo, say)
        _record(desk, running)


async def _note_stream_end(desk: Desk, running: Running) -> None:
    creds = own_creds(desk, RoleName.ADMIN)
    # A stop must not fail because a last look did.
    with contextlib.suppress(CatalystError):
        async with opened([running.url], creds, label="catalyst-down", connect_timeout_s=1.0) as link:
            await remember_stream(link, desk)


@asynccontextmanager
async def brought_up(data: Path | None, settings: UpSettings, say: Say) -> AsyncIterator[Up]:
    """Run a provisioned server for the length of the block; `say` gets lines for people.

    Makes the data directory at first start. Raises AlreadyRunning, CredsInvalid (vault), ConfigInvalid, Conflict, or
    a kind of ServerStartFailed. At the end the server is stopped cleanly, whatever happened.
    """
    desk = make_desk(data)
    with _held(desk):
        make_vault(desk.vault)
        vault, now = read_vault(desk.vault), datetime.now(UTC)
        issued = issue_accounts(desk, vault, now)
        issue_own_creds(desk, vault, now)
        binary = find_binary(settings.nats_server)
        version = version_checked(binary)
        _clear_the_way(desk, say)
        supervisor = Supervisor(
            binary,
            _server_config(desk, settings, issued),
            conf_path=desk.server_conf,
            stderr_file=desk.server_stderr,
            say=say,
            on_running=lambda running: _record(desk, running) if desk.server_json.exists() else None,
        )
        async with _supervised(desk, supervisor):
            running = await supervisor.start()
            await _provisioned(desk, settings, running, say)
            watching = asyncio.create_task(supervisor.watch(), name="nats-server")
            try:
                yield Up(desk, supervisor, running, version, watching)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                await _note_stream_end(desk, supervisor.running or running)


@asynccontextmanager
async def _supervised(desk: Desk, supervisor: Supervisor) -> AsyncIterator[None]:
    try:
        yield
    finally:
        desk.server_json.unlink(missing_ok=True)
        await supervisor.stop()
