"""`catalyst bot run`: Catalyst-Bot's own runner in this process, with its alerts published."""

from __future__ import annotations

import traceback
from typing import Annotated

import typer

from publisher.cli.commands import DataOption

_RUN_HELP = """Run Catalyst-Bot's own runner with its alerts published, before it acts on them.

\b
Examples:
  catalyst bot run                     as `python -m catalyst_bot.runner`
  catalyst bot run -- --loop           everything after -- goes to the bot
  catalyst bot run --approve           hold every signal until `catalyst approve`

To be run in the bot's own environment and folder. The bot is not changed; with the server away signals wait \
in the outbox, and nothing of ours stops it or makes it wait.
"""

bot_app = typer.Typer(
    help="Catalyst-Bot: run it with its alerts published.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@bot_app.command("run", help=_RUN_HELP, short_help="Run the bot's own runner with its alerts published.")
def run_bot(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGUMENTS]", help="For the bot.")] = None,
    approve_first: Annotated[
        bool, typer.Option("--approve", help="Hold every signal until `catalyst approve`.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Run the bot's runner until it ends; its exit status."""
    from publisher.intake.catalyst_bot import run
    from signal_contract.cli.answer import say
    from signal_contract.errors import CatalystError

    try:
        status = run(arguments or [], data=data, approve=approve_first)
    except CatalystError:
        raise
    except Exception:  # noqa: BLE001  # the bot's own, whatever it is; its traceback is what its owner needs
        say(traceback.format_exc().rstrip())
        say("Catalyst-Bot ended with this error; what it had alerted is in the outbox")
        status = 1
    raise typer.Exit(status)
