"""Whether a server is there at all: one TCP connection, no secrets, nothing said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import urlsplit

_CONNECT_TIMEOUT_S = 3.0
# A proxy takes every connection and drops it at once when nobody stands behind it.
_DROPPED_WITHIN_S = 1.0
_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_NATS_PORT = 4222


async def is_away(servers: Sequence[str]) -> bool:
    """True when none of the addresses takes a connection and keeps it, within a few seconds each."""
    answers = await asyncio.gather(*(_takes_connections(each) for each in servers))
    return not any(answers)


async def _takes_connections(address: str) -> bool:
    parts = urlsplit(address)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, _NATS_PORT)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, UnicodeError):  # TimeoutError is an OSError; a host name that cannot be one is a UnicodeError
        return False
    try:
        return await _is_kept(reader)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await writer.wait_closed()


async def _is_kept(reader: asyncio.StreamReader) -> bool:
    """Bytes, or silence (a server that waits for the TLS handshake), and no end."""
    try:
        async with asyncio.timeout(_DROPPED_WITHIN_S):
            return bool(await reader.read(1))
    except TimeoutError:
        return True
    except OSError:
        return False
