"""The command `catalyst`: the operator's desk, with the publisher's commands mounted beside its own."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher.cli import register as register_publisher
from signal_admin.cli.catalysts import catalysts
from signal_admin.cli.demo import demo
from signal_admin.cli.up import up
from signal_admin.cli.user import user_app
from signal_contract.cli.answer import run_app

_HELP = """\
Your own signal wire: a server on this machine, your friends as users, your signals published and signed.

[bold]Examples[/bold]

  catalyst demo                              see all of it work, in a minute
  catalyst up                                start the server
  catalyst user add alice --catalysts fda    invite a friend
  catalyst publish signals.jsonl             publish a file
  catalyst user list                         who reads what
"""

app = typer.Typer(
    help=_HELP,
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"catalyst {version('catalyst-signals')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More about what happens, on stderr.")] = False,
) -> None:
    from signal_contract.logs import set_up_logs

    set_up_logs(verbose=verbose)


app.command()(demo)
app.command()(up)
app.add_typer(user_app, name="user")
app.command()(catalysts)
register_publisher(app)


def main() -> None:
    """Entry point of `catalyst`."""
    run_app(app, "catalyst")
