"""The command `catalyst`: the operator's desk, with the publisher's commands mounted beside its own."""

from __future__ import annotations

import sys
from pathlib import Path

from signal_contract.cli.collecting import collect_seldom
from signal_contract.cli.help_page import show_page


def main() -> None:
    """Entry point of `catalyst`."""
    if show_page(Path(__file__).parent, sys.argv[1:]):
        return
    collect_seldom()
    from signal_admin.cli.application import app
    from signal_contract.cli.answer import run_app

    run_app(app, "catalyst")
