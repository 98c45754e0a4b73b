"""The agent at work: receive → journal → ack → (when the backlog is drained) decide → engine. It knows no terminal.

Nothing is decided before the backlog is drained: a retraction further back in the stream must be known first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from signal_contract.creds import Creds
from signal_contract.delivery import Delivery, LinkEvent, LinkNotice
from signal_contract.errors import (
    BrokerRefused,
    CredsRevoked,
    Denied,
    DurableMissing,
    LinkError,
    StreamMissing,
)
from signal_contract.link import Link
from signal_contract.topology import pull_subject
from subscriber_agent.arrival import Sorted, batch_sorted
from subscriber_agent.backlog import IN_FLIGHT, Backlog
from subscriber_agent.config import AgentConfig
from subscriber_agent.credentials import named
from subscriber_agent.desk import Desk
from subscriber_agent.feed import Feed, durable_info
from subscriber_agent.journal import Journal, LinkState, Recorded
from subscriber_agent.keeper import CredsKeeper
from subscriber_agent.keys import KeyChain
from subscriber_agent.occupancy import wait_until_alone

_log = logging.getLogger("catalyst.agent")

# Foreign keys of a report line are part of the `run --json` interface; the README lists them.
Report = Callable[[str, dict[str, Any]], None]


_IDLE_S = 0.25
_DRAIN_S = 10.0
_MEASURE_EVERY = timedelta(seconds=60)
_KEYS, _REVOKED = "publisher_keys", "revoked_key"


def _now() -> datetime:
    return datetime.now(UTC)


class Worker:
    """Runs one identity until it is stopped or the link ends for good."""

    def __init__(self, config: AgentConfig, creds: Creds, journal: Journal, desk: Desk, report: Report) -> None:
        self._config = config
        self._creds = creds
        self._journal = journal
        self._desk = desk
        self._report = report
        self._keys = KeyChain.restored(config.publisher_key, journal.meta(_KEYS))
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._denied: asyncio.Queue[str] = asyncio.Queue()
        self._feed: Feed | None = None
        # Messages of an earlier connection may be on their way again: until then a later one can come before them.
        self._doubt_until = _now()
        self._is_online = False

    async def run(self, stop: asyncio.Event, *, connect_timeout_s: float, until_drained: bool = False) -> None:
        """Work until `stop` is set (or, with `until_drained`, until the backlog is empty).

        Raises ServerUnreachable, Denied, CredsExpired, CredsRevoked, DurableMissing, StreamMissing, AlreadyRunning,
        StorageFailed.
        """
        try:
            await self._run(stop, connect_timeout_s, until_drained=until_drained)
        except Denied as error:
            if isinstance(error, CredsRevoked):
                self._journal.set_meta(_REVOKED, self._creds.public_key)
            reason = named(error, self._creds, _now(), revoked_key=self._journal.meta(_REVOKED))
            if reason is error:
                raise
            raise reason from error
        finally:
            self._disk.shutdown()

    async def _run(self, stop: asyncio.Event, connect_timeout_s: float, *, until_drained: bool) -> None:
        for settled in await self._desk.recover():
            self._report("recovered", settled.as_dict())
        link = await Link.open(
            self._config.servers,
            self._creds,
            label=f"subscriber-agent {self._creds.user}",
            connect_timeout_s=connect_timeout_s,
            on_notice=self._on_notice,
            ca_file=self._config.ca_file,
        )
        self._is_online = True
        try:
            info = await self._found(link)
            info = await wait_until_alone(link, self._creds.user, info, stop, self._report)
            waiting, in_flight = (_count(info.get(key)) for key in ("num_pending", "num_ack_pending"))
            if in_flight:
                self._doubt_until = _now() + IN_FLIGHT
            backlog = Backlog.at_start(waiting=waiting, in_flight=in_flight, now=_now())
            self._note(
                "connected",
                {
                    "user": self._creds.user,
                    "waiting": waiting,
                    "in_flight": in_flight,
                    "skew_s": self._desk.clock_skew_s,
                },
            )
            self._feed = Feed(link, self._creds.user)
            await self._until(stop, link, self._receive(link, self._feed, backlog, stop, until_drained=until_drained))
        finally:
            self._feed, self._is_online = None, False
            await link.close()
            self._note("stopped", {})

    async def _found(self, link: Link) -> dict[str, object]:
        """The durable's state at the start. Raises StreamMissing when nobody answers: some other server has the port.

        Later the same answer is no reason to end: a server that restarts gives it for a moment.
        """
        try:
            return await self._measured(link)
        except BrokerRefused as error:
            raise StreamMissing("this server has no signal stream: nobody answers for it") from error

    async def _measured(self, link: Link) -> dict[str, object]:
        """The durable's state, and with it the server's clock. Raises DurableMissing, Denied."""
        before = _now()
        info = await durable_info(link, self._creds.user)
        self._desk.clock_skew_s = skew_s(info.get("ts"), before + (_now() - before) / 2)
        return info

    async def _until(self, stop: asyncio.Event, link: Link, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; when asked to stop, give it time to finish what is in hand; end it when the pull is denied."""
        receiving = asyncio.create_task(work, name="receive")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        denial = asyncio.create_task(self._wait_for_denial(), name="denial")
        keeping = asyncio.create_task(self._keep_creds(link), name="creds")
        tasks = (receiving, stopping, denial, keeping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                await asyncio.wait({receiving, denial}, timeout=_DRAIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                if not task.done():
                    task.cancel()
            await asyncio.wait(tasks)
        for task in (denial, receiving, keeping):
            if not task.cancelled():
                task.result()

    async def _keep_creds(self, link: Link) -> None:
        def report(event: str, facts: dict[str, Any]) -> None:
            self._creds = keeper.creds
            self._report(event, facts)

        keeper = CredsKeeper(link, self._creds, self._config, self._journal, report)
        await keeper.watch()

    async def _wait_for_denial(self) -> None:
        subject = pull_subject(self._creds.user).lower()
        while True:
            detail = await self._denied.get()
            if subject in detail.lower():
                raise Denied(f"the server denies {self._creds.user} his own durable: {detail}")
            _log.warning("denied by the server: %s", detail)

    async def _receive(
        self, link: Link, feed: Feed, backlog: Backlog, stop: asyncio.Event, *, until_drained: bool
    ) -> None:
        fresh, is_catching_up = 0, True
        measured_at = _now()
        async with contextlib.aclosing(feed.batches(idle_s=_IDLE_S)) as batches:
            async for batch in batches:
                kept, new = await self._keep(feed, batch)
                fresh += new
                backlog = backlog.after(kept)
                if backlog.is_drained(_now()):
                    outcomes = await self._settle(stop)
                    if is_catching_up:
                        self._report("caught_up", {"missed": fresh, "outcomes": dict(Counter(outcomes))})
                        is_catching_up = False
                    if until_drained:
                        return
                if stop.is_set():
                    return
                if _now() - measured_at > _MEASURE_EVERY:
                    measured_at = _now()
                    await self._measure_again(link)

    async def _measure_again(self, link: Link) -> None:
        """Follow the clocks: a laptop that slept may be off. A server that is away leaves the last measure standing."""
        try:
            await self._measured(link)
        except (Denied, DurableMissing, StreamMissing):
            raise
        except LinkError as error:
            _log.info("the server's clock could not be read: %s", error.message)

    async def _settle(self, stop: asyncio.Event) -> list[str]:
        """Decide all that is undecided, or until asked to stop; returns the label of each outcome."""
        labels = []
        async with contextlib.aclosing(self._desk.settle()) as settling:
            async for settled in settling:
                self._report("decision", settled.as_dict())
                labels.append(settled.label)
                # Deciding never waits: without a turn for the others, a stop is not heard and pings go unanswered.
                await asyncio.sleep(0)
                if stop.is_set():
                    break
        return labels

    async def _keep(self, feed: Feed, batch: Sequence[Delivery]) -> tuple[list[Delivery], int]:
        """Journal a batch in one commit, then acknowledge it. Returns what was kept, and how many were new."""
        if not batch:
            return [], 0
        now = _now()
        found = batch_sorted(batch, self._keys, now, is_doubtful=now < self._doubt_until)
        if found.held:
            _log.info("%d messages are signed by a key that is not known yet; they will come again", found.held)
        if not found.pairs:
            return [], 0
        recorded = await asyncio.get_running_loop().run_in_executor(self._disk, self._record, found)
        aside = {each.stream_seq: each for each in recorded.set_aside}
        await feed.ack(message for message, arrival in found.pairs if arrival.stream_seq not in aside)
        for message, arrival in found.pairs:
            if arrival.stream_seq in aside:
                await feed.terminate(message, aside[arrival.stream_seq].code)
        for each in recorded.set_aside:
            self._report("parked", {"seq": each.stream_seq, "code": each.code, "detail": each.detail})
        self._follow(found.keys)
        return [message for message, _ in found.pairs], recorded.new

    def _record(self, found: Sorted) -> Recorded:
        arrivals = [arrival for _, arrival in found.pairs]
        meta = {_KEYS: found.keys.text} if found.keys is not self._keys else {}
        return self._journal.record(arrivals, meta=meta)

    def _follow(self, keys: KeyChain) -> None:
        for switch in keys.switches[len(self._keys.switches) :]:
            self._report("key_changed", {"seq": switch.stream_seq, "publisher_key": keys.current.public_key})
        self._keys = keys

    def _on_notice(self, notice: LinkNotice) -> None:
        if notice.event is LinkEvent.DENIED:
            self._denied.put_nowait(notice.detail)
        elif notice.event in (LinkEvent.DISCONNECTED, LinkEvent.RECONNECTED) and self._is_online:
            if self._feed is not None and notice.event is LinkEvent.DISCONNECTED:
                self._feed.on_disconnect()
            elif self._feed is not None:
                self._feed.on_reconnect()
                self._doubt_until = _now() + IN_FLIGHT
            self._note(notice.event.value, {"detail": notice.detail})

    def _note(self, state: str, facts: dict[str, Any]) -> None:
        """Report a change of the link, and keep it for `status`."""
        self._journal.set_link_state(LinkState(state, _now()))
        self._report(state, facts)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def skew_s(server_time: object, local: datetime) -> float | None:
    """Seconds that the local clock is ahead of the server's; None when the server's time cannot be read."""
    if not isinstance(server_time, str):
        return None
    try:
        # The server prints nanoseconds; six digits are what a datetime holds.
        head, _, fraction = server_time.rstrip("Z").partition(".")
        server = datetime.fromisoformat(head).replace(tzinfo=UTC) + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None
    return round((local - server).total_seconds(), 3)
