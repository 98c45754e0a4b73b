"""The one module that knows nats-py: opens a connection, asks, publishes, subscribes, and says what went wrong.

No nats-py type leaves it. JetStream is spoken by plain requests (its API is JSON over subjects, NATS ADR-1), because
nats-py's JetStream layer hides what matters here: denied permissions look like time-outs and error acks never resolve.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
import orjson
from nats.aio.msg import Msg as NatsMessage
from nats.aio.subscription import Subscription as NatsSubscription

from signal_contract.addresses import SECURE, servers_checked
from signal_contract.broker import Client, mapped
from signal_contract.creds import Creds
from signal_contract.delivery import Delivery, Handler, LinkEvent, LinkNotice, PubAck
from signal_contract.errors import (
    BrokerRefused,
    CatalystError,
    Denied,
    LinkError,
    RequestTimedOut,
    ServerUnreachable,
    StreamMissing,
    TlsFailed,
)
from signal_contract.receipts import Receipts, raise_api_error, receipt_from
from signal_contract.trust import secure_context
from signal_contract.websocket import websocket_checked

_log = logging.getLogger("catalyst.link")

# A restarted server can refuse for a moment until its resolver is loaded; a first connection has no such excuse.
_AUTH_FAILURES_ALLOWED = 5
_CLOSE_TIMEOUT_S = 2.0


class Link:
    """One supervised connection. Reconnects for ever; ends for good when the server refuses the credentials.

    `closed` is set when it ended; `failure` then holds the reason, or None after `close()`.
    """

    def __init__(self, creds: Creds | None, on_notice: Callable[[LinkNotice], None] | None = None) -> None:
        self._nats = Client()
        self._creds = creds
        self._on_notice = on_notice or (lambda notice: None)
        self._asked: dict[str, set[asyncio.Future[Delivery]]] = {}
        self._receipts: Receipts | None = None
        self._auth_failures = 0
        self._was_up = False
        self._last_error: BaseException | None = None
        self._tls_failure: TlsFailed | None = None
        self._tls_failures = 0
        self._addresses = 1
        self._refused = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = asyncio.Event()
        self.failure: CatalystError | None = None

    @classmethod
    async def open(
        cls,
        servers: Sequence[str],
        creds: Creds | None,
        *,
        label: str,
        connect_timeout_s: float = 5.0,
        on_notice: Callable[[LinkNotice], None] | None = None,
        ca_file: Path | None = None,
        tls_name: str | None = None,
    ) -> Self:
        """Connect; `label` is the connection's name in the server's monitoring.

        The server's certificate must come from `ca_file` (None: an authority of the system) and hold the address's
        host, or `tls_name` where a tls:// server is reached by another address. Refused credentials (Denied) and wrong
        certificates (TlsFailed) end it at once, an absent server after `connect_timeout_s` (ServerUnreachable).
        """
        link = cls(creds, on_notice)
        checked = servers_checked(servers)
        link._set_up_tls(urlsplit(checked[0]).scheme, ca_file, tls_name)
        try:
            await link._connect(checked, label, connect_timeout_s)
        finally:
            if not link._was_up:  # also when the caller was cancelled: no socket is left behind
                await link.close()
        return link

    def _set_up_tls(self, scheme: str, ca_file: Path | None, tls_name: str | None) -> None:
        if scheme in ("ws", "wss"):
            websocket_checked()
        if scheme in SECURE:
            self._nats.context, self._nats.tls_name = secure_context(ca_file), tls_name

    async def _connect(self, servers: list[str], label: str, timeout_s: float) -> None:
        self._addresses = len(servers)
        # `tls://` without handshake_first would fall back to clear text against a plaintext server.
        options: dict[str, Any] = {"tls": self._nats.context, "tls_handshake_first": servers[0].startswith("tls:")}
        if self._creds is not None:
            # Not nats-py's own reading of the file: a damaged one would end its reconnecting without a word.
            options |= {
                "user_jwt_cb": self._jwt,
                "signature_cb": self._signature,
                "inbox_prefix": self._creds.inbox_prefix,
            }
        connecting = asyncio.create_task(
            self._nats.connect(
                servers,
                name=label,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds; fractions work
                connect_timeout=2,
                ping_interval=15,
                max_outstanding_pings=2,
                **options,
            ),
            name="link-connect",
        )
        refused = asyncio.create_task(self._refused.wait(), name="link-refused")
        try:
            await asyncio.wait({connecting, refused}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                self._was_up = True
                self._on_notice(
                    LinkNotice(
                        LinkEvent.CONNECTED, str(self._nats.connected_url.netloc if self._nats.connected_url else "")
                    )
                )
                return
        finally:
            refused.cancel()
            if not connecting.done():
                connecting.cancel()
            # Bounded: nats-py can hang here after a failed TLS handshake.
            await asyncio.wait({connecting, refused}, timeout=_CLOSE_TIMEOUT_S)
        raise self._why_not(connecting, servers)

    def _why_not(self, connecting: asyncio.Task[None], servers: list[str]) -> CatalystError:
        cause = None if connecting.cancelled() or not connecting.done() else connecting.exception()
        reason = self.failure or self._tls_failure or mapped(cause or self._last_error or OSError("no answer"))
        if isinstance(reason, ServerUnreachable | RequestTimedOut) or type(reason) is LinkError:
            return ServerUnreachable(f"cannot reach {', '.join(servers)}: {self._last_error or cause or 'no answer'}")
        return reason

    def _jwt(self) -> bytearray:
        return bytearray(self._creds.jwt.encode()) if self._creds is not None else bytearray()

    def _signature(self, nonce: str) -> bytes:
        return base64.b64encode(self._creds.key.sign(nonce.encode())) if self._creds is not None else b""

    # What nats-py reports -------------------------------------------------------------------------------------

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        text = str(error)
        if "permissions violation" in text.lower():
            self._deny(text)
            return
        reason = mapped(error)
        if isinstance(reason, Denied):
            self._auth_failures += 1
            if not self._was_up or self._auth_failures > _AUTH_FAILURES_ALLOWED or type(reason) is not Denied:
                self._give_up(reason)
        elif isinstance(reason, TlsFailed):
            self._distrust(reason)

    def _distrust(self, reason: TlsFailed) -> None:
        # Once it was up it may come right again (a certificate is being renewed); nothing is sent until it does.
        if self._tls_failure is None or self._tls_failure.message != reason.message:
            _log.warning("%s", reason.message)
        self._tls_failure = reason
        self._tls_failures += 1
        if not self._was_up and self._tls_failures >= self._addresses:
            self._give_up(reason)

    def _give_up(self, reason: CatalystError) -> None:
        self.failure = self.failure or reason
        self._refused.set()
        if self._was_up:
            task = asyncio.create_task(self._nats.close(), name="link-give-up")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _deny(self, text: str) -> None:
        # The server names the subject in lower case: Permissions Violation for Publish to "x" / Subscription to "x".
        found = re.search(r'"([^"]+)"', text)
        subject = found.group(1) if found else ""
        for future in self._asked.get(subject.lower(), ()):
            if not future.done():
                future.set_exception(Denied(f"the server denies these credentials {subject}"))
        if self._receipts is not None:
            self._receipts.deny(subject.lower())
        self._on_notice(LinkNotice(LinkEvent.DENIED, text.removeprefix("nats: ")))

    async def _on_closed(self) -> None:
        last = self._nats.last_error
        if self.failure is None and last is not None and not isinstance(last, nats.errors.ConnectionClosedError):
            reason = mapped(last)
            self.failure = reason if isinstance(reason, Denied) else None
        self.closed.set()
        self._on_notice(LinkNotice(LinkEvent.CLOSED, self.failure.message if self.failure else ""))

    async def _on_disconnected(self) -> None:
        self._on_notice(LinkNotice(LinkEvent.DISCONNECTED, str(self._last_error or "")))

    async def _on_reconnected(self) -> None:
        self._auth_failures, self._tls_failure = 0, None
        self._on_notice(LinkNotice(LinkEvent.RECONNECTED))

    # What we ask of it ----------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        return self._nats.is_connected

    def new_inbox(self) -> str:
        """A fresh subject below this user's own inbox."""
        return str(self._nats.new_inbox())

    async def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send without waiting for an answer; while reconnecting it is buffered."""
        try:
            await self._nats.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)
        except (nats.errors.Error, OSError) as error:
            raise mapped(error) from error

    async def request(
        self, subject: str, data: bytes = b"", *, timeout_s: float = 5.0, headers: Mapping[str, str] | None = None
    ) -> Delivery:
        """Ask and wait for one answer. Raises Denied (at once), RequestTimedOut, BrokerRefused (nobody listens)."""
        answer: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        waiting = self._asked.setdefault(subject.lower(), set())
        waiting.add(answer)
        asking = asyncio.create_task(self._ask(subject, data, timeout_s, headers, answer), name=f"ask {subject}")
        try:
            return await answer
        finally:
            asking.cancel()
            waiting.discard(answer)
            if not waiting:
                self._asked.pop(subject.lower(), None)
            # Not `await asking` with its cancellation suppressed: a cancellation of the caller would be lost with it.
            await asyncio.wait({asking})

    async def _ask(
        self,
        subject: str,
        data: bytes,
        timeout_s: float,
        headers: Mapping[str, str] | None,
        answer: asyncio.Future[Delivery],
    ) -> None:
        try:
            message = await self._nats.request(
                subject, data, timeout=timeout_s, headers=dict(headers) if headers else None
            )
        except (nats.errors.Error, OSError) as error:
            if not answer.done():
                reason = mapped(error)
                answer.set_exception(
                    RequestTimedOut(f"no answer to {subject} within {timeout_s:g} s")
                    if isinstance(reason, RequestTimedOut)
                    else reason
                )
        else:
            if not answer.done():
                answer.set_result(_delivery(message))

    async def api(
        self, subject: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = 5.0
    ) -> dict[str, Any]:
        """One JetStream API call; an error in the answer is raised: StreamMissing, DurableMissing, BrokerRefused."""
        reply = await self.request(subject, orjson.dumps(body) if body is not None else b"", timeout_s=timeout_s)
        answer = orjson.loads(reply.data)
        raise_api_error(answer)
        return dict(answer)

    async def publish_stored(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], timeout_s: float = 5.0
    ) -> PubAck:
        """Publish into a stream and wait for the receipt. Raises StreamMissing when no stream takes the subject."""
        try:
            reply = await self.request(subject, data, headers=headers, timeout_s=timeout_s)
        except BrokerRefused as error:
            raise StreamMissing(f"no stream takes {subject}") from error
        return receipt_from(reply.data)

    async def send_stored(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], timeout_s: float = 5.0
    ) -> asyncio.Future[PubAck]:
        """`publish_stored` that returns when it is sent, in the order of the calls; the future brings the receipt."""
        if self._receipts is None:
            self._receipts = Receipts(self)
        return await self._receipts.send(subject, data, headers, timeout_s)

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Call `handler` for each message, one at a time and in order. A denial is told by LinkEvent.DENIED."""

        async def on_message(message: NatsMessage) -> None:
            await handler(_delivery(message))

        try:
            return Subscription(await self._nats.subscribe(subject, cb=on_message))
        except nats.errors.Error as error:
            raise mapped(error) from error

    async def listen(self, subject: str, handler: Callable[[str, bytes, bytes], None]) -> None:
        """Call `handler` with subject, data and raw headers of each message as it arrives, until the link is closed.

        For many small answers. It must be quick, and must not raise.
        """

        async def never(_: NatsMessage) -> None:
            """Its shortcut takes all."""

        try:
            subscription = await self._nats.subscribe(subject, cb=never)
        except nats.errors.Error as error:
            raise mapped(error) from error
        self._nats.shortcuts[subscription._id] = handler

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Wait until the server has seen all that was sent."""
        try:
            await self._nats.flush(timeout=max(1, round(timeout_s)))
        except (nats.errors.Error, OSError) as error:
            raise mapped(error) from error

    async def reconnect(self, creds: Creds | None = None) -> None:
        """Connect anew, from now on with `creds` when they are given: the same user's, read from a replaced file."""
        if creds is not None:
            if self._creds is None or creds.user != self._creds.user:
                raise ValueError("a connection keeps its user")
            self._creds = creds
        await self._nats.force_reconnect()

    async def close(self) -> None:
        """End the connection; sends what is buffered. Never hangs and never raises."""
        # nats-py's close can hang while it reconnects over TLS or WebSocket, and it swallows cancellations.
        closing = asyncio.create_task(self._nats.close(), name="link-close")
        await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT_S)
        closing.cancel()
        # AttributeError: nats-py writes to a TLS transport that is gone.
        ended = (nats.errors.Error, OSError, AttributeError, asyncio.InvalidStateError, asyncio.CancelledError)
        with contextlib.suppress(*ended):
            closing.result()
        self.closed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Subscription:
    """A running subscription."""

    def __init__(self, subscription: NatsSubscription) -> None:
        self._subscription = subscription

    async def unsubscribe(self) -> None:
        with contextlib.suppress(nats.errors.Error):
            await self._subscription.unsubscribe()


@contextlib.asynccontextmanager
async def opened(servers: Sequence[str], creds: Creds | None, *, label: str, **options: Any) -> AsyncIterator[Link]:
    """`async with opened(...) as link`: connect, and close whatever happens."""
    link = await Link.open(servers, creds, label=label, **options)
    try:
        yield link
    finally:
        await link.close()


def _delivery(message: NatsMessage) -> Delivery:
    return Delivery(message.subject, message.data, message.reply, message.headers or {})
