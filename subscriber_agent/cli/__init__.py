"""The command `subscriber-agent`: the friend's side of the wire."""

from __future__ import annotations

from signal_contract.cli.answer import run_app
from signal_contract.cli.application import new_application
from subscriber_agent.cli.approvals import approvals, approve, reject
from subscriber_agent.cli.audit import audit_app
from subscriber_agent.cli.control import halt, reduce, resume
from subscriber_agent.cli.doctor import doctor
from subscriber_agent.cli.engine import engine_app
from subscriber_agent.cli.equity import equity
from subscriber_agent.cli.explain import explain
from subscriber_agent.cli.flatten import flatten
from subscriber_agent.cli.join import enroll, join
from subscriber_agent.cli.live import live_app
from subscriber_agent.cli.metrics import metrics
from subscriber_agent.cli.orders import orders
from subscriber_agent.cli.parked import parked_app
from subscriber_agent.cli.positions import positions
from subscriber_agent.cli.reconcile import reconcile
from subscriber_agent.cli.replay import replay
from subscriber_agent.cli.risk import risk_app
from subscriber_agent.cli.run import run
from subscriber_agent.cli.service import service_app
from subscriber_agent.cli.settings import config_app
from subscriber_agent.cli.status import status
from subscriber_agent.cli.upkeep import journal_app
from subscriber_agent.cli.views import signals

_HELP = """\
Receives the signals you are entitled to, decides by your own rules, and trades them on your own engine.

[bold]Examples[/bold]

  subscriber-agent join alice.invite            take up the operator's invite
  subscriber-agent run                          receive and decide, until Ctrl-C
  subscriber-agent service install              have the system run it, and start it again
  subscriber-agent doctor                       what is wrong, and what to do about it
  subscriber-agent status                       is it connected, what does the account hold
  subscriber-agent signals                      what came, what was decided
  subscriber-agent explain 3f9a                 why: every check with its number and limit
  subscriber-agent status --check               for monitoring: exit status 0 when signals flow
  subscriber-agent parked list                  messages that could not be trusted or read
  subscriber-agent halt --reason "earnings day" stop trading now
  subscriber-agent flatten                      close every position
  subscriber-agent reconcile                    the agent's log against the engine's word
  subscriber-agent approvals                    orders that wait for your word
  subscriber-agent risk status                  how much of each limit is used
  subscriber-agent engine show --check          the engine that takes your orders, asked now
  subscriber-agent live status                  what is missing before real money is traded
"""

app = new_application(_HELP)


for command in (
    enroll,
    join,
    run,
    doctor,
    status,
    signals,
    positions,
    orders,
    equity,
    reconcile,
    metrics,
    explain,
    replay,
    halt,
    reduce,
    resume,
    flatten,
    approvals,
    approve,
    reject,
):
    app.command()(command)
app.add_typer(config_app, name="config")
app.add_typer(engine_app, name="engine")
app.add_typer(live_app, name="live")
app.add_typer(risk_app, name="risk")
app.add_typer(audit_app, name="audit")
app.add_typer(parked_app, name="parked")
app.add_typer(journal_app, name="journal")
app.add_typer(service_app, name="service")


def main() -> None:
    """Entry point of `subscriber-agent`."""
    run_app(app, "subscriber-agent")
