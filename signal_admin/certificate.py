"""Looks after the certificate of a server that may be running: renews it, has the server read it, sees that it did."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from signal_admin.audit import record
from signal_admin.desk import Desk, ServerRecord
from signal_admin.dial import dial
from signal_admin.server.orphan import orphan_of
from signal_admin.server.process import reload_asked, served_certificate
from signal_admin.settings import UpSettings, kept_settings
from signal_admin.tls import Certificate, prepared
from signal_contract.errors import CatalystError, Denied, NotFound, ServerConfigRefused
from signal_contract.link import Link
from signal_contract.permissions import RoleName

_RELOAD_TIMEOUT_S, _POLL_S = 5.0, 0.05
# It is renewed 30 days before its end; the operator's own files may be replaced at any time.
_LOOK_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Renewal:
    """The certificate on disk, the fingerprint of the one before, and whether a running server shows it by now."""

    certificate: Certificate
    before: str
    is_served: bool


def certificate_now(desk: Desk, now: datetime) -> Certificate:
    """The certificate on disk, made when it is missing; raises NotFound when this server has no TLS."""
    found = prepared(desk, kept_settings(desk), now)
    if found is None:
        raise NotFound(f"the server of {desk.root} has no TLS", hint="Give it a certificate: catalyst up --tls HOST")
    return found


async def is_served(desk: Desk, certificate: Certificate) -> bool | None:
    """Whether the running server shows this certificate; None when no TLS server is running."""
    found = desk.server_record()
    return await _shows(found, certificate) if found is not None else None


async def _shows(found: ServerRecord, certificate: Certificate) -> bool | None:
    address = urlsplit(found.url)
    der = await served_certificate(address.hostname or "", address.port or 0)
    return hashlib.sha256(der).hexdigest() == certificate.fingerprint if der is not None else None


async def renewed(desk: Desk, now: datetime) -> Renewal:
    """Make the next certificate of our own CA, or read the operator's files again, and have the server use it.

    Raises NotFound without TLS, ConfigInvalid for files that cannot be used, ServerConfigRefused when the server goes
    on showing the old one for 5 s.
    """
    before = certificate_now(desk, now).fingerprint
    settings = kept_settings(desk)
    certificate = prepared(desk, settings, now, renew=True) or certificate_now(desk, now)
    found = desk.server_record()
    running = found is not None and orphan_of(desk.nats_pid, desk.server_conf) == found.nats_pid
    if found is None or not running:
        await _audited(None, desk, before, certificate)
        return Renewal(certificate, before, is_served=False)
    reload_asked(found.nats_pid)
    try:
        async with asyncio.timeout(_RELOAD_TIMEOUT_S):
            while not await _is_settled(desk, found, certificate, before):  # noqa: ASYNC110  # another process
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise ServerConfigRefused(
            "the running server did not take the new certificate", hint=f"Its reason is in {desk.server_log}."
        ) from error
    return Renewal(certificate, before, is_served=True)


async def keep_certificate(
    desk: Desk,
    settings: UpSettings,
    certificate: Certificate,
    reload: Callable[[], None],
    say: Callable[[str], None],
    *,
    every_s: float = _LOOK_EVERY_S,
) -> None:
    """Renew the certificate in time and have the server read a changed one, for as long as it runs."""
    used = certificate.fingerprint
    while True:
        await asyncio.sleep(every_s)
        try:
            found = prepared(desk, settings, datetime.now(UTC))
            if found is None or found.fingerprint == used:
                continue
            reload()
        except CatalystError as error:
            say(f"the TLS certificate could not be looked after: {error.message}")
            continue
        used = found.fingerprint
        say(f"the server uses a new TLS certificate, valid until {found.not_after:%Y-%m-%d}; connections stay")


async def _audited(link: Link | None, desk: Desk, before: str, certificate: Certificate) -> None:
    after = certificate.fingerprint
    await record(link, desk, action="tls renew", target="server", before=before, after=after)


async def _is_settled(desk: Desk, found: ServerRecord, certificate: Certificate, before: str) -> bool:
    """Whether the server shows the certificate and lets us in, and the audit log knows of it.

    nats-server refuses log-ins for some 10 ms while it reloads its accounts; open connections do not notice.
    """
    if not await _shows(found, certificate):
        return False
    try:
        async with dial(desk, RoleName.ADMIN, "catalyst-tls") as link:
            await _audited(link, desk, before, certificate)
    except Denied:
        return False
    return True
