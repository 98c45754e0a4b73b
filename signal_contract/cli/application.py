"""How both commands begin: help that leads with examples, `--version`, `--verbose`, and late imports behind it all."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from signal_contract.logs import LogFormat, set_up_logs


class _Commands(UserDict[str, Any]):
    """Commands by name: what was `module:attribute` is imported and made a command when it is first asked for."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, str):
            found = self.data[name] = _command_from(name, found)
        return found


def _command_from(name: str, target: str) -> Any:
    """A function as a command, or a whole `typer.Typer` as a group, such as they are below any application."""
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    holder = typer.Typer(rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False)
    holder.callback()(lambda: None)  # without it one command alone would be no group
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    group: Any = typer.main.get_command(holder)
    return group.commands[name]


def new_application(help_text: str, commands: Mapping[str, str]) -> typer.Typer:
    """A command with the commands below it, `name: "module:attribute"` in the order of the help.

    Only the module of the one that is called is imported: the others would cost each start some 0.1 s.
    """

    class Lazy(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.commands = _Commands(commands)

        def list_commands(self, ctx: Any) -> list[str]:  # Typer's own would build each
            return list(self.commands)

    app = typer.Typer(
        cls=Lazy,
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
