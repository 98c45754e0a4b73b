"""Measures the friend's way to the server, over one connection of its own.

It never pulls, and looks at the durable by CONSUMER.INFO only: a running agent does not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from signal_contract.delivery import Delivery
from signal_contract.doctor.finding import Verdict, fail, ok, skipped, warn
from signal_contract.doctor.judging import (
    judged_certificates,
    judged_clock,
    judged_names,
    judged_permissions,
    judged_ports,
    judged_trips,
    judged_version,
)
from signal_contract.doctor.network import Greeted, Looked, dialled, greeted, resolved, servers_from
from signal_contract.doctor.permitting import NOBODY, Denials, harmless_of, stream_refuses, tried
from signal_contract.errors import CatalystError, Denied, LinkError, StorageFailed
from signal_contract.feedback import Feedback, Kind, Privacy, feedback_bytes, is_allowed
from signal_contract.heartbeat import Heartbeat
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.subject import HEARTBEAT_PUBLISHER
from signal_contract.topology import FEED_PREFIX, STREAM, info_subject
from subscriber_agent.doctor.judging import Beat, judged_alone, judged_beat, judged_durable, judged_waiting
from subscriber_agent.doctor.local import Machine
from subscriber_agent.identity.credentials import named
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.heartbeats import counted, is_stalled
from subscriber_agent.receiving.keys import KeyChain
from subscriber_agent.receiving.rounds import KEYS

_CONNECT_S, _ASK_S, _LOOK_EVERY_S, _LOOKS, _TRIPS = 3.0, 2.0, 0.2, 3, 5
_SLOW_CANARY_S = 2.0
_REVOKED = "revoked_key"


@dataclass(frozen=True, slots=True)
class Answered:
    """What the server said about the durable: the answer (None: `error` says why not), and how long it took."""

    answer: Mapping[str, Any] | None
    durable: Durable | None
    error: CatalystError | None
    took_s: float


@dataclass(slots=True)
class Way:
    """The way to the server, filled step by step. `wait_s`: how long to listen for a sign of life. Close it."""

    machine: Machine
    wait_s: float
    names: tuple[Looked, ...] = ()
    ports: tuple[Looked, ...] = ()
    greetings: tuple[Greeted, ...] = ()
    link: Link | None = None
    answered: Answered | None = None
    beat: Heartbeat | None = None
    denials: Denials = field(default_factory=Denials)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def _open(self) -> Link:
        if self.link is None:
            raise LinkError("there is no connection")
        return self.link

    @property
    def _user(self) -> str:
        return self.machine.creds.user if self.machine.creds else ""

    async def close(self) -> None:
        """End the connection; never raises."""
        if self.link is not None:
            await self.link.close()

    # Without logging in ---------------------------------------------------------------------------------------

    async def name_looked_up(self) -> Verdict:
        """D08."""
        servers = servers_from(self.machine.settings.servers)
        proxied = next((each.proxy for each in servers if each.proxy), None)
        if proxied:
            return ok("the connection goes through this machine's proxy, which looks it up")
        self.names = await resolved(servers)
        return judged_names(self.names)

    async def port_dialled(self) -> Verdict:
        """D09."""
        if not self.names:
            return ok("through this machine's proxy")
        self.ports = await dialled(self.names)
        return judged_ports(self.ports)

    async def certificate_seen(self) -> Verdict:
        """D10."""
        if not self.ports:
            return ok("through this machine's proxy: proven at the log-in")
        self.greetings = await greeted(self.ports, self.machine.settings.ca_file)
        return judged_certificates(self.greetings, self.machine.clock())

    async def version_read(self) -> Verdict:
        """D11."""
        return judged_version(self.greetings)

    # Logged in ------------------------------------------------------------------------------------------------

    async def logged_in(self) -> Verdict:
        """D12; asks for the durable as well, so that later checks have it."""
        config, creds = self.machine.settings, self.machine.creds
        if creds is None:
            return skipped("there are no creds")
        try:
            self.link = await Link.open(
                config.servers,
                creds,
                label=f"subscriber-agent {creds.user} (doctor)",
                connect_timeout_s=_CONNECT_S,
                on_notice=self.denials,
                ca_file=config.ca_file,
            )
        except Denied as error:
            reason = named(error, creds, self.machine.clock(), revoked_key=self.machine.noted(_REVOKED))
            return fail(reason.message, reason.hint, code=reason.code)
        self.answered = await self._ask()
        with contextlib.suppress(LinkError):
            await self.link.subscribe(HEARTBEAT_PUBLISHER, self._on_heartbeat)
        return ok(f"as {creds.user}")

    async def _ask(self) -> Answered:
        clock = asyncio.get_running_loop().time
        started, before = clock(), self.machine.clock()
        try:
            answer = await self._open.api(info_subject(self._user), timeout_s=_ASK_S)
        except CatalystError as error:
            return Answered(None, None, error, clock() - started)
        took_s = clock() - started
        return Answered(answer, Durable.from_answer(answer, before + timedelta(seconds=took_s / 2)), None, took_s)

    async def _on_heartbeat(self, message: Delivery) -> None:
        now, durable = self.machine.clock(), self.answered.durable if self.answered else None
        skew_s = durable.skew_s if durable is not None and durable.skew_s is not None else 0.0
        try:
            keys = KeyChain.restored(self.machine.settings.publisher_key, self.machine.noted(KEYS))
        except StorageFailed:
            keys = KeyChain.pinned(self.machine.settings.publisher_key)
        found = counted(message, keys, self.beat, now - timedelta(seconds=skew_s))
        if found is not None:
            self.beat = found
            self.heard.set()

    async def clock_compared(self) -> Verdict:
        """D13."""
        if self.answered is None or self.answered.durable is None:
            return skipped("the server says what time it is together with your place in the stream (D15)")
        risk = self.machine.settings.risk
        uncertain_s = self.answered.took_s / 2
        limits = float(risk.warn_clock_skew_s), float(risk.max_clock_skew_s)
        return judged_clock(self.answered.durable.skew_s, uncertain_s, *limits)

    async def trips_made(self) -> Verdict:
        """D14."""
        return judged_trips(await round_trips(self._open), self.machine.arrivals_s())

    async def durable_looked_at(self) -> Verdict:
        """D15."""
        if self.answered is None:
            return skipped("it was not asked for")
        if self.answered.error is not None:
            raise self.answered.error
        if self.answered.answer is None or self.answered.durable is None:
            return fail("the server said nothing about it")
        return judged_durable(self._user, self.answered.answer, self.answered.durable)

    async def allowed_tried(self) -> Verdict:
        """D17."""
        user = self._user
        publish, subscribe = harmless_of(RoleName.SUBSCRIBER, user)
        done = await tried(self._open, self.denials, publish=publish, subscribe=subscribe)
        verdict = judged_permissions(done.allowed, done.refused, should_work=True)
        trouble = None if done.refused else await stream_refuses(self._open, f"feedback.{user}.{Kind.STATUS.value}")
        if trouble:
            return warn(
                f"reports to the operator are not taken: {trouble}", "your operator looks at D16; trading goes on"
            )
        return verdict

    async def forbidden_tried(self) -> Verdict:
        """D18."""
        publish = [
            f"{FEED_PREFIX}.CONSUMER.INFO.{STREAM}.sub_{NOBODY}",
            f"{FEED_PREFIX}.CONSUMER.MSG.NEXT.{STREAM}.sub_{NOBODY}",
            f"$JS.ACK.{STREAM}.sub_{NOBODY}.doctor",
            f"$JS.API.STREAM.INFO.{STREAM}",
            f"$JS.API.CONSUMER.LIST.{STREAM}",
            "$SYS.REQ.SERVER.PING",
            "signals.other.DOCTOR",
            "control.all.notice",
            HEARTBEAT_PUBLISHER,
            f"feedback.{NOBODY}.status",
            f"_INBOX_{NOBODY}.x",
        ]
        subscribe = [">", "signals.>", "control.>", "feedback.>", f"_INBOX_{NOBODY}.>", "$JS.>", "$SYS.>"]
        done = await tried(self._open, self.denials, publish=publish, subscribe=subscribe)
        return judged_permissions(done.allowed, done.refused, should_work=False)

    async def heartbeat_heard(self) -> Verdict:
        """D19: what a running agent noted counts; else we listen ourselves."""
        beat = self.machine.noted_beat() if self.machine.is_running() else None
        verdict = judged_beat(beat, 0.0)
        if verdict is not None:
            return verdict
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.wait_s):
                await self.heard.wait()
        verdict = judged_beat(self._heard_beat(), self.wait_s)
        return verdict or skipped(
            f"none within {self.wait_s:.0f} s, too short to be sure: one comes every 15 s", "add --wait 20"
        )

    def _heard_beat(self) -> Beat | None:
        if self.beat is None:
            return None
        durable = self.answered.durable if self.answered else None
        now = self.machine.clock() - timedelta(seconds=(durable.skew_s if durable else None) or 0.0)
        return Beat((now - self.beat.at).total_seconds(), self.beat.state.value, is_stalled(self.beat, now))

    async def pulls_counted(self) -> Verdict:
        """D20: a pull that is there at every look; a new one overlaps with the last for a moment."""
        pulls: list[int] = []
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_EVERY_S if pulls else 0)
            found = await self._ask()
            if found.durable is None:
                return skipped("the server did not answer")
            self.answered = found
            pulls.append(found.durable.pulls)
        return judged_alone(pulls, is_running=self.machine.is_running())

    async def waiting_counted(self) -> Verdict:
        """D21."""
        if self.answered is None or self.answered.durable is None:
            return skipped("the server did not answer")
        return judged_waiting(self.answered.durable, is_running=self.machine.is_running())

    async def canary_sent(self) -> Verdict:
        """D29: one report to the operator, and its receipt."""
        privacy = self.machine.settings.privacy
        if not is_allowed(Kind.RECEIVED, privacy):
            return skipped(f"privacy is {Privacy.NONE.value}: nothing about you is sent")
        clock = asyncio.get_running_loop().time
        report = Feedback(
            feedback_id=secrets.token_hex(16),
            kind=Kind.RECEIVED,
            at=self.machine.clock(),
            label="CANARY",
            code="DOCTOR",
        )
        started = clock()
        receipt = await self._open.publish_stored(
            report.subject(self._user), feedback_bytes(report), headers={MESSAGE_ID_HEADER: report.feedback_id}
        )
        took_s = clock() - started
        text = f"a report was stored by {receipt.stream} at {receipt.sequence} after {took_s * 1000:.0f} ms"
        return warn(text) if took_s > _SLOW_CANARY_S else ok(text)


async def round_trips(link: Link, count: int = _TRIPS) -> list[float]:
    """Seconds that each of several pings took; those without an answer are left out."""
    clock = asyncio.get_running_loop().time
    found = []
    for _ in range(count):
        started = clock()
        with contextlib.suppress(LinkError):
            await link.flush(_ASK_S)
            found.append(clock() - started)
    return found
