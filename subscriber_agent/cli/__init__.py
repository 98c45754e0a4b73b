"""The command `subscriber-agent`: the friend's side of the wire."""

from __future__ import annotations

import sys
from pathlib import Path

from signal_contract.cli.collecting import collect_seldom
from signal_contract.cli.help_page import show_page


def main() -> None:
    """Entry point of `subscriber-agent`."""
    if show_page(Path(__file__).parent, sys.argv[1:]):
        return
    collect_seldom()
    from signal_contract.cli.answer import run_app
    from subscriber_agent.cli.application import app

    run_app(app, "subscriber-agent")
