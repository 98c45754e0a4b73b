"""The command `subscriber-agent`: the friend's side of the wire."""

from __future__ import annotations


def main() -> None:
    """Entry point of `subscriber-agent`."""
    from signal_contract.cli.answer import run_app
    from subscriber_agent.cli.application import app

    run_app(app, "subscriber-agent")
