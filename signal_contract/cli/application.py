"""How both commands begin: help that leads with examples, `--version`, `--verbose`, and late imports behind it all."""

from __future__ import annotations

from typing import Annotated

import typer

from signal_contract.logs import LogFormat, set_up_logs


def new_application(help_text: str) -> typer.Typer:
    """An empty command; its commands are added by the caller."""
    app = typer.Typer(
        help=help_text,
        rich_markup_mode="rich",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    return app


def _show_version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{context.find_root().info_name} {version('catalyst-signals')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="More about what happens, on stderr.")] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="CATALYST_LOG", help="What stderr holds: text for people, or one JSON line a record."),
    ] = LogFormat.TEXT,
) -> None:
    set_up_logs(verbose=verbose, log_format=log_format)
