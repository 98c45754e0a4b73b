"""A WebSocket as nats-py wants its transports: for friends whose network lets nothing but HTTPS out.

nats-py has one of its own, but it sets no limit to a connection attempt, cannot use a proxy, and waits for ever for the
end of a connection that never came to be. aiohttp is known here only, and imported late: few need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ssl
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import ParseResult

from signal_contract.addresses import is_loopback
from signal_contract.errors import ConfigInvalid

if TYPE_CHECKING:
    import aiohttp

_CLOSE_TIMEOUT_S = 1.0


def websocket_checked() -> None:
    """Return when WebSocket can be used, or raise ConfigInvalid: it needs aiohttp."""
    if importlib.util.find_spec("aiohttp") is None:
        raise ConfigInvalid(
            "wss:// needs the package aiohttp, which is not installed",
            hint="Run: pip install 'catalyst-signals[websocket]'",
        )


def proxy_for(host: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY) names for TLS connections to `host`; none for loopback."""
    if is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get("https")


class WebSocket:
    """One WebSocket connection at a time; may be opened again after it was closed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._pending: list[bytes] = []

    def __bool__(self) -> bool:
        return True

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        """Open in clear text; the address rules let only loopback come here."""
        await self._open(uri, None, connect_timeout)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: float
    ) -> None:
        """Open encrypted, within `connect_timeout` seconds. nats-py asks a second time by mere host name: no-op."""
        if isinstance(uri, ParseResult):
            await self._open(uri, ssl_context, connect_timeout)
        elif self.at_eof():
            raise ConnectionError("the WebSocket was closed before it was used")

    async def _open(self, uri: ParseResult, context: ssl.SSLContext | None, timeout_s: float) -> None:
        import aiohttp

        await self._discard()
        self._session = aiohttp.ClientSession()
        async with asyncio.timeout(timeout_s):
            self._socket = await self._session.ws_connect(
                uri.geturl(),
                ssl=context or False,
                proxy=proxy_for(uri.hostname or "") if context else None,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
                max_msg_size=0,
            )

    def write(self, payload: bytes) -> None:
        """Queue bytes for the next `drain`."""
        self._pending.append(bytes(payload))

    def writelines(self, payload: list[bytes]) -> None:
        """Queue several pieces."""
        self._pending.extend(bytes(each) for each in payload)

    async def drain(self) -> None:
        """Send what is queued, as one frame. Raises ConnectionError when the connection is gone."""
        if self._socket is None:
            raise ConnectionError("the WebSocket is closed")
        if self._pending:
            frame, self._pending = b"".join(self._pending), []
            await self._socket.send_bytes(frame)

    async def read(self, buffer_size: int) -> bytes:
        """The next frame's bytes; empty at the end."""
        return await self.readline()

    async def readline(self) -> bytes:
        """The next frame's bytes; empty at the end. Raises ConnectionError when the connection broke."""
        import aiohttp

        if self._socket is None:
            return b""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is aiohttp.WSMsgType.ERROR:
            raise ConnectionError("the WebSocket broke") from message.data
        return b""

    def at_eof(self) -> bool:
        """Whether nothing more can come."""
        return self._socket is None or self._socket.closed

    def close(self) -> None:
        """Forget what is queued; `wait_closed` does the rest."""
        self._pending = []

    async def wait_closed(self) -> None:
        """Say good-bye and close, within about a second."""
        await self._discard()

    async def _discard(self) -> None:
        socket, session = self._socket, self._session
        self._socket = self._session = None
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                if socket is not None:
                    await socket.close()
        if session is not None:
            await session.close()
