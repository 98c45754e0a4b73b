"""Renders nats-server's configuration from the template. Pure: settings in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from textwrap import indent

from signal_contract.errors import ConfigInvalid

TEMPLATE_NAME = "nats/embedded.conf"
RANDOM_PORT = -1
# nats-server reads the store's key from this variable of its environment; the configuration file holds its name only.
STORE_KEY_VARIABLE = "CATALYST_STORE_KEY"
_TLS_TIMEOUT_S = 5  # the default of 2 s is short for a far-away friend
MIN_STORE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's certificate (with its chain) and private key."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All that the template needs. Ports 1..65535, -1 for a random one; `monitor_port` and `wss_port` 0 for none."""

    host: str
    port: int
    monitor_port: int
    server_name: str
    max_store_bytes: int
    store_dir: Path
    resolver_dir: Path
    ports_dir: Path
    pid_file: Path
    log_file: Path
    operator_jwt: str
    system_account: str
    accounts: Mapping[str, str]  # public key → JWT
    tls: TlsFiles | None = None
    wss_port: int = 0
    is_encrypted: bool = False


def quoted(text: str) -> str:
    """A string of nats-server's configuration language. Backslashes and quotes are escaped; control characters refused.

    JSON's string form is the same one, but for the code-point escapes that nats-server does not know.
    """
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ConfigInvalid(f"{text!r} holds a control character, which nats-server's configuration cannot express")
    return json.dumps(text, ensure_ascii=False)


def bytes_from(text: str) -> int:
    """`512MB`, `4GB`, `1TB` (powers of 1024) or plain bytes; raises ConfigInvalid."""
    found = re.fullmatch(r"(\d{1,15}) ?([KMGT]?)B?", text.strip(), re.ASCII | re.IGNORECASE)
    if found is None:
        raise ConfigInvalid(f"{text[:20]!r} is not a size", hint="Such as 512MB or 4GB.")
    return int(found[1]) << (10 * " KMGT".index(found[2].upper() or " "))


def _is_port(port: int, *, may_be_off: bool) -> bool:
    return port == RANDOM_PORT or 1 <= port <= 65535 or (may_be_off and port == 0)


def _wrong_ports(config: ServerConfig) -> list[str]:
    wrong = []
    if not _is_port(config.port, may_be_off=False):
        wrong.append(f"port {config.port}: 1 to 65535, or -1 for a random one")
    for name, port in (("monitor port", config.monitor_port), ("WebSocket port", config.wss_port)):
        if not _is_port(port, may_be_off=True):
            wrong.append(f"{name} {port}: 1 to 65535, or 0 for none")
    taken = [port for port in (config.port, config.monitor_port, config.wss_port) if port > 0]
    if len(set(taken)) < len(taken):
        wrong.append(f"port, monitor port and WebSocket port must differ: {', '.join(map(str, taken))}")
    if config.wss_port and config.tls is None:
        wrong.append("WebSocket is offered with TLS only")
    return wrong


def checked(config: ServerConfig) -> ServerConfig:
    """Return the settings, or raise ConfigInvalid naming every one that is out of range."""
    wrong = _wrong_ports(config)
    if config.max_store_bytes < MIN_STORE_BYTES:
        wrong.append(f"max store {config.max_store_bytes} bytes: at least {MIN_STORE_BYTES} (64 MB)")
    if not config.host or any(character.isspace() for character in config.host):
        wrong.append(f"host {config.host!r}: an address or host name")
    if wrong:
        raise ConfigInvalid("the server's settings cannot be used", violations=tuple(wrong))
    return config


def _listen(host: str, port: int) -> str:
    return quoted(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _tls(files: TlsFiles, *more: str) -> str:
    lines = (
        f"cert_file: {quoted(str(files.cert))}",
        f"key_file: {quoted(str(files.key))}",
        'min_version: "1.3"',
        f"timeout: {_TLS_TIMEOUT_S}",
        *more,
    )
    return "tls {\n" + "".join(f"  {line}\n" for line in lines) + "}"


def _websocket(config: ServerConfig) -> str:
    if not config.wss_port or config.tls is None:
        return "# no WebSocket"
    block = f"listen: {_listen(config.host, config.wss_port)}\ncompression: true\n{_tls(config.tls)}"
    return "websocket {\n" + indent(block, "  ") + "\n}"


def rendered(template: str, config: ServerConfig) -> str:
    """The configuration file's text; raises ConfigInvalid."""
    checked(config)
    preload = "\n".join(f"  {quoted(key)}: {quoted(jwt)}" for key, jwt in config.accounts.items())
    # Monitoring has no authentication: it listens on loopback whatever the host is.
    http = f"http: {_listen('127.0.0.1', config.monitor_port)}" if config.monitor_port else "# no monitoring port"
    return Template(template).substitute(
        listen=_listen(config.host, config.port),
        http=http,
        # handshake_first: no byte in clear text, and a client that expects some cannot be lured into sending.
        tls=_tls(config.tls, "handshake_first: true") if config.tls else "# no TLS",
        websocket=_websocket(config),
        encryption=f"cipher: chachapoly\n  key: ${STORE_KEY_VARIABLE}" if config.is_encrypted else "# not encrypted",
        server_name=quoted(config.server_name),
        pid_file=quoted(str(config.pid_file)),
        ports_dir=quoted(str(config.ports_dir)),
        log_file=quoted(str(config.log_file)),
        store_dir=quoted(str(config.store_dir)),
        resolver_dir=quoted(str(config.resolver_dir)),
        max_file_store=str(config.max_store_bytes),
        operator_jwt=quoted(config.operator_jwt),
        system_account=quoted(config.system_account),
        preload=preload,
    )
