"""Which servers may be spoken to: the rules of their addresses. How they prove who they are is `trust`'s.

Knows no TLS, which is slow to load, and opens no connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from signal_contract.errors import ConfigInvalid, PlaintextRefused

CLEAR, SECURE = ("nats", "ws"), ("tls", "wss")


def is_loopback(host: str) -> bool:
    """Whether a host of an address is this machine for certain; other names are not resolved."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def servers_checked(servers: Sequence[str]) -> list[str]:
    """Return the addresses, or raise ConfigInvalid or PlaintextRefused (clear text beyond loopback).

    All must be of one kind: with a mixture it would depend on chance whether a connection is encrypted.
    """
    if not servers:
        raise ConfigInvalid("no server address is given")
    kinds = {_checked(server).scheme for server in servers}
    if len(kinds) > 1:
        raise ConfigInvalid(
            f"the server addresses mix {' and '.join(sorted(kinds))}", hint="Use tls:// for all of them, or wss://."
        )
    return list(servers)


def _checked(server: str) -> SplitResult:
    try:
        parts = urlsplit(server)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in (*CLEAR, *SECURE) or not parts.hostname or port == 0:
        raise ConfigInvalid(f"{server!r} is not a server address", hint="Such as tls://signals.example.org:4222")
    if parts.username or parts.password:
        raise ConfigInvalid("a server address must not hold a user or password", hint="Use a creds file.")
    if parts.scheme in CLEAR and not is_loopback(parts.hostname):
        raise PlaintextRefused(f"{server} would send everything in clear text")
    return parts
