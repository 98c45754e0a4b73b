"""The other side of the webhook: one POST, one bounded reply. The only module here that knows aiohttp.

Texts of aiohttp's errors can hold the address and so its token: none of them is passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.webhook.address import Address
from subscriber_agent.engines.wire import MAX_BYTES

if TYPE_CHECKING:
    import aiohttp

_CONNECT_S = 3
# Servers close idle connections after five seconds and more: an order must not go into one that is just being closed.
_IDLE_S = 4
_MOST_CONNECTIONS = 8
_PAUSES_S = (0.1, 0.4)
_PASSING = frozenset({408, 425, 429})
_HEADERS = {
    "Content-Type": "application/json",
    # Packed answers could be bombs, and ours are short.
    "Accept-Encoding": "identity",
    "User-Agent": "catalyst-signals",
}


class ReceiverSilent(Exception):
    """The receiver gave no usable reply. `was_sent` False: it is certain that nothing reached it."""

    def __init__(self, text: str, *, was_sent: bool = True) -> None:
        super().__init__(text)
        self.was_sent = was_sent


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the HTTP status, and up to 1 MB of body."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        return self.status >= 500 or self.status in _PASSING


class Receiver:
    """Posts to one address. `open()` before the first request and `close()` after the last, in a running loop."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    @property
    def shown(self) -> str:
        """The address as it may be shown."""
        return self._address.shown

    def open(self) -> None:
        """Make ready; no connection is made yet."""
        if self._session is not None:
            return
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, keepalive_timeout=_IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),  # the whole is limited by us
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=_HEADERS,
        )

    async def close(self) -> None:
        """Let go of all connections; what is under way fails."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post once. Raises ReceiverSilent without a whole reply; redirects are replies and are not followed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._posted(body, headers)
        except TimeoutError:
            raise ReceiverSilent(self._too_late) from None

    async def ask(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post what orders nothing: up to three times within the time limit while the trouble may pass."""
        try:
            async with asyncio.timeout(self._timeout_s):
                for pause_s in _PAUSES_S:
                    with contextlib.suppress(ReceiverSilent):
                        reply = await self._posted(body, headers)
                        if not reply.is_passing:
                            return reply
                    await asyncio.sleep(pause_s)
                return await self._posted(body, headers)
        except TimeoutError:
            raise ReceiverSilent(self._too_late) from None

    @property
    def _too_late(self) -> str:
        return f"no answer from {self.shown} within {self._timeout_s:g} s"

    async def _posted(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        if self._session is None:
            raise ReceiverSilent(f"the connection to {self.shown} is not open", was_sent=False)
        import aiohttp

        try:
            async with self._session.post(
                self._address.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return Reply(response.status, await self._limited(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            # These come from the making of the connection only: not one byte of the request has gone out.
            text = f"no connection to {self.shown}: {_why(error)}"
            raise ReceiverSilent(text, was_sent=False) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ReceiverSilent(f"the connection to {self.shown} was lost: {type(error).__name__}") from None

    async def _limited(self, response: aiohttp.ClientResponse) -> bytes:
        found = bytearray()
        async for part in response.content.iter_any():
            found += part
            if len(found) > MAX_BYTES:
                raise ReceiverSilent(f"the answer of {self.shown} is longer than {MAX_BYTES} bytes")
        return bytes(found)


def library_checked() -> None:
    """Raises EngineUnusable when aiohttp is not installed."""
    try:
        import aiohttp  # noqa: F401
    except ModuleNotFoundError as error:
        raise EngineUnusable(
            "engine.webhook needs aiohttp, which is not installed",
            hint='Run: pip install "catalyst-signals[webhook]"',
        ) from error


def _why(error: Exception) -> str:
    """The cause without the address: the class says enough, and the system's own word where there is one."""
    name = type(error).__name__
    if "Certificate" in name or "SSL" in name:
        return "its certificate is not accepted"
    if "DNS" in name:
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "nobody answers there"
    reason = getattr(getattr(error, "os_error", None), "strerror", None)
    return "the connection was refused" if not reason or "Connect call failed" in reason else str(reason)[:80]
