"""`catalyst up` as a value: opens the data directory, runs the server, provisions it, and undoes all of it in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from signal_admin.actions import retire_due_keys, run_housekeeping
from signal_admin.apply import forget_creation, provision, remember_stream
from signal_admin.audit import flush_pending
from signal_admin.audit_tail import run_audit_tail
from signal_admin.certificate import keep_certificate
from signal_admin.cluster.consumers import brought_in_step, in_words
from signal_admin.control import repeat_due
from signal_admin.desk import Desk, ServerRecord, make_desk
from signal_admin.dial import dialled
from signal_admin.flags.bucket import publish_due
from signal_admin.issuing import write_publisher_settings
from signal_admin.plan import CreateDurable, CreateStream, Plan, UpdateDurable, UpdateStream
from signal_admin.prepare import Ready, held, make_ready
from signal_admin.registry import registry_locked
from signal_admin.server.binary import find_binary, version_checked
from signal_admin.server.config import STORE_KEY_VARIABLE, ServerConfig, TlsFiles, quoted
from signal_admin.server.orphan import orphan_of, stop_orphan
from signal_admin.server.supervisor import Running, Supervisor
from signal_admin.settings import UpSettings
from signal_admin.standing import read_standing
from signal_admin.tls import Certificate
from signal_contract.errors import CatalystError
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.topology import STREAM, Account, feedback_stream_config, flags_stream_config, stream_config

# A duty that does not end must not keep the server from being stopped in order.
_STOP_TIMEOUT_S = 5.0

Say = Callable[[str], None]
Duty = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Up:
    """A running and provisioned server. `watching` ends with an error when the server can no longer be kept up."""

    desk: Desk
    supervisor: Supervisor
    running: Running
    version: str
    watching: asyncio.Task[None]


def _server_config(desk: Desk, ready: Ready) -> ServerConfig:
    settings, issued, certificate = ready.settings, ready.issued, ready.certificate
    return ServerConfig(
        host=settings.listen_host,
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
        tls=TlsFiles(certificate.cert, certificate.key) if certificate else None,
        wss_port=settings.wss_port,
        is_encrypted=ready.store_key is not None,
    )


def _clear_the_way(desk: Desk, say: Say) -> None:
    pid = orphan_of(desk.nats_pid, desk.server_conf)
    if pid is not None:
        say(f"a nats-server of an earlier `catalyst up` is still running (pid {pid}); stopping it")
        stop_orphan(pid, desk.nats_pid, desk.server_conf)
    desk.server_json.unlink(missing_ok=True)


def _record_of(running: Running, certificate: Certificate | None) -> ServerRecord:
    host = urlsplit(running.url).hostname or ""
    return ServerRecord(
        url=running.url,
        pid=os.getpid(),
        nats_pid=running.nats_pid,
        started_at=datetime.now(UTC).isoformat(),
        monitor_url=running.monitor_url,
        wss_url=running.wss_url,
        ca_file=str(certificate.ca) if certificate and certificate.ca else None,
        tls_name=certificate.name_for(host) if certificate else None,
    )


def _write_record(desk: Desk, record: ServerRecord) -> None:
    write_publisher_settings(desk, record)
    desk.write_server_record(record)


def _called(config: Mapping[str, Any]) -> str:
    return "stream" if config["name"] == STREAM else f"stream {config['name']}"


def _in_words(action: CreateStream | UpdateStream | CreateDurable | UpdateDurable) -> str:
    match action:
        case CreateStream(config=config):
            return f"{_called(config)} made"
        case UpdateStream(config=config, changes=changes):
            return f"{_called(config)} changed: {', '.join(changes)}"
        case CreateDurable(user=user):
            return f"durable of {user.name} made, from sequence {user.start_sequence}"
        case UpdateDurable(user=user, changes=changes):
            return f"durable of {user.name} changed: {', '.join(changes)}"


def _report(todo: Plan, say: Say) -> None:
    for action in todo.actions:
        say(_in_words(action))
    for name in todo.postponed:
        say(f"the durable of {name} waits: trading is held, and that cannot be repeated to him before")
        say("  the publisher's new key is in force: catalyst vault rotate-publisher-key, then catalyst user sync")
    for name in todo.strangers:
        say(f"durable {name} belongs to no registered user; it is left alone")


def _streams(settings: UpSettings) -> tuple[Mapping[str, Any], ...]:
    return (
        stream_config(max_bytes=settings.stream_bytes),
        feedback_stream_config(max_bytes=settings.feedback_bytes),
        flags_stream_config(),
    )


async def _provisioned(desk: Desk, settings: UpSettings, record: ServerRecord, say: Say) -> None:
    with registry_locked(desk):
        async with dialled(record, desk, RoleName.ADMIN, "catalyst-up") as link:
            # Before: a lost consumer in memory is made again from the agent's position, not from where he began.
            for line in in_words(await brought_in_step(link, desk)):
                say(line)
            todo = await provision(link, desk, _streams(settings))
            await _flush_audit(link, desk, say)
            await _repeat_control(link, desk, say)
            await _publish_flags(link, desk, say)
        _report(todo, say)
        _write_record(desk, record)


async def _repeat_control(link: Link, desk: Desk, say: Say) -> None:
    # Told, but no reason not to start: without the server nothing could be repaired and nobody be reached.
    try:
        for said in await repeat_due(link, desk):
            say(f"{said.control.verb.value} for {said.control.user or 'everybody'} was sent again: it still stands")
        standing = read_standing(desk)
        for user, word in standing.in_force_for(tuple(standing.users)):
            say(f"{word.verb.value} stands for {user or 'everybody'} since {word.issued_at:%Y-%m-%d %H:%M} UTC")
    except CatalystError as error:
        say(f"what stands could not be sent again: {error.message} [{error.code}]; {error.hint}")


async def _flush_audit(link: Link, desk: Desk, say: Say) -> None:
    # A full audit log is told, but signals go on: refusing to start would help nobody.
    try:
        sent = await flush_pending(link, desk)
    except CatalystError as error:
        say(f"audit entries of the time when the server was down still wait: {error.message}")
        return
    if sent:
        say(f"{sent} audit entries of the time when the server was down were stored")


async def _publish_flags(link: Link, desk: Desk, say: Say) -> None:
    # No reason not to start: agents go on with the flags that they have.
    try:
        if await publish_due(link, desk):
            say("the flags were sent again")
    except CatalystError as error:
        say(f"the flags could not be sent: {error.message} [{error.code}]; {error.hint}")


async def _note_stream_end(desk: Desk, record: ServerRecord) -> None:
    # A stop must not fail because a last look did.
    with contextlib.suppress(CatalystError):
        async with dialled(record, desk, RoleName.ADMIN, "catalyst-down", connect_timeout_s=1.0) as link:
            await remember_stream(link, desk)


@asynccontextmanager
async def brought_up(data: Path | None, settings: UpSettings, say: Say) -> AsyncIterator[Up]:
    """Run a provisioned server for the length of the block; `say` gets lines for people.

    Makes the data directory at first start and keeps the settings in it. Raises AlreadyRunning, CredsInvalid (vault),
    ConfigInvalid, Conflict, or a kind of ServerStartFailed. At the end the server is stopped cleanly in any case.
    """
    desk = make_desk(data)
    with held(desk):
        ready = make_ready(desk, settings, datetime.now(UTC))
        binary = find_binary(settings.nats_server)
        version = version_checked(binary)
        _clear_the_way(desk, say)

        def on_running(running: Running) -> None:
            if desk.server_json.exists():
                _write_record(desk, _record_of(running, ready.certificate))

        supervisor = Supervisor(
            binary,
            _server_config(desk, ready),
            conf_path=desk.server_conf,
            stderr_file=desk.server_stderr,
            say=say,
            on_running=on_running,
            secrets={STORE_KEY_VARIABLE: quoted(ready.store_key)} if ready.store_key else None,
        )
        async with _supervised(desk, supervisor):
            if ready.is_to_encrypt:
                say("encrypting the streams on disk …")
                await _encrypt(desk, supervisor)
            running = await supervisor.start()
            await _provisioned(desk, ready.settings, _record_of(running, ready.certificate), say)
            await retire_due_keys(desk, say)
            async with _watched(desk, ready, supervisor, say) as watching:
                yield Up(desk, supervisor, running, version, watching)


async def _encrypt(desk: Desk, supervisor: Supervisor) -> None:
    # nats-server encrypts what it finds when it starts; the second start then shows what it made of it.
    forget_creation(desk)
    await supervisor.start()
    await supervisor.stop()


@asynccontextmanager
async def _watched(desk: Desk, ready: Ready, supervisor: Supervisor, say: Say) -> AsyncIterator[asyncio.Task[None]]:
    duties: dict[str, Duty] = {
        "nats-server": supervisor.watch,
        "housekeeping": partial(run_housekeeping, desk, say),
        "audit-tail": partial(run_audit_tail, desk),
    }
    if ready.certificate is not None:
        duties["certificate"] = partial(
            keep_certificate, desk, ready.settings, ready.certificate, supervisor.reload, say
        )
    watching = asyncio.create_task(_all_of(duties), name="catalyst-up")
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.wait({watching}, timeout=_STOP_TIMEOUT_S)
        if supervisor.running is not None:
            await _note_stream_end(desk, _record_of(supervisor.running, ready.certificate))


async def _all_of(duties: Mapping[str, Duty]) -> None:
    """Run them all; the first one that fails ends the others, and its error is what is raised."""
    # They are started here and not by the caller: a stop before the first step would leave coroutines unawaited.
    try:
        async with asyncio.TaskGroup() as group:
            for name, duty in duties.items():
                group.create_task(duty(), name=name)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed


@asynccontextmanager
async def _supervised(desk: Desk, supervisor: Supervisor) -> AsyncIterator[None]:
    try:
        yield
    finally:
        desk.server_json.unlink(missing_ok=True)
        await supervisor.stop()
