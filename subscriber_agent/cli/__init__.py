"""The command `subscriber-agent`: the friend's side of the wire."""

from __future__ import annotations

from typing import Annotated

import typer

from signal_contract.cli.answer import run_app
from subscriber_agent.cli.control import halt, reduce, resume
from subscriber_agent.cli.run import run
from subscriber_agent.cli.settings import config_app
from subscriber_agent.cli.views import explain, positions, signals, status

_HELP = """\
Receives the signals you are entitled to, decides by your own rules, and trades them on your own engine.

[bold]Examples[/bold]

  subscriber-agent run --config alice.yaml      receive and decide, until Ctrl-C
  subscriber-agent status                       is it connected, what does the account hold
  subscriber-agent signals                      what came, what was decided
  subscriber-agent explain 3f9a                 why: every check with its number and limit
  subscriber-agent halt --reason "earnings day" stop trading now
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

        typer.echo(f"subscriber-agent {version('catalyst-signals')}")
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


for command in (run, status, signals, positions, explain, halt, reduce, resume):
    app.command()(command)
app.add_typer(config_app, name="config")


def main() -> None:
    """Entry point of `subscriber-agent`."""
    run_app(app, "subscriber-agent")
