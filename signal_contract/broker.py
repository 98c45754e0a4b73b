"""nats-py as we need it: a client that never speaks in clear text where it must not, and its errors in our words.

Beside the link the only module that knows nats-py; nothing but the link uses its client.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import ParseResult

import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.aio.transport import TcpTransport

from signal_contract.errors import (
    BrokerRefused,
    CatalystError,
    CredsExpired,
    CredsInvalid,
    CredsRevoked,
    Denied,
    LinkError,
    RequestTimedOut,
    ServerUnreachable,
)
from signal_contract.trust import tls_failure
from signal_contract.websocket import WebSocket

# A peer that is gone does not answer TLS's good-bye; asyncio would wait 30 s for it, and the reconnect with it.
_SHUTDOWN_TIMEOUT_S = 1.0
# Foreign error → our class; the first match counts, so subclasses stand before their bases.
_FOREIGN: tuple[tuple[type[BaseException], type[CatalystError]], ...] = (
    (nats.errors.AuthorizationError, Denied),
    (nats.errors.InvalidUserCredentialsError, CredsInvalid),
    (nats.errors.NoRespondersError, BrokerRefused),
    (nats.errors.MaxPayloadError, BrokerRefused),
    (nats.errors.BadSubjectError, BrokerRefused),
    (nats.js.errors.NotFoundError, BrokerRefused),
    (nats.js.errors.APIError, BrokerRefused),
    (nats.errors.TimeoutError, RequestTimedOut),
    (asyncio.TimeoutError, RequestTimedOut),
    (nats.errors.Error, ServerUnreachable),
    (OSError, ServerUnreachable),
)
_REFUSED_HINT = (
    "They may belong to another server, be revoked, or be used outside their hours or addresses. Ask the operator."
)


def mapped(error: BaseException) -> CatalystError:
    """The error of our tree for a foreign one; authentication errors are told apart by the server's words."""
    text = str(error).lower()
    if "authorization violation" in text:
        return Denied("the server refused these credentials", hint=_REFUSED_HINT)
    if "authentication expired" in text:
        return CredsExpired("the server says that these credentials have expired")
    if "authentication revoked" in text:
        return CredsRevoked("the server says that these credentials were revoked")
    tls = tls_failure(error)
    if tls is not None:
        return tls
    return kind_of(type(error))(str(error) or error.__class__.__name__)


def kind_of(foreign: type[BaseException]) -> type[CatalystError]:
    """The class of our tree that a foreign error class becomes; LinkError itself when it is on no line of the table."""
    return next((ours for theirs, ours in _FOREIGN if issubclass(foreign, theirs)), LinkError)


class TlsTransport(TcpTransport):
    """TLS from the first byte, or no connection. nats-py would open in clear text first and change over later."""

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._context, self._name = context, name

    def __bool__(self) -> bool:
        return True  # or nats-py would put its own in this one's place

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        async with asyncio.timeout(connect_timeout):
            self._io_reader, self._io_writer = await asyncio.open_connection(
                uri.hostname,
                uri.port,
                limit=buffer_size,
                ssl=self._context,
                server_hostname=self._name or uri.hostname,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_S,  # a dead peer would hold up the reconnect for 30 s
            )

    async def connect_tls(self, *_: Any, **__: Any) -> None:
        """It is encrypted already."""

    async def wait_closed(self) -> None:
        # What still arrives after our good-bye is no failure, but asyncio calls it one.
        with contextlib.suppress(OSError):
            await super().wait_closed()  # type: ignore[no-untyped-call]


class Client(NatsClient):
    """nats-py's client, corrected: it dials only what it was told, and the transports are ours.

    `shortcuts` are called with subject, data and headers of a subscription's messages (by its number) as they are
    parsed; nats-py would put each in a queue and wake a task for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.context: ssl.SSLContext | None = None
        self.tls_name: str | None = None
        self.shortcuts: dict[int, Callable[[str, bytes, bytes], None]] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        shortcut = self.shortcuts.get(sid)
        if shortcut is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            shortcut(bytes(subject).decode(), data, headers or b"")

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: dict[str, Any] | None
    ) -> None:
        # In one piece: nats-py's five passes over each header are a third of a publish. It still gets what is odd.
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) if headers else ""
        is_odd = lines.count("\n") != len(headers or "x") or lines.count("\r") != len(headers or "x")
        if is_odd or not subject:
            await super()._send_publish(subject, reply, payload, payload_size, headers)
            return
        block = f"NATS/1.0\r\n{lines}\r\n".encode()
        size = len(block)
        await self._send_command(
            b"%b%b%b\r\n" % (f"HPUB {subject} {reply} {size} {size + payload_size}\r\n".encode(), block, payload)
        )
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += payload_size
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # nats-py would add these to the addresses it reconnects to, in clear text where it came by wss://.
        told = {key: value for key, value in info.items() if key != "connect_urls"}
        await super()._process_info(told, initial_connection)

    async def _connect_to_server(self, s: Any) -> None:
        if self._transport is None and s.uri.scheme in ("ws", "wss"):
            self._transport = WebSocket()  # type: ignore[assignment]  # it has all the methods of their Transport
        if self._transport is None and s.uri.scheme == "tls" and self.context is not None:
            self._transport = TlsTransport(self.context, self.tls_name)
        await super()._connect_to_server(s)
