"""The command `subscriber-agent`: the friend's side of the wire."""

from __future__ import annotations

from signal_contract.cli.answer import run_app
from signal_contract.cli.application import new_application
from subscriber_agent.cli.audit import audit_app
from subscriber_agent.cli.control import halt, reduce, resume
from subscriber_agent.cli.join import enroll, join
from subscriber_agent.cli.run import run
from subscriber_agent.cli.settings import config_app
from subscriber_agent.cli.views import explain, positions, signals, status

_HELP = """\
Receives the signals you are entitled to, decides by your own rules, and trades them on your own engine.

[bold]Examples[/bold]

  subscriber-agent join alice.invite            take up the operator's invite
  subscriber-agent run                          receive and decide, until Ctrl-C
  subscriber-agent status                       is it connected, what does the account hold
  subscriber-agent signals                      what came, what was decided
  subscriber-agent explain 3f9a                 why: every check with its number and limit
  subscriber-agent halt --reason "earnings day" stop trading now
"""

app = new_application(_HELP)


for command in (enroll, join, run, status, signals, positions, explain, halt, reduce, resume):
    app.command()(command)
app.add_typer(config_app, name="config")
app.add_typer(audit_app, name="audit")


def main() -> None:
    """Entry point of `subscriber-agent`."""
    run_app(app, "subscriber-agent")
