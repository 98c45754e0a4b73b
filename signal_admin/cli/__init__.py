"""The command `catalyst`: the operator's desk, with the publisher's commands mounted beside its own."""

from __future__ import annotations


def main() -> None:
    """Entry point of `catalyst`."""
    from signal_admin.cli.application import app
    from signal_contract.cli.answer import run_app

    run_app(app, "catalyst")
