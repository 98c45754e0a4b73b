"""The publisher's two long-lived tasks: sending whatever comes to wait in the outbox, and the heartbeat.

They end only with the publisher. Trouble is said once and tried again for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from publisher.circuit import CircuitState
from publisher.classifier import CLASSIFIER_FILE, read_classifier
from publisher.outbox import Outbox
from publisher.pulse import STATE_FILE, Health, Pulse, write_state
from publisher.relay import Relay, Span
from signal_contract.errors import (
    AlreadyRunning,
    CatalystError,
    ConfigInvalid,
    CredsInvalid,
    Denied,
    LinkError,
    NotFound,
    PlaintextRefused,
    StorageFailed,
    TlsFailed,
)
from signal_contract.heartbeat import INTERVAL_S, ClassifierState, heartbeat_bytes
from signal_contract.subject import HEARTBEAT_PUBLISHER

# How long another process's submit waits to be noticed; one of this process wakes the task at once.
_POLL_S = 0.2
# One round holds the relay's lock: short, so that a publish or a change of the key gets in while the server is away.
_ROUND_S = 2.0
_LOOK_S = 3.0
# The server refuses us, or is not the one it should be: only the operator can change that.
SLOW_PAUSE_S = 15.0
_OWN_TROUBLE_PAUSE_S = 2.0
_STOP_S = 10.0
_KEPT_FOR = timedelta(days=35)
_PRUNE_EVERY = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class StateChange:
    """The way to the stream is UP, DEGRADED or DOWN from now on; `reason` is empty when it is up."""

    state: CircuitState
    reason: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Told:
    """Whom the tasks tell what happens; each problem is told when it begins, not at each attempt."""

    on_state: Callable[[StateChange], None]
    on_problem: Callable[[CatalystError], None]
    # Called before what the server has refused is tried again; whether creds or address have been replaced.
    refresh: Callable[[], Awaitable[bool]]


def needs_operator(error: CatalystError) -> bool:
    """Whether only the operator can end this trouble: refused creds, a wrong certificate, unreadable files."""
    return isinstance(error, Denied | TlsFailed | PlaintextRefused | CredsInvalid | ConfigInvalid | NotFound)


def pause_from(error: CatalystError, circuit_pause_s: float) -> float:
    """Seconds until the next attempt after an error."""
    if needs_operator(error):
        return SLOW_PAUSE_S
    if isinstance(error, AlreadyRunning):
        return _POLL_S
    return circuit_pause_s if isinstance(error, LinkError) else _OWN_TROUBLE_PAUSE_S


class Background:
    """Runs both tasks between `start` and `stop`."""

    def __init__(self, outbox: Outbox, relay: Relay, told: Told, *, heartbeat_s: float = INTERVAL_S) -> None:
        self._outbox, self._relay, self._told = outbox, relay, told
        self._heartbeat_s = heartbeat_s
        self._pulse = Pulse(outbox.path, heartbeat_s, _now)
        self._submitted, self._look, self._retry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._exporting = asyncio.Lock()  # both tasks write the state file; the later look is to be the one that stays
        self._state: CircuitState | None = None
        self._reason = ""
        self._unsent: CatalystError | None = None
        self._problems: dict[str, str] = {}
        self._replacements_told = 0
        self._span = Span(None, None)
        self._pruned_at: datetime | None = None
        self.classifier: ClassifierState | None = None

    def start(self) -> None:
        """Begin; what waits from an earlier run goes out first."""
        self._submitted.set()
        self._tasks = (
            asyncio.create_task(self._send_for_ever(), name="publisher-send"),
            asyncio.create_task(self._beat_for_ever(), name="publisher-heartbeat"),
        )

    async def stop(self) -> None:
        """End both tasks; what was sent but not confirmed is sent again later, as a duplicate."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        self._pulse.close()

    def wake(self) -> None:
        """Send at once: something was submitted."""
        self._submitted.set()

    def look(self) -> None:
        """Look at the stream at once: the connection has changed."""
        self._look.set()

    def stored(self) -> None:
        """A receipt came in: if that changes the state, it is told now and not at the end of a long queue."""
        if self._relay.circuit.state is not self._state:
            self._look.set()

    def check(self) -> None:
        """Raise the fault that has ended a task, if one has."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def ended(self) -> None:
        """Wait until a task ends, which takes a fault in the program, and raise that."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.check()

    # Sending --------------------------------------------------------------------------------------------------

    async def _send_for_ever(self) -> None:
        while True:
            await _set_or_after(self._submitted, _POLL_S)
            is_known = self._submitted.is_set()
            self._submitted.clear()
            self._unsent = await self._round(is_known=is_known)
            if self._unsent is not None:
                await self._pause("sending", self._unsent)

    async def _round(self, *, is_known: bool) -> CatalystError | None:
        """Send what waits, which is looked for unless it `is_known`; why it did not work."""
        try:
            if not is_known and not await asyncio.to_thread(self._outbox.waiting):
                return None
            failure = (await self._relay.drain(timeout_s=_ROUND_S)).failure
        except CatalystError as error:
            failure = error
        if not isinstance(failure, AlreadyRunning):  # then another publisher sends these signals as well
            await self._note("sending", failure)
        return failure

    async def _pause(self, source: str, failure: CatalystError) -> None:
        self._retry.clear()
        await _set_or_after(self._retry, self._pause_s(failure))
        await self._refreshed(source, failure)

    def _pause_s(self, failure: CatalystError) -> float:
        return pause_from(failure, self._relay.circuit.pause_s(random.random()))  # noqa: S311  # jitter, not a secret

    async def _refreshed(self, source: str, failure: CatalystError | None) -> None:
        if failure is not None and needs_operator(failure):
            try:
                if await self._told.refresh():
                    self._retry.set()
            except CatalystError as error:
                await self._note(source, error)

    # The heartbeat --------------------------------------------------------------------------------------------

    async def _beat_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            self._look.clear()
            failure = await self._beat()
            due = max(clock(), due + self._heartbeat_s)
            pause_s = due - clock()
            await _set_or_after(self._look, pause_s if failure is None else min(pause_s, self._pause_s(failure)))
            if failure is not None:
                due = clock()
            # Creds may be good enough for the heartbeat, and refused for signals.
            await self._refreshed("heartbeat", failure or self._unsent)

    async def _beat(self) -> CatalystError | None:
        failure = None
        try:
            self._span = await self._relay.look(_LOOK_S)
            if await asyncio.to_thread(self._pulse.is_ours):
                heartbeat = self._pulse.next(await self._health(), await self._classifier_now())
                await self._relay.announce(HEARTBEAT_PUBLISHER, heartbeat_bytes(heartbeat))
            await self._pruned()
        except CatalystError as error:
            failure = error
        await self._note("heartbeat", failure)
        await self._exported()
        return failure

    async def _classifier_now(self) -> ClassifierState | None:
        """What this program was told of the classifier, else what the classifier's own process says."""
        if self.classifier is not None:
            return self.classifier
        path = self._outbox.path.with_name(CLASSIFIER_FILE)
        return await asyncio.to_thread(read_classifier, path, _now())

    async def _health(self) -> Health:
        waiting = await asyncio.to_thread(self._outbox.waiting)
        state = self._relay.circuit.state
        reason = "" if state is CircuitState.UP else self._reason
        return Health(state, reason, waiting, Span(self._span.first, self._relay.last_sequence))

    async def _pruned(self) -> None:
        now = _now()
        if self._span.first is None or (self._pruned_at is not None and now - self._pruned_at < _PRUNE_EVERY):
            return
        self._pruned_at = now
        await asyncio.to_thread(self._outbox.prune, before=now - _KEPT_FOR, first_sequence=self._span.first)

    # Telling --------------------------------------------------------------------------------------------------

    async def _note(self, source: str, failure: CatalystError | None) -> None:
        """Tell what is new: a damaged file that was replaced, a problem that has begun, another state."""
        for replaced in self._outbox.replaced[self._replacements_told :]:
            self._replacements_told += 1
            self._told.on_problem(replaced.error)
        if failure is None:
            self._problems.pop(source, None)
        elif failure.code not in self._problems.values() and not _is_way_down(failure):
            self._told.on_problem(failure)
        if failure is not None:
            self._problems[source] = failure.code
            self._reason = failure.message
        await self._note_state()

    async def _note_state(self) -> None:
        state = self._relay.circuit.state
        if state is self._state:
            return
        self._state = state
        with contextlib.suppress(StorageFailed):  # told by whichever task needs the file next
            health = await self._health()
            self._told.on_state(StateChange(state, health.reason, health.waiting))
        await self._exported()

    async def _exported(self) -> None:
        try:
            async with self._exporting:
                if await asyncio.to_thread(self._pulse.is_ours):
                    path = self._outbox.path.with_name(STATE_FILE)
                    await asyncio.to_thread(write_state, path, await self._health(), _now())
            self._problems.pop("state", None)
        except StorageFailed as error:
            if self._problems.get("state") != error.code:
                self._problems["state"] = error.code
                self._told.on_problem(error)


def _is_way_down(failure: CatalystError) -> bool:
    """Whether the change of state says it already."""
    return isinstance(failure, LinkError) and not needs_operator(failure)


def _now() -> datetime:
    return datetime.now(UTC)


async def _set_or_after(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
