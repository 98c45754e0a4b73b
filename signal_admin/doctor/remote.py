"""Measures the operator's server: the way to it, each of his roles, streams and durables, the publisher's heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from signal_admin.apply import read_durables, read_stream
from signal_admin.dial import tls_options
from signal_admin.doctor.judging import judged_beats, judged_durables, judged_lag, judged_streams
from signal_admin.doctor.local import Office
from signal_admin.issuing import OWN_ROLES, own_creds
from signal_admin.settings import UpSettings
from signal_contract.delivery import Delivery
from signal_contract.doctor.finding import Verdict, fail, ok, skipped
from signal_contract.doctor.judging import (
    judged_certificates,
    judged_clock,
    judged_names,
    judged_permissions,
    judged_ports,
    judged_trips,
    judged_version,
    skew_from,
)
from signal_contract.doctor.network import Greeted, Looked, dialled, greeted, resolved, servers_from
from signal_contract.doctor.permitting import Denials, harmless_of, stream_refuses, tried
from signal_contract.errors import CatalystError, LinkError, ServerUnreachable, SignalInvalid
from signal_contract.heartbeat import read_heartbeat
from signal_contract.link import Link, opened
from signal_contract.permissions import RoleName
from signal_contract.subject import HEARTBEAT_PUBLISHER
from signal_contract.topology import AUDIT_STREAM, FEEDBACK_STREAM, STREAM, feedback_stream_config, stream_config

_TRIPS, _ASK_S = 5, 2.0
_WARN_SKEW_S, _MAX_SKEW_S = 1.0, 5.0
# What a role must not do, of what does no harm where it is allowed by mistake: (publish, subscribe).
_FORBIDDEN: dict[RoleName, tuple[tuple[str, ...], tuple[str, ...]]] = {
    RoleName.PUBLISHER: (
        ("$JS.API.CONSUMER.LIST.SIGNALS", "$JS.API.STREAM.INFO.AUDIT", "control.all.notice", "audit.doctor"),
        (">", "signals.>", "heartbeat.>", "feedback.>"),
    ),
    RoleName.MONITOR: (
        ("signals.other.DOCTOR", "control.all.notice", "WATCH.STREAM.INFO.AUDIT", "$JS.API.STREAM.INFO.SIGNALS"),
        (">", "audit.>", "$JS.>", "$SYS.>"),
    ),
    RoleName.AUDITOR: (
        ("signals.other.DOCTOR", "control.all.notice", "audit.doctor", "WATCH.CONSUMER.LIST.SIGNALS"),
        (">", "signals.>", "heartbeat.>", "audit.>"),
    ),
    RoleName.ADMIN: (("signals.other.DOCTOR", "$SYS.REQ.SERVER.PING"), (">", "signals.>", "$SYS.>")),
    RoleName.SYSTEM: (("signals.other.DOCTOR", "$JS.API.STREAM.INFO.SIGNALS"), (">", "signals.>")),
}


@dataclass(slots=True)
class House:
    """The running server as seen from outside, filled step by step. `wait_s`: how long to listen. Close it."""

    office: Office
    wait_s: float
    names: tuple[Looked, ...] = ()
    ports: tuple[Looked, ...] = ()
    greetings: tuple[Greeted, ...] = ()
    links: dict[RoleName, Link] = field(default_factory=dict)
    denials: dict[RoleName, Denials] = field(default_factory=dict)
    durables: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard_age_s: float | None = None
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def link(self, role: RoleName) -> Link:
        """The open connection of a role. Raises LinkError."""
        if role not in self.links:
            raise LinkError(f"there is no connection as {role.value}")
        return self.links[role]

    async def close(self) -> None:
        """End all connections."""
        await self.stack.aclose()

    # Without logging in ---------------------------------------------------------------------------------------

    async def name_looked_up(self) -> Verdict:
        """D08."""
        if self.office.record is None:
            raise ServerUnreachable("no server is recorded")
        self.names = await resolved(servers_from([self.office.record.url], self.office.record.tls_name))
        return judged_names(self.names)

    async def port_dialled(self) -> Verdict:
        """D09."""
        self.ports = await dialled(self.names)
        return judged_ports(self.ports)

    def _ca(self) -> Path | None:
        record = self.office.record
        return Path(record.ca_file) if record is not None and record.ca_file else None

    async def certificate_seen(self) -> Verdict:
        """D10."""
        self.greetings = await greeted(self.ports, self._ca())
        return judged_certificates(self.greetings, self.office.clock())

    async def version_read(self) -> Verdict:
        """D11."""
        return judged_version(self.greetings)

    # Logged in ------------------------------------------------------------------------------------------------

    async def logged_in(self) -> Verdict:
        """D12: with each of the operator's own roles."""
        record = self.office.record
        if record is None:
            raise ServerUnreachable("no server is recorded")
        refused = []
        for role in OWN_ROLES:
            denials = Denials()
            try:
                dialling = opened(
                    [record.url],
                    own_creds(self.office.here, role),
                    label=f"catalyst-doctor-{role.value}",
                    connect_timeout_s=_ASK_S,
                    on_notice=denials,
                    **tls_options(record),
                )
                self.links[role] = await self.stack.enter_async_context(dialling)
                self.denials[role] = denials
            except CatalystError as error:
                refused.append(f"{role.value}: {error.message}")
        if refused:
            return fail("; ".join(refused))
        await self.links[RoleName.MONITOR].subscribe(HEARTBEAT_PUBLISHER, self._on_heartbeat)
        return ok(f"as {', '.join(role.value for role in self.links)}")

    async def _on_heartbeat(self, message: Delivery) -> None:
        # Whether it is signed is for those who act on it; here it is a sign of life on the operator's own server.
        with contextlib.suppress(SignalInvalid):
            self.heard_age_s = (self.office.clock() - read_heartbeat(message.data).at).total_seconds()
            self.heard.set()

    async def clock_compared(self) -> Verdict:
        """D13: against the server's, by its answer about stream SIGNALS."""
        clock = asyncio.get_running_loop().time
        started, before = clock(), self.office.clock()
        info = await read_stream(self.link(RoleName.ADMIN))
        took_s = clock() - started
        if info is None:
            return skipped("the server says what time it is together with stream SIGNALS (D16)")
        skew_s = skew_from(info.get("ts"), before + timedelta(seconds=took_s / 2))
        return judged_clock(skew_s, took_s / 2, _WARN_SKEW_S, _MAX_SKEW_S)

    async def trips_made(self) -> Verdict:
        """D14."""
        clock, found = asyncio.get_running_loop().time, []
        for _ in range(_TRIPS):
            started = clock()
            with contextlib.suppress(LinkError):
                await self.link(RoleName.ADMIN).flush(_ASK_S)
                found.append(clock() - started)
        return judged_trips(found)

    async def durables_compared(self) -> Verdict:
        """D15."""
        self.durables = await read_durables(self.link(RoleName.ADMIN))
        return judged_durables(self.office.users(), self.durables)

    async def streams_compared(self) -> Verdict:
        """D16."""
        settings = self.office.settings or UpSettings()
        admin = self.link(RoleName.ADMIN)
        found = {name: await read_stream(admin, name) for name in (STREAM, FEEDBACK_STREAM, AUDIT_STREAM)}
        infos = {name: info for name, info in found.items() if info is not None}
        wanted = (
            stream_config(max_bytes=settings.stream_bytes),
            feedback_stream_config(max_bytes=settings.feedback_bytes),
        )
        return judged_streams(wanted, infos)

    async def allowed_tried(self) -> Verdict:
        """D17: each of the operator's roles; and that a signal would find the stream."""
        through: list[str] = []
        back: list[str] = []
        for role, link in self.links.items():
            publish, subscribe = harmless_of(role, role.value)
            done = await tried(link, self.denials[role], publish=publish, subscribe=subscribe)
            through += done.allowed
            back += [f"{role.value}: {each}" for each in done.refused]
        trouble = await stream_refuses(self.link(RoleName.PUBLISHER), "signals.other.DOCTOR")
        if trouble and not back:
            return fail(f"a signal would not find the stream: {trouble}", "look at D16")
        return judged_permissions(through, back, should_work=True)

    async def forbidden_tried(self) -> Verdict:
        """D18: each of the operator's roles; what a friend must not do is tried by his own doctor."""
        through: list[str] = []
        back: list[str] = []
        for role, link in self.links.items():
            publish, subscribe = _FORBIDDEN.get(role, ((), ()))
            done = await tried(link, self.denials[role], publish=publish, subscribe=subscribe)
            through += [f"{role.value}: {each}" for each in done.allowed]
            back += done.refused
        return judged_permissions(through, back, should_work=False)

    async def heartbeat_heard(self) -> Verdict:
        """D19."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.wait_s):
                await self.heard.wait()
        return judged_beats(self.heard_age_s, self.office.publisher_state(), self.wait_s)

    async def lag_counted(self) -> Verdict:
        """D21."""
        return judged_lag(self.durables)
