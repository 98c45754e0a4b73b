"""Looks at the way to a server, step by step and without logging in: name, port, certificate, greeting.

Opens connections; what is measured is judged in `judging`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from signal_contract.addresses import SECURE
from signal_contract.doctor.examine import aside
from signal_contract.errors import CatalystError
from signal_contract.trust import secure_context, tls_failure
from signal_contract.websocket import proxy_for

_STEP_S = 2.0
_MAX_GREETING_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """One address to be looked at; `name` is what its certificate must hold (None: the host)."""

    url: str
    scheme: str
    host: str
    port: int
    name: str | None = None

    @property
    def proxy(self) -> str | None:
        """The proxy that the connection goes through; then the way to the server is the proxy's affair."""
        return proxy_for(self.host) if self.scheme == "wss" else None


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at one server found. `trouble` is empty when it went well."""

    server: Server
    trouble: str = ""
    addresses: tuple[str, ...] = ()
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Greeted:
    """The TLS session and the server's first word. `failure` is why there was none, `is_tls_failure` whose fault.

    `version` is None where nothing greets before the log-in (WebSocket).
    """

    server: Server
    failure: CatalystError | None = None
    protocol: str = ""
    ends_at: datetime | None = None
    version: str | None = None
    greeting: str = ""


def servers_from(urls: Sequence[str], name: str | None = None) -> tuple[Server, ...]:
    """The addresses in parts; they were checked before (`trust.servers_checked`)."""
    return tuple(_server(url, name) for url in urls)


def _server(url: str, name: str | None) -> Server:
    parts = urlsplit(url)
    usual = {"ws": 80, "wss": 443}.get(parts.scheme, 4222)
    return Server(url, parts.scheme, parts.hostname or "", parts.port or usual, name)


async def resolved(servers: Sequence[Server]) -> tuple[Looked, ...]:
    """Look up each name, all at once."""
    return tuple(await asyncio.gather(*map(_resolved, servers)))


async def _resolved(server: Server) -> Looked:
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(_STEP_S):
            found = await aside(lambda: socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM))
    except TimeoutError:
        return Looked(server, f"no answer for {server.host} within {_STEP_S:g} s")
    except (OSError, ValueError) as error:
        return Looked(server, f"{server.host}: {getattr(error, 'strerror', None) or error}")
    took_s = asyncio.get_running_loop().time() - started
    return Looked(server, addresses=tuple(dict.fromkeys(str(each[4][0]) for each in found)), took_s=took_s)


async def dialled(looked: Sequence[Looked]) -> tuple[Looked, ...]:
    """Open and close a TCP connection to each server whose name is known."""
    return tuple(await asyncio.gather(*map(_dialled, looked)))


async def _dialled(looked: Looked) -> Looked:
    server = looked.server
    trouble = "it has no address"
    for address in looked.addresses:
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_STEP_S / len(looked.addresses)):
                _, writer = await asyncio.open_connection(address, server.port)
        except TimeoutError:
            trouble = f"no answer from {server.host}:{server.port}"
        except OSError as error:
            is_refused = isinstance(error, ConnectionRefusedError)
            why = "refused: nothing listens there" if is_refused else (error.strerror or str(error))
            trouble = f"{server.host}:{server.port} {why}"
        else:
            took_s = asyncio.get_running_loop().time() - started
            await _closed(writer)
            return Looked(server, addresses=(address,), took_s=took_s)
    return Looked(server, trouble)


async def greeted(looked: Sequence[Looked], ca_file: Path | None) -> tuple[Greeted, ...]:
    """Make TLS where the address asks for it, and read the greeting, from each server that takes a connection."""
    return tuple(await asyncio.gather(*(_greeted(each, ca_file) for each in looked if not each.trouble)))


async def _greeted(looked: Looked, ca_file: Path | None) -> Greeted:
    server = looked.server
    try:
        context = secure_context(ca_file) if server.scheme in SECURE else None
    except CatalystError as error:
        return Greeted(server, error)
    name = (server.name or server.host) if context is not None else None
    protocol, ends_at = "", None
    try:
        async with asyncio.timeout(_STEP_S):
            reader, writer = await asyncio.open_connection(
                looked.addresses[0], server.port, ssl=context, server_hostname=name, limit=_MAX_GREETING_BYTES
            )
            try:
                protocol, ends_at = _session(writer)
                line = "" if server.scheme in ("ws", "wss") else await _line(reader)
            finally:
                await _closed(writer)
    except (OSError, TimeoutError) as error:
        if isinstance(error, TimeoutError):
            return Greeted(server, None, protocol, ends_at, greeting="nothing within 2 s")
        return Greeted(server, tls_failure(error), protocol, ends_at, greeting=error.strerror or str(error))
    return Greeted(server, None, protocol, ends_at, version_from(line), line[:80])


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readline()).decode("utf-8", errors="replace").strip()
    except ValueError:  # longer than any greeting
        return ""


def _session(writer: asyncio.StreamWriter) -> tuple[str, datetime | None]:
    session = writer.get_extra_info("ssl_object")
    if session is None:
        return "", None
    shown = session.getpeercert() or {}
    end = shown.get("notAfter")
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if isinstance(end, str) else None
    return str(session.version()), ends_at


def version_from(line: str) -> str | None:
    """The version in a server's greeting (`INFO {…}`), or None when it is none. Pure."""
    if not line.startswith("INFO "):
        return None
    try:
        said = orjson.loads(line[5:])
    except orjson.JSONDecodeError:
        return None
    found = said.get("version") if isinstance(said, dict) else None
    return found[:40] if isinstance(found, str) and found.isprintable() else ""


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.5):
            await writer.wait_closed()
