"""`catalyst demo`: the whole wire on one machine, in a minute."""

from __future__ import annotations

from typing import Annotated

import typer

from signal_admin.cli.options import JsonOption


def demo(
    plain: Annotated[bool, typer.Option("--plain", help="One line an event, no live view.")] = False,
    as_json: JsonOption = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary directory and say where it is.")] = False,
) -> None:
    """See it work: a server, two friends on paper money, real decisions. Needs nothing but this installation.

    Every step is a command that you could type; all happens in a temporary directory.
    """
    from signal_admin.cli.demo_view import show_demo

    show_demo(is_plain=plain, as_json=as_json, is_kept=keep)
