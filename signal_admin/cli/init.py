"""`catalyst init`: a data directory made ready, nothing started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.serving import (
    CaOption,
    CertOption,
    EncryptOption,
    KeyOption,
    NoTlsOption,
    PublicOption,
    ServingFlags,
    TlsOption,
    WssPortOption,
)

if TYPE_CHECKING:
    from signal_admin.desk import Desk
    from signal_admin.prepare import Ready
    from signal_contract.cli.answer import Render


def init(
    data: DataOption = None,
    tls: TlsOption = None,
    no_tls: NoTlsOption = False,
    cert: CertOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    wss_port: WssPortOption = None,
    public: PublicOption = None,
    encrypt: EncryptOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prepare the data directory without starting anything: keys, certificate, settings. Doing it again is harmless.

    Example: catalyst init --tls signals.example.org --encrypt
    """
    from datetime import UTC, datetime

    from signal_admin.cli.serving import settings_with
    from signal_admin.desk import make_desk
    from signal_admin.prepare import held, make_ready
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    flags = ServingFlags(
        tls=tls, no_tls=no_tls, cert=cert, key=key, ca=ca, wss_port=wss_port, public=public, encrypt=encrypt
    )
    settings = settings_with(data, flags)
    desk = make_desk(data)
    with held(desk):
        ready = make_ready(desk, settings, datetime.now(UTC))
    finish(Envelope("catalyst init", _answer(desk, ready)), as_json=as_json, render=_rendered(desk, ready))


def _answer(desk: Desk, ready: Ready) -> dict[str, object]:
    from signal_admin.addresses import public_servers

    certificate = ready.certificate
    return {
        "data": str(desk.root),
        "made": [str(path) for path in ready.made],
        "public": public_servers(desk),
        "tls": certificate.as_dict() if certificate else None,
        "encrypted": ready.store_key is not None,
    }


def _rendered(desk: Desk, ready: Ready) -> Render:
    from rich.console import Console

    def render(out: Console) -> None:
        lines = [f"{desk.root} is ready" + ("" if ready.made else "; there was nothing to make")]
        lines += [f"  made: {path.relative_to(desk.root)}" for path in ready.made]
        if ready.certificate is not None:
            end = f"{ready.certificate.not_after:%Y-%m-%d}"
            lines.append(f"  TLS for {', '.join(ready.certificate.names)}, valid until {end}")
        if desk.store_key in ready.made:
            lines.append("  the stream is encrypted with vault/store.key: keep a copy of it elsewhere")
        lines.append("next: catalyst up")
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)

    return render
