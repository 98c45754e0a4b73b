"""The pull loop's shell: asks as `pull` says, collects what arrives, acknowledges what the journal has committed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterable

import orjson

from signal_contract import edges
from signal_contract.delivery import Delivery
from signal_contract.errors import Denied, DurableMissing, LinkError, ServerUnreachable, StreamMissing
from signal_contract.link import Link, Subscription
from signal_contract.topology import SECOND_NS, info_subject, is_own_ack, pull_subject
from subscriber_agent.receiving import pull
from subscriber_agent.receiving.pull import Pull

_log = logging.getLogger("catalyst.feed")

# A durable that is gone answers 503 or 409; a restarting server does so for a moment too.
_TROUBLE_BEFORE_ASKING = 3
_LAST_WORDS_S = 2.0
# More than the server lets go un-acknowledged: with so much in hand the journal does not keep up.
MAX_IN_HAND = 256


class Feed:
    """Delivers batches from this user's durable until it is closed or the link ends.

    Messages whose reply is not an acknowledgement on the own durable are dropped: another user could have aimed them.
    """

    def __init__(self, link: Link, user: str) -> None:
        self._link = link
        self._user = user
        self._base = link.new_inbox()
        self._generation = 0
        self._subscription: Subscription | None = None
        self._has_old_inbox = self._has_new_inbox = False
        self._state = Pull()
        self._arrived: list[Delivery] = []
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self.stray = 0

    @property
    def silent_s(self) -> float | None:
        """Seconds since the durable's last sign of life, by message or heartbeat; None before the first question."""
        return None if self._state.heard_at is None else max(0.0, self._clock() - self._state.heard_at)

    @property
    def _inbox(self) -> str:
        return f"{self._base}.{self._generation}"

    async def batches(self, *, idle_s: float) -> AsyncGenerator[list[Delivery], None]:
        """Yield what has arrived, in order, as soon as there is any; an empty batch after `idle_s` with nothing.

        Raises DurableMissing, StreamMissing, Denied, or why the link ended.
        """
        await self._listen()
        asking = asyncio.create_task(self._ask_forever(), name="feed-pull")
        # One event to wait for, however a wait ends: a task for each of them, message by message, is what takes long.
        asking.add_done_callback(lambda _: self.nudge())
        closing = asyncio.create_task(self._nudge_at_close(), name="feed-closed")
        try:
            while True:
                await self._something_or_end(asking, idle_s)
                batch, self._arrived = self._arrived, []
                self._ready.clear()
                self._wake.set()
                yield batch
        finally:
            closing.cancel()
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, LinkError):
                await asking
            await self._unlisten()

    async def _listen(self) -> None:
        self._subscription = await self._link.subscribe(f"{self._inbox}.*", self._on_message)

    async def _unlisten(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()
        self._subscription = None

    async def _change_inbox(self) -> None:
        """Leave the inbox of the last connection. The pull that it made is dead: answers to it went to that connection.

        But with anybody listening on its inbox the server takes it for alive, and sends every second message there.
        """
        await self._unlisten()
        self._generation += 1
        await self._listen()
        self._has_old_inbox, self._has_new_inbox = False, True

    async def _something_or_end(self, asking: asyncio.Task[None], idle_s: float) -> None:
        if not asking.done() and not self._link.closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle_s):
                    await self._ready.wait()
        if self._arrived:
            return
        if asking.done():
            await self._raise_end_of(asking)
        if self._link.closed.is_set():
            raise self._link.failure or LinkError("the connection was closed")

    async def _nudge_at_close(self) -> None:
        await self._link.closed.wait()
        self.nudge()

    async def _raise_end_of(self, asking: asyncio.Task[None]) -> None:
        """Raise why the asking ended. It can meet a closed connection a moment before the link knows the reason."""
        error = asking.exception()
        if isinstance(error, ServerUnreachable):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._link.closed.wait()
            raise self._link.failure or error
        asking.result()

    async def _on_message(self, message: Delivery) -> None:
        now = self._clock()
        if message.subject.startswith(f"{self._base}."):
            token = message.subject.rpartition(".")[2]
            text = message.headers.get("Description", "")
            self._state = pull.told(self._state, int(token) if token.isdigit() else -1, message.status, text, now)
            self._wake.set()
        elif is_own_ack(message.reply, self._user):
            self._state = pull.delivered(self._state, now)
            self._arrived.append(message)
            self._ready.set()
            if self._state.is_due(now):
                self._wake.set()
        else:
            self.stray += 1
            _log.warning("dropped a message on %s that does not come from the own durable", message.subject[:80])

    async def _ask_forever(self) -> None:
        """Send pulls at their time. Ends with an error only: the durable is gone, or the server denies the pull."""
        body = orjson.dumps(
            {
                "batch": pull.BATCH,
                "expires": int(pull.EXPIRES_S * SECOND_NS),
                "idle_heartbeat": int(pull.HEARTBEAT_S * SECOND_NS),
            }
        )
        subject = pull_subject(self._user)
        while True:
            self._wake.clear()
            if self._has_old_inbox:
                await self._change_inbox()
            now = self._clock()
            if self._state.is_due(now) and self._link.is_connected and len(self._arrived) < MAX_IN_HAND:
                if self._state.failures >= _TROUBLE_BEFORE_ASKING:
                    await self._ask_why()
                self._state = pull.asked(self._state, now)
                await self._link.publish(subject, body, reply=f"{self._inbox}.{self._state.token}")
            # What cannot be asked now waits for a wake-up; it is looked at again in any case.
            wait_s = min(max(self._state.due_at - self._clock(), 0.05), pull.HEARTBEAT_S)
            wait_s = pull.HEARTBEAT_S if self._state.is_held else wait_s
            # Not wait_for: up to Python 3.11 it swallows a cancellation that meets its wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _ask_why(self) -> None:
        """Tell a durable that is gone from a server that is busy; a time-out here is the latter."""
        try:
            await durable_info(self._link, self._user)
        except (Denied, DurableMissing, StreamMissing):
            raise
        except LinkError as error:
            _log.info("pull answered %s; %s", self._state.trouble, error.message)

    def on_disconnect(self) -> None:
        """Leave the inbox before it is subscribed to again on the next connection, and ask nothing until `go_on`."""
        self._has_old_inbox = True
        self._state = pull.held(self._state)
        self._wake.set()

    def on_reconnect(self) -> None:
        """The pull of the last connection is dead. Its messages come late: look at the durable, then `go_on`."""
        self._has_old_inbox = not self._has_new_inbox
        self._has_new_inbox = False
        self._state = pull.reconnected(pull.held(self._state), self._clock())
        self._wake.set()
        self.nudge()

    def nudge(self) -> None:
        """End the wait for messages: there is something else to do."""
        self._ready.set()

    def go_on(self) -> None:
        """Ask again, at once."""
        self._state = pull.let_go(self._state, self._clock())
        self._wake.set()

    async def ack(self, batch: Iterable[Delivery]) -> None:
        """Acknowledge what the journal has committed. A lost ack is a redelivery, which the journal absorbs."""
        for message in batch:
            await self._link.publish(message.reply, b"+ACK")
            edges.reached("feed.acked")

    async def terminate(self, message: Delivery, reason: str) -> None:
        """Never deliver this message again; the reason goes to the operator's advisory."""
        await self._link.publish(message.reply, f"+TERM {reason}".encode())


async def durable_info(link: Link, user: str, *, timeout_s: float = 5.0) -> dict[str, object]:
    """The state of this user's durable. Raises DurableMissing, StreamMissing, Denied, RequestTimedOut."""
    return await link.api(info_subject(user), timeout_s=timeout_s)
