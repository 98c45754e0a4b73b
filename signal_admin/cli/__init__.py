"""The command `catalyst`: the operator's desk, with the publisher's commands mounted beside its own."""

from __future__ import annotations

from publisher.cli import publisher_source, relaying
from publisher.cli import register as register_publisher
from signal_admin.cli.audit import audit
from signal_admin.cli.backup import backup
from signal_admin.cli.catalysts import catalysts
from signal_admin.cli.cluster import cluster_app
from signal_admin.cli.control import control_app
from signal_admin.cli.demo import demo
from signal_admin.cli.doctor import doctor
from signal_admin.cli.feedback import feedback
from signal_admin.cli.flag import flag_app
from signal_admin.cli.health import health
from signal_admin.cli.init import init
from signal_admin.cli.plan_cmd import plan
from signal_admin.cli.restore import restore
from signal_admin.cli.tls import tls_app
from signal_admin.cli.top import top
from signal_admin.cli.up import COMPANIONS, METRIC_SOURCES, up
from signal_admin.cli.user import user_app
from signal_admin.cli.vault import vault_app
from signal_admin.cli.verify import verify
from signal_contract.cli.answer import run_app
from signal_contract.cli.application import new_application

_HELP = """\
Your own signal wire: a server on this machine, your friends as users, your signals published and signed.

[bold]Examples[/bold]

  catalyst demo                              see all of it work, in a minute
  catalyst up                                start the server
  catalyst user add alice --catalysts fda    invite a friend
  catalyst publish signals.jsonl             publish a file
  catalyst user list                         who reads what
  catalyst control halt                      stop all trading, now
"""

app = new_application(_HELP)


app.command()(demo)
app.command()(init)
app.command()(up)
app.command()(doctor)
app.command()(health)
app.add_typer(tls_app, name="tls")
app.add_typer(user_app, name="user")
app.add_typer(vault_app, name="vault")
app.add_typer(control_app, name="control")
app.add_typer(flag_app, name="flag")
app.add_typer(cluster_app, name="cluster")
app.command()(plan)
app.command()(top)
app.command()(feedback)
app.command()(audit)
app.command()(catalysts)
app.command()(backup)
app.command()(restore)
app.command()(verify)
register_publisher(app)
COMPANIONS.append(relaying)
METRIC_SOURCES["publisher"] = publisher_source


def main() -> None:
    """Entry point of `catalyst`."""
    run_app(app, "catalyst")
