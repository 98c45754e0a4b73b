"""Everything between the server and the journal: connection, occupancy, keys, feed, heartbeats, link state, upkeep.

Whoever decides about signals stands behind it as its `Party`: the worker with its desk, or a friend's own program.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from signal_contract.creds import Creds
from signal_contract.delivery import LinkEvent, LinkNotice
from signal_contract.errors import (
    BrokerRefused,
    CredsRevoked,
    Denied,
    DurableMissing,
    LinkError,
    StreamMissing,
)
from signal_contract.link import Link
from signal_contract.subject import HEARTBEAT_PUBLISHER
from signal_contract.topology import pull_subject
from subscriber_agent.disk import Disk
from subscriber_agent.flags import FlagsWatch
from subscriber_agent.identity.credentials import named
from subscriber_agent.identity.keeper import CredsKeeper
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.arrival import Sorted
from subscriber_agent.receiving.drift import ClockDrift
from subscriber_agent.receiving.durable import Durable
from subscriber_agent.receiving.feed import Feed, durable_info
from subscriber_agent.receiving.keys import KeyChain
from subscriber_agent.receiving.link_state import LinkState, Observed, Seen
from subscriber_agent.receiving.listening import HeartbeatListener
from subscriber_agent.receiving.occupancy import wait_until_alone
from subscriber_agent.receiving.rounds import KEYS, Consumer, Kept, Report, Rounds
from subscriber_agent.receiving.upkeep import Upkeep
from subscriber_agent.receiving.watch import LinkWatch
from subscriber_agent.reporting.sender import FeedbackSender
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.together import run_together, unless_stopped

_log = logging.getLogger("catalyst.agent")

DRAIN_S = 10.0
_MEASURE_TIMEOUT_S = 5.0
_REVOKED = "revoked_key"


class Party(Consumer, Protocol):
    """Who stands behind the receiver."""

    def measured(self, durable: Durable) -> None:
        """The durable, and with it the server's clock, was just looked at."""


