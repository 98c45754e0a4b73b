"""Options of `catalyst up` and `catalyst init` that say how the server is reached and kept, and how they are merged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from signal_admin.settings import UpSettings

HostOption = Annotated[
    str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1; with --tls HOST everywhere")
]
PortOption = Annotated[int | None, typer.Option(help="Port to listen on; -1 takes a random one.", show_default="4222")]
MonitorPortOption = Annotated[
    int | None, typer.Option(help="nats-server's monitoring on 127.0.0.1; 0 is off.", show_default="0")
]
NatsServerOption = Annotated[
    Path | None, typer.Option(help="The nats-server to run.", show_default="the installed one")
]
MaxStoreOption = Annotated[
    str | None, typer.Option(help="Disk space the server may use, such as 512MB.", show_default="4GB")
]
TlsOption = Annotated[
    str | None,
    typer.Option(
        "--tls",
        metavar="HOST[,HOST…]",
        help="Encrypt with a certificate of your own CA for these names; friends reach it there.",
    ),
]
NoTlsOption = Annotated[bool, typer.Option("--no-tls", help="Back to clear text, for this machine alone.")]
CertOption = Annotated[Path | None, typer.Option(help="Your own certificate (PEM, with its chain) instead.")]
KeyOption = Annotated[Path | None, typer.Option(help="The private key of --cert.")]
CaOption = Annotated[
    Path | None, typer.Option(help="The CA of --cert, for friends; leave it out for one that every system trusts.")
]
WssPortOption = Annotated[
    int | None, typer.Option(help="Offer WebSocket (wss) on this port too; 0 is off.", show_default="0")
]
PublicOption = Annotated[
    list[str] | None,
    typer.Option(help="Address that friends are told, such as tls://signals.example.org:4222; may be repeated."),
]
EncryptOption = Annotated[
    bool, typer.Option("--encrypt", help="Encrypt the stream on disk; cannot be undone. Key: CATALYST_STORE_KEY.")
]


MetricsOption = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", help="Show metrics for Prometheus there; off ends it."),
]


@dataclass(frozen=True, slots=True)
class ServingFlags:
    """The flags as given; None and False mean: as it was."""

    host: str | None = None
    port: int | None = None
    monitor_port: int | None = None
    nats_server: Path | None = None
    max_store: str | None = None
    tls: str | None = None
    no_tls: bool = False
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    wss_port: int | None = None
    public: list[str] | None = None
    encrypt: bool = False
    metrics: str | None = None


def settings_with(data: Path | None, flags: ServingFlags) -> UpSettings:
    """The settings of last time with the flags laid over them; raises ConfigInvalid."""
    from dataclasses import replace

    from signal_admin.desk import Desk, data_directory
    from signal_admin.settings import checked, kept_settings

    kept = kept_settings(Desk(data_directory(data)))
    return checked(replace(kept, **_numbers(flags), **_security(flags)))


def _numbers(flags: ServingFlags) -> dict[str, Any]:
    from signal_admin.server.config import bytes_from

    told: dict[str, Any] = {
        "host": flags.host,
        "port": flags.port,
        "monitor_port": flags.monitor_port,
        "nats_server": flags.nats_server,
        "max_store_bytes": bytes_from(flags.max_store) if flags.max_store is not None else None,
        "wss_port": flags.wss_port,
        "encrypt": True if flags.encrypt else None,
        "metrics": flags.metrics,
    }
    return {name: value for name, value in told.items() if value is not None}


def _security(flags: ServingFlags) -> dict[str, Any]:
    from signal_admin.settings import hosts_from
    from signal_contract.addresses import servers_checked
    from signal_contract.errors import ConfigInvalid

    told: dict[str, Any] = {}
    if flags.public is not None:
        for address in flags.public:
            servers_checked([address])
        told["public"] = tuple(flags.public)
    if flags.no_tls:
        if flags.tls or flags.cert or flags.key or flags.ca:
            raise ConfigInvalid("--no-tls contradicts the other TLS options")
        return told | {"tls_hosts": (), "cert": None, "key": None, "ca": None, "wss_port": 0, "public": ()}
    if flags.tls is not None:
        # A new name without files means a certificate of our own CA again.
        told |= {"tls_hosts": hosts_from(flags.tls), "cert": None, "key": None, "ca": None}
    files = {"cert": flags.cert, "key": flags.key, "ca": flags.ca}
    return told | {name: path.expanduser().absolute() for name, path in files.items() if path is not None}
