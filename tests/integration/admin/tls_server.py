"""A TLS server of the operator in this process, and strangers that only pretend to be one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from signal_admin.desk import make_desk
from signal_admin.settings import UpSettings
from signal_admin.tls import Certificate, _make_server, prepared
from signal_admin.up import Up, brought_up
from signal_admin.users import add_user, entitlement_from
from signal_contract.creds import read_creds
from signal_contract.delivery import LinkNotice
from signal_contract.link import Link


@dataclass
class SecureOperator:
    """`catalyst up` with TLS; links through it check the CA of its own desk."""

    up: Up
    said: list[str]
    links: list[Link] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.up.desk.root

    @property
    def ca(self) -> Path:
        return self.up.desk.tls / "ca.pem"

    def url(self, kind: str = "tls") -> str:
        url = self.up.running.wss_url if kind == "wss" else self.up.running.url
        assert url is not None
        return url

    async def add_user(self, name: str, filters: list[str]) -> Path:
        made = await add_user(self.up.desk, name, entitlement_from([], filters), now=datetime.now(UTC))
        return made.config

    def creds_path(self, name: str) -> Path:
        own = self.up.desk.role_creds(name)
        return own if own.exists() else self.data / "users" / name / f"{name}.creds"

    async def link(self, name: str, kind: str = "tls", on_notice=None, **more) -> Link:
        creds = read_creds(self.creds_path(name))
        options = {"ca_file": self.ca, "on_notice": on_notice} | more
        link = await Link.open([self.url(kind)], creds, label="test", **options)
        self.links.append(link)
        return link


@asynccontextmanager
async def secure_operator(data: Path, **more) -> AsyncIterator[SecureOperator]:
    """Bring it up on random ports, with TLS for localhost and WebSocket unless told otherwise."""
    wanted = {"port": -1, "tls_hosts": ("localhost",), "wss_port": -1} | more
    said: list[str] = []
    async with brought_up(data, UpSettings(**wanted), said.append) as up:
        operator = SecureOperator(up, said)
        try:
            yield operator
        finally:
            for link in operator.links:
                await link.close()


def certificate_of(folder: Path, now: datetime, hosts: tuple[str, ...] = ("localhost",)) -> Certificate:
    """A CA and a server certificate in a folder of their own, as they would have been made at `now`."""
    made = prepared(make_desk(folder), UpSettings(tls_hosts=hosts), now)
    assert made is not None
    return made


def bought_certificate(folder: Path, *names: str) -> Certificate:
    """A certificate as one buys it: it names the public host, and not this machine."""
    desk = make_desk(folder)
    ca = certificate_of(folder, datetime.now(UTC)).ca
    assert ca is not None
    _make_server(desk, x509.load_pem_x509_certificate(ca.read_bytes()), names, datetime.now(UTC))
    bought = prepared(
        desk, UpSettings(cert=desk.tls / "server.pem", key=desk.tls / "server.key", ca=ca), datetime.now(UTC)
    )
    assert bought is not None
    return bought


@dataclass
class Stranger:
    """Listens, greets like a NATS server, and keeps whatever it is sent."""

    port: int
    received: bytearray


@asynccontextmanager
async def stranger(certificate: Certificate | None = None) -> AsyncIterator[Stranger]:
    """A server that is not ours: in clear text, or with this certificate."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
    received = bytearray()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b'INFO {"server_id":"X","auth_required":true,"nonce":"abc","max_payload":1000}\r\n')
            await writer.drain()
            while data := await reader.read(4096):
                received.extend(data)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    try:
        yield Stranger(server.sockets[0].getsockname()[1], received)
    finally:
        server.close()


def quiet(notices: list[LinkNotice]) -> bool:
    """Whether nothing happened to a connection but that it was made."""
    return [each.event.value for each in notices] in ([], ["connected"])