class Receiver:
    """Receives for one identity until it is stopped or the link ends for good.

    `mode` and `engine` are what the operator is told in reports of health.
    """

    def __init__(
        self,
        config: AgentConfig,
        creds: Creds,
        journal: Journal,
        disk: Disk,
        party: Party,
        report: Report,
        *,
        mode: str,
        engine: str,
    ) -> None:
        self._config = config
        self._creds = creds
        self._journal = journal
        self._disk = disk
        self._party = party
        self._report = report
        self._describe = (mode, engine)
        self._denied: asyncio.Queue[str] = asyncio.Queue()
        self._link: Link | None = None
        self._rounds: Rounds | None = None
        self._feed: Feed | None = None
        self._sender: FeedbackSender | None = None
        self._watch = LinkWatch(config, journal, disk, report, self._observed)
        self._listener: HeartbeatListener | None = None
        self._durable: Durable | None = None
        self.flags: FlagsWatch | None = None
        self._stop = asyncio.Event()
        self.drift = ClockDrift()

    # What others may know ---------------------------------------------------------------------------------------

    @property
    def link_state(self) -> LinkState:
        """How well signals flow at this moment."""
        return self._watch.state

    def seen(self) -> Seen:
        """The link as it was last looked at, for whoever must prove that signals flow."""
        looked_at, now = self._watch.looked_at, asyncio.get_running_loop().time()
        deliveries = 0 if self._rounds is None else self._rounds.gaps.consumer_seq
        return Seen(self._watch.state, None if looked_at is None else now - looked_at, deliveries)

    @property
    def durable(self) -> Durable | None:
        """The durable as last looked at; None before the first look."""
        return self._durable

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def record(self, found: Sorted) -> Kept:
        """Write a verified batch down, in one commit or as a part of the caller's; on the disk's thread."""
        if self._rounds is None:
            raise RuntimeError("nothing is received before the link is up")
        return self._rounds.record(found)

    def wake_feedback(self) -> None:
        """There may be reports to send."""
        if self._sender is not None:
            self._sender.wake()

    def take(self, config: AgentConfig, *, mode: str) -> None:
        """Go on by this config: privacy, alerts, and the mode that reports of health name. Addresses stay."""
        self._config, self._describe = config, (mode, self._describe[1])
        self._watch.config = config
        for each in (self._rounds, self._sender):
            if each is not None:
                each.privacy = config.privacy

    # Its life ---------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, *, connect_timeout_s: float) -> None:
        """Receive until `stop` is set. After ServerUnreachable it may be called again.

        Raises ServerUnreachable, Denied, CredsExpired, CredsRevoked, DurableMissing, StreamMissing, AlreadyRunning,
        LinkNotLive, StorageFailed.
        """
        self._stop = stop
        try:
            await self._run(connect_timeout_s)
        except Denied as error:
            if isinstance(error, CredsRevoked):
                self._journal.set_meta(_REVOKED, self._creds.public_key)
            reason = named(error, self._creds, datetime.now(UTC), revoked_key=self._journal.meta(_REVOKED))
            if reason is error:
                raise
            raise reason from error
        except DurableMissing as error:
            raise self._with_position(error) from error

    async def _run(self, connect_timeout_s: float) -> None:
        opening = Link.open(
            self._config.servers,
            self._creds,
            label=f"subscriber-agent {self._creds.user}",
            connect_timeout_s=connect_timeout_s,
            on_notice=self._on_notice,
            ca_file=self._config.ca_file,
        )
        link = await unless_stopped(self._stop, opening)
        if link is None:
            return
        self._link = link
        try:
            durable = await self._found()
            durable = await wait_until_alone(
                lambda: self._measure(_MEASURE_TIMEOUT_S), self._creds.user, durable, self._stop, self._report
            )
            self._report(
                "connected",
                {
                    "user": self._creds.user,
                    "waiting": durable.waiting,
                    "in_flight": durable.in_flight,
                    "skew_s": durable.skew_s,
                },
            )
            await self._receive(link, durable)
        finally:
            self._link = self._rounds = None
            await link.close()
            await self._watch.ended("the agent has stopped")
            self._report("stopped", {})

    async def _receive(self, link: Link, durable: Durable) -> None:
        self._feed = Feed(link, self._creds.user)
        self._rounds = rounds = Rounds(
            self._feed,
            self._journal,
            self._disk,
            self._party,
            self._report,
            user=self._creds.user,
            privacy=self._config.privacy,
            keys=KeyChain.restored(self._config.publisher_key, self._journal.meta(KEYS)),
        )
        rounds.looked(durable)
        self._listener = listener = HeartbeatListener(
            self._journal,
            self._disk,
            keys=lambda: rounds.keys,
            server_now=self._server_now,
            on_heard=self._watch.wake,
        )
        await link.subscribe(HEARTBEAT_PUBLISHER, listener.on_message)
        self._sender = FeedbackSender(
            link,
            self._journal,
            self._creds.user,
            on_problem=self._on_report_problem,
            privacy=self._config.privacy,
        )
        upkeep = self._upkeep(rounds, listener)
        self.flags = flags = FlagsWatch(
            link,
            self._journal,
            self._disk,
            self._report,
            user=self._creds.user,
            verifier=lambda: rounds.keys.current,
        )
        rounds.on_new_key = flags.look
        await flags.look()  # before anything is decided
        attendants = [
            self._watch.run(),
            self._wait_for_denial(),
            self._keep_creds(link),
            self._sender.run(),
            upkeep.run(),
            flags.run(),
        ]
        receiving = rounds.run(self._stop, link.flush, self._measure)
        await run_together(self._stop, [receiving], attendants, drain_s=DRAIN_S)

    def _upkeep(self, rounds: Rounds, listener: HeartbeatListener) -> Upkeep:
        return Upkeep(
            lambda: self._config,
            self._journal,
            self._disk,
            self._report,
            rounds,
            measure=self._measure,
            heartbeat=lambda: listener.last,
            link_state=lambda: self.link_state,
            describe=lambda: self._describe,
            sent=self.wake_feedback,
            drift_s=self.drift.seconds,
        )

    # Looking at the durable -------------------------------------------------------------------------------------

    async def _found(self) -> Durable:
        """The durable's state at the start. Raises StreamMissing when nobody answers: some other server has the port.

        Later the same answer is no reason to end: a server that restarts gives it for a moment.
        """
        try:
            return await self._measure(_MEASURE_TIMEOUT_S)
        except BrokerRefused as error:
            raise StreamMissing("this server has no signal stream: nobody answers for it") from error

    async def _measure(self, timeout_s: float) -> Durable:
        """The durable's state, and with it the server's clock. Raises DurableMissing, Denied, LinkError."""
        if self._link is None:
            raise LinkError("there is no connection")
        before = datetime.now(UTC)
        answer = await durable_info(self._link, self._creds.user, timeout_s=timeout_s)
        now = datetime.now(UTC)
        self._durable = durable = Durable.from_answer(answer, before + (now - before) / 2)
        self.drift.mark()
        self._party.measured(durable)
        await self._disk.run(self._journal.set_progress, durable.position, durable.waiting, now)
        return durable

    def _with_position(self, error: DurableMissing) -> DurableMissing:
        """The error with the friend's place in the stream, from which the operator can restore the durable."""
        progress = self._journal.progress()
        position = self._journal.last_sequence() if progress is None else progress.position
        return DurableMissing(
            f"{error.message}; everything up to stream sequence {position} is here",
            hint=f"Ask the operator for `catalyst user repair {self._creds.user} --from {position}`.",
        )

    # What it hears ----------------------------------------------------------------------------------------------

    def _observed(self) -> Observed:
        listener = self._listener
        silent_s = None if self._feed is None else self._feed.silent_s
        return Observed(
            connected=self._link is not None and self._link.is_connected,
            # Nothing has been asked yet: that is no silence.
            pull_heard_s=0.0 if silent_s is None else silent_s,
            heartbeat_s=None if listener is None else listener.silent_s,
            pending=None if self._rounds is None else self._rounds.pending,
            lagging_s=0.0 if self._rounds is None else self._rounds.behind_s,
            classifier_stalled=listener is not None and listener.is_stalled,
        )

    def _server_now(self) -> datetime:
        skew_s = None if self._durable is None else self._durable.skew_s
        return datetime.now(UTC) - timedelta(seconds=(skew_s or 0.0) + self.drift.seconds())

    def _on_report_problem(self, text: str) -> None:
        _log.info("reports to the operator: %s", text)

    def _on_notice(self, notice: LinkNotice) -> None:
        if notice.event is LinkEvent.DENIED:
            self._denied.put_nowait(notice.detail)
        elif notice.event in (LinkEvent.DISCONNECTED, LinkEvent.RECONNECTED) and self._rounds is not None:
            if notice.event is LinkEvent.DISCONNECTED:
                self._rounds.on_disconnect()
            else:
                self._rounds.on_reconnect()
            self._report(notice.event.value, {"detail": notice.detail})
        self._watch.wake()

    async def _wait_for_denial(self) -> None:
        subject = pull_subject(self._creds.user).lower()
        while True:
            detail = await self._denied.get()
            if subject in detail.lower():
                raise Denied(f"the server denies {self._creds.user} his own durable: {detail}")
            _log.warning("denied by the server: %s", detail)

    async def _keep_creds(self, link: Link) -> None:
        def report(event: str, facts: dict[str, Any]) -> None:
            self._creds = keeper.creds
            self._report(event, facts)

        keeper = CredsKeeper(link, self._creds, self._config, self._journal, report)
        await keeper.watch()
