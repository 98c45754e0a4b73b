"""`catalyst tls …`: the server's certificate, shown and renewed without a break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from signal_admin.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from signal_admin.certificate import Renewal
    from signal_admin.tls import Certificate
    from signal_contract.cli.answer import Render

tls_app = typer.Typer(
    help="The server's certificate: show it, renew it without dropping a connection.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@tls_app.command("show")
def show(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show the certificate that the server uses: names, issuer, end, and whether the running server shows it already.

    Example: catalyst tls show
    """
    import asyncio
    from datetime import UTC, datetime

    from signal_admin.certificate import certificate_now, is_served
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    desk = open_desk(data)
    certificate = certificate_now(desk, datetime.now(UTC))
    served = asyncio.run(is_served(desk, certificate))
    answer = {**certificate.as_dict(), "served": served}
    finish(Envelope("catalyst tls show", answer), as_json=as_json, render=_shown(certificate, served))


def _shown(certificate: Certificate, served: bool | None) -> Render:
    from rich.console import Console

    words = {
        True: "the running server shows it",
        False: "the running server still shows another one: catalyst tls renew",
        None: "the server is not running",
    }

    def render(out: Console) -> None:
        for name, value in certificate.as_dict().items():
            text = ", ".join(value) if isinstance(value, list) else value
            out.print(f"{name.replace('_', ' ')}: {text}", markup=False, soft_wrap=True)
        out.print(words[served], markup=False)

    return render


@tls_app.command("renew")
def renew(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Make a new certificate (of your own CA; your own files are read again) and have the running server use it.

    Connections stay; new ones are shown the new certificate.

    Example: catalyst tls renew
    """
    import asyncio
    from datetime import UTC, datetime

    from signal_admin.certificate import renewed
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    done = asyncio.run(renewed(open_desk(data), datetime.now(UTC)))
    answer = {**done.certificate.as_dict(), "before": done.before, "served": done.is_served}
    finish(Envelope("catalyst tls renew", answer), as_json=as_json, render=_renewed(done))


def _renewed(done: Renewal) -> Render:
    from rich.console import Console

    def render(out: Console) -> None:
        end = f"{done.certificate.not_after:%Y-%m-%d}"
        out.print(f"certificate for {', '.join(done.certificate.names)}, valid until {end}", markup=False)
        if done.is_served:
            out.print("the running server shows it to new connections; the open ones stayed", markup=False)
        else:
            out.print("the server is not running; the next `catalyst up` uses it", markup=False)

    return render
