"""Where orders are posted: which addresses are accepted, and how one is shown without its secrets. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from signal_contract.errors import EngineUnusable


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address. `url` may hold a token, so it is never shown; `shown` is what logs and errors say."""

    url: str = field(repr=False)
    shown: str


def address_from(text: str, *, is_secret: bool) -> Address:
    """Check an address; raises EngineUnusable, without repeating what may be secret.

    `is_secret`: it comes from a 0600 file, so it may carry a token; one in the config may carry neither name,
    password nor query.
    """
    parts = _split(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise EngineUnusable("engine.webhook: the address must look like https://host/path")
    shown = f"{parts.scheme}://{_host(parts)}/…"
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise EngineUnusable(
            f"engine.webhook: {shown} is clear text, and orders would be read and changed on the way",
            hint="Use https://. Clear text is accepted for this machine only (127.0.0.1, localhost).",
        )
    if not is_secret and (parts.username or parts.password or parts.query):
        raise EngineUnusable(
            f"engine.webhook: the address {shown} carries a name, a password or a query",
            hint="Put it into a file of mode 0600 and name that in engine.webhook.url_file.",
        )
    return Address(text, shown)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises for what is no port
    except ValueError:
        raise EngineUnusable("engine.webhook: the address is not one: https://host/path is expected") from None
    if not text.isprintable() or any(each.isspace() for each in text) or parts.fragment:
        raise EngineUnusable("engine.webhook: the address holds blanks, control characters or a part after #")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
