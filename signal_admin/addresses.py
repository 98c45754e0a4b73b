"""What friends are told about the server: its public addresses and the CA that its certificate is checked with."""

from __future__ import annotations

from signal_admin.desk import Desk
from signal_admin.settings import DEFAULT_PORT, UpSettings, host_port, is_local, kept_settings
from signal_contract.errors import ConfigInvalid


def public_servers(desk: Desk, *, websocket: bool = False) -> list[str]:
    """The addresses for a friend's config, one kind only: tls:// (nats:// on this machine alone), or wss://.

    As told by `--public`; else from the TLS host names; else this machine's own address. Raises ConfigInvalid when
    WebSocket is asked for and not offered.
    """
    settings = kept_settings(desk)
    told = [each for each in settings.public if each.startswith("wss://") is websocket]
    if told:
        return told
    port = _port(desk, settings, websocket=websocket)
    if port is None:
        raise ConfigInvalid("this server offers no WebSocket", hint="Start it with: catalyst up --wss-port 443")
    if not settings.has_tls:
        return [f"nats://127.0.0.1:{port}"]
    # Names that mean "this machine" are of no use elsewhere; with nothing else they are all there is.
    hosts = [name for name in settings.tls_hosts if not is_local(name)] or list(settings.tls_hosts)
    scheme = "wss" if websocket else "tls"
    return [f"{scheme}://{host_port(host, port)}" for host in hosts or ["127.0.0.1"]]


def _port(desk: Desk, settings: UpSettings, *, websocket: bool) -> int | None:
    # A running server knows best: its port may be a random one.
    record = desk.server_record()
    url = record and (record.wss_url if websocket else record.url)
    if url:
        return int(url.rsplit(":", 1)[1])
    return (settings.wss_port or None) if websocket else (settings.port or DEFAULT_PORT)


def ca_pem(desk: Desk) -> str | None:
    """The CA certificate that friends need (PEM), or None when every system trusts the server's issuer anyway.

    Raises ConfigInvalid when it should be there and is not: a config without it would trust the wrong authorities.
    """
    settings = kept_settings(desk)
    if not settings.has_tls:
        return None
    path = settings.ca if settings.cert is not None else desk.tls / "ca.pem"
    if path is None:
        return None
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the CA certificate {path} cannot be read", hint="Run: catalyst init") from error
