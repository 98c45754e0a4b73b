"""How the server is to run: what `catalyst init` and `catalyst up` were told, kept in `<data>/settings.json`.

Knows no server and no certificate; it holds no secrets.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson

from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import ConfigInvalid, StorageFailed

DEFAULT_PORT = 4222
DEFAULT_STORE_BYTES = 4 << 30
RANDOM_PORT = -1
_STREAM_BYTES = 1 << 30
_FEEDBACK_BYTES = 256 << 20
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104  # only behind TLS, see `listen_host`
# Never kept: which binary runs is this machine's affair, a random port is this run's.
_NOT_KEPT = frozenset({"nats_server"})


@dataclass(frozen=True, slots=True)
class UpSettings:
    """How to run the server. Port -1 takes a random one, 0 turns monitoring or WebSocket off; bytes for the store.

    `tls_hosts` are the names in the certificate of our own CA; `cert` and `key` replace it by the operator's files,
    whose issuer is `ca` (None: one that every system trusts). `public` are the addresses that friends are told.
    `metrics` is where metrics are shown, such as `127.0.0.1:9464`; None and `off`: nowhere.
    """

    host: str | None = None
    port: int = DEFAULT_PORT
    monitor_port: int = 0
    nats_server: Path | None = None
    max_store_bytes: int = DEFAULT_STORE_BYTES
    tls_hosts: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    wss_port: int = 0
    public: tuple[str, ...] = ()
    encrypt: bool = False
    metrics: str | None = None

    @property
    def has_tls(self) -> bool:
        return bool(self.tls_hosts) or self.cert is not None

    @property
    def listen_host(self) -> str:
        """As told; else everywhere when TLS names a host that is not this machine itself, else loopback."""
        if self.host is not None:
            return self.host
        return _EVERYWHERE if any(not is_local(name) for name in self.tls_hosts) else _LOOPBACK

    @property
    def stream_bytes(self) -> int:
        # The rest of a small store is room for the audit log, reports, durables and what comes later.
        return min(_STREAM_BYTES, self.max_store_bytes * 3 // 8)

    @property
    def feedback_bytes(self) -> int:
        return min(_FEEDBACK_BYTES, self.max_store_bytes // 16)


def is_local(host: str) -> bool:
    """Whether a host name or address means this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_port(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def hosts_from(text: str) -> tuple[str, ...]:
    """`a.example.org,192.0.2.7` → the names, each once and in order; raises ConfigInvalid naming every wrong one."""
    hosts = tuple(dict.fromkeys(each.strip().lower().strip("[]") for each in text.split(",") if each.strip()))
    wrong = tuple(f"{each!r}: a host name or IP address" for each in hosts if not _is_host(each))
    if wrong or not hosts:
        raise ConfigInvalid(
            "the TLS host names cannot be used",
            violations=wrong or ("no name is given",),
            hint="Such as --tls signals.example.org,192.0.2.7; for this machine alone: --tls localhost.",
        )
    return hosts


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.split(".")
        fits = all(0 < len(label) <= 63 and not label.startswith("-") and not label.endswith("-") for label in labels)
        allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
        # A name of digits alone is a mistyped address.
        return len(text) <= 253 and fits and all(set(label) <= allowed for label in labels) and not labels[-1].isdigit()
    return True


def checked(settings: UpSettings) -> UpSettings:
    """Return the settings, or raise ConfigInvalid with every contradiction in them."""
    wrong = []
    if (settings.cert is None) is not (settings.key is None):
        wrong.append("--cert and --key: both or neither")
    if settings.ca is not None and settings.cert is None:
        wrong.append("--ca: only together with --cert and --key")
    if settings.wss_port and not settings.has_tls:
        wrong.append("--wss-port: WebSocket is offered with TLS only (--tls HOST)")
    if wrong:
        raise ConfigInvalid("the server's settings contradict each other", violations=tuple(wrong))
    return settings


def keep_settings(desk: Desk, settings: UpSettings) -> None:
    """Write the settings down for the next start; a random port is left out. Raises StorageFailed."""
    kept = replace(settings, port=DEFAULT_PORT) if settings.port == RANDOM_PORT else settings
    document = {key: value for key, value in asdict(kept).items() if key not in _NOT_KEPT}
    text = orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2).decode() + "\n"
    try:
        if not desk.settings_json.exists() or desk.settings_json.read_text(encoding="utf-8") != text:
            write_secret(desk.settings_json, text)
    except OSError as error:
        raise StorageFailed(f"cannot write {desk.settings_json}: {error.strerror or error}") from error


def kept_settings(desk: Desk) -> UpSettings:
    """The settings of last time, the defaults when there are none; raises ConfigInvalid for a damaged file."""
    try:
        document = orjson.loads(desk.settings_json.read_bytes())
        return checked(_settings_from(document))
    except FileNotFoundError:
        return UpSettings()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigInvalid(
            f"{desk.settings_json} cannot be used: {error}", hint="Correct it, or remove it and give the flags again."
        ) from error


_TEXT, _NUMBER, _PATH, _LIST = "a text", "a whole number", "a path", "a list of texts"
_KINDS = {
    "host": _TEXT, "port": _NUMBER, "monitor_port": _NUMBER, "max_store_bytes": _NUMBER, "tls_hosts": _LIST,
    "cert": _PATH, "key": _PATH, "ca": _PATH, "wss_port": _NUMBER, "public": _LIST, "encrypt": "true or false",
    "metrics": _TEXT,
}  # fmt: skip


def _settings_from(document: Any) -> UpSettings:
    known = {each.name for each in fields(UpSettings)} - _NOT_KEPT
    unknown = sorted(set(document) - known)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: not a setting")
    return UpSettings(**{key: _value(key, value) for key, value in document.items()})


def _value(key: str, value: Any) -> Any:
    kind = _KINDS[key]
    if value is None and kind in (_TEXT, _PATH):
        return None
    if kind in (_TEXT, _PATH) and isinstance(value, str):
        return Path(value) if kind is _PATH else value
    if kind is _NUMBER and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is _LIST and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if key == "encrypt" and isinstance(value, bool):
        return value
    raise ValueError(f"{key}: {kind} is needed")
