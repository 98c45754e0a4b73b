"""Streams, durables and words on a cluster that runs, here or elsewhere; and telling other commands where it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from signal_admin.actions import run_housekeeping
from signal_admin.apply import provision, read_stream, remember_stream
from signal_admin.audit import flush_pending
from signal_admin.audit_tail import run_audit_tail
from signal_admin.cluster.consumers import brought_in_step, in_words
from signal_admin.cluster.replicas import STREAMS
from signal_admin.companions import Companion, accompanied
from signal_admin.control import repeat_due
from signal_admin.desk import Desk, ServerRecord
from signal_admin.dial import tls_options
from signal_admin.flags.bucket import publish_due
from signal_admin.issuing import own_creds, write_publisher_settings
from signal_admin.prepare import Ready
from signal_admin.registry import registry_held
from signal_admin.settings import UpSettings
from signal_contract.creds import write_secret
from signal_contract.errors import (
    BrokerRefused,
    CatalystError,
    LinkError,
    RequestTimedOut,
    ServerStartFailed,
    ServerUnreachable,
    StreamMissing,
)
from signal_contract.link import Link, opened
from signal_contract.permissions import RoleName
from signal_contract.topology import (
    API_PREFIX,
    FEEDBACK_STREAM,
    FLAGS_STREAM,
    STREAM,
    feedback_stream_config,
    flags_stream_config,
    stream_config,
)

# The nodes have to find each other and elect a leader before anything can be stored.
ELECTION_TIMEOUT_S = 60.0
_POLL_S, _LOOK_TIMEOUT_S, _STOP_TIMEOUT_S = 0.25, 2.0, 5.0
_MOST_COPIES = 3

Say = Callable[[str], None]
Duty = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Reach:
    """A cluster as this machine reaches it: an address for each node, and what its certificate is checked with."""

    desk: Desk
    ready: Ready
    urls: tuple[str, ...]

    def record(self, url: str, nats_pid: int) -> ServerRecord:
        """What other commands are told while the node at `url` lives; `nats_pid` 0: on another machine."""
        certificate, host = self.ready.certificate, urlsplit(url).hostname or ""
        return ServerRecord(
            url=url,
            pid=os.getpid(),
            nats_pid=nats_pid,
            started_at=datetime.now(UTC).isoformat(),
            ca_file=str(certificate.ca) if certificate and certificate.ca else None,
            tls_name=certificate.name_for(host) if certificate else None,
        )

    def tell(self, url: str, nats_pid: int) -> None:
        """Tell other commands where a living node is, and the publisher where all are."""
        record = self.record(url, nats_pid)
        write_publisher_settings(self.desk, record)
        path = self.desk.publisher / "settings.json"
        told = orjson.loads(path.read_bytes()) | {"servers": list(self.urls)}
        write_secret(path, orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
        self.desk.write_server_record(record)

    @asynccontextmanager
    async def admin(self, *, connect_timeout_s: float = 5.0) -> AsyncIterator[Link]:
        """Connect to any node as the admin; raises ServerUnreachable, TlsFailed or Denied."""
        options = tls_options(self.record(self.urls[0], 0))
        creds = own_creds(self.desk, RoleName.ADMIN)
        urls = list(self.urls)
        async with opened(
            urls, creds, label="catalyst-cluster", connect_timeout_s=connect_timeout_s, **options
        ) as link:
            yield link


async def provisioned(reach: Reach, say: Say) -> None:
    """Bring streams and durables to what the registry says, and send what waited. Raises as `provision`."""
    say(f"waiting for the {len(reach.urls)} nodes to elect a leader …")
    desk = reach.desk
    async with registry_held(desk), reach.admin(connect_timeout_s=ELECTION_TIMEOUT_S) as link:
        await _elected(link)
        for line in in_words(await brought_in_step(link, desk)):
            say(line)
        todo = await provision(link, desk, await _streams(link, reach.ready.settings, len(reach.urls)))
        if todo.actions:
            say(f"{len(todo.actions)} changes: streams and durables are as they should be")
        for what, send in (("audit entries", flush_pending), ("what stands", repeat_due), ("flags", publish_due)):
            try:
                await send(link, desk)
            except CatalystError as error:  # told, but no reason not to run
                say(f"{what} could not be sent: {error.message} [{error.code}]; {error.hint}")


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
            hint="Each node's own log says why; two of three have to reach each other.",
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


async def _streams(link: Link, settings: UpSettings, nodes: int) -> tuple[Mapping[str, Any], ...]:
    """The streams as they should be: new ones on three nodes, existing ones with the copies that they have."""
    copies = {}
    for name in (STREAM, FEEDBACK_STREAM, FLAGS_STREAM):
        info = await read_stream(link, name)
        copies[name] = int(info["config"]["num_replicas"]) if info is not None else min(nodes, _MOST_COPIES)
    return (
        stream_config(max_bytes=settings.stream_bytes, replicas=copies[STREAM]),
        feedback_stream_config(max_bytes=settings.feedback_bytes, replicas=copies[FEEDBACK_STREAM]),
        flags_stream_config(replicas=copies[FLAGS_STREAM]),
    )


@asynccontextmanager
async def watched(
    reach: Reach, duties: Mapping[str, Duty], companions: Sequence[Companion], say: Say
) -> AsyncIterator[asyncio.Task[None]]:
    """Run duties and companions for the length of the block, and the operator's own work among the latter.

    The task ends with the first duty that fails; a companion that fails is begun again and ends nothing.
    """
    desk = reach.desk
    async with accompanied((housekeeping, audit_tail, *companions), desk.root, say):
        watching = asyncio.create_task(_all_of(duties), name="catalyst-cluster")
        try:
            yield watching
        finally:
            watching.cancel()
            await asyncio.wait({watching}, timeout=_STOP_TIMEOUT_S)
    # A stop must not fail because a last look did.
    with contextlib.suppress(CatalystError):
        async with reach.admin(connect_timeout_s=1.0) as link:
            await remember_stream(link, desk)


async def housekeeping(data: Path, say: Say) -> None:
    """What falls due with time, as beside a single server."""
    await run_housekeeping(Desk(data), say)


async def audit_tail(data: Path, say: Say) -> None:
    """Who came, went and was refused, written into the audit log."""
    del say
    await run_audit_tail(Desk(data))


async def _all_of(duties: Mapping[str, Duty]) -> None:
    """Run them all; the first one that fails ends the others, and its error is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for name, duty in duties.items():
                group.create_task(duty(), name=name)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
