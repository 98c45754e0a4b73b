"""The commands of `subscriber-agent` and where each of them is."""

from __future__ import annotations

from signal_contract.cli.application import new_application

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

COMMANDS = {
    "enroll": "subscriber_agent.cli.join:enroll",
    "join": "subscriber_agent.cli.join:join",
    "run": "subscriber_agent.cli.run:run",
    "doctor": "subscriber_agent.cli.doctor:doctor",
    "status": "subscriber_agent.cli.status:status",
    "signals": "subscriber_agent.cli.views:signals",
    "positions": "subscriber_agent.cli.positions:positions",
    "orders": "subscriber_agent.cli.orders:orders",
    "equity": "subscriber_agent.cli.equity:equity",
    "reconcile": "subscriber_agent.cli.reconcile:reconcile",
    "metrics": "subscriber_agent.cli.metrics:metrics",
    "explain": "subscriber_agent.cli.explain:explain",
    "replay": "subscriber_agent.cli.replay:replay",
    "halt": "subscriber_agent.cli.control:halt",
    "reduce": "subscriber_agent.cli.control:reduce",
    "resume": "subscriber_agent.cli.control:resume",
    "flatten": "subscriber_agent.cli.flatten:flatten",
    "approvals": "subscriber_agent.cli.approvals:approvals",
    "approve": "subscriber_agent.cli.approvals:approve",
    "reject": "subscriber_agent.cli.approvals:reject",
    "config": "subscriber_agent.cli.settings:config_app",
    "engine": "subscriber_agent.cli.engine:engine_app",
    "live": "subscriber_agent.cli.live:live_app",
    "risk": "subscriber_agent.cli.risk:risk_app",
    "audit": "subscriber_agent.cli.audit:audit_app",
    "parked": "subscriber_agent.cli.parked:parked_app",
    "journal": "subscriber_agent.cli.upkeep:journal_app",
    "service": "subscriber_agent.cli.service:service_app",
}

app = new_application(_HELP, COMMANDS)
