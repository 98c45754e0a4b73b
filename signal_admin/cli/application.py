"""The commands of `catalyst` and where each of them is, with the publisher's mounted beside the desk's own."""

from __future__ import annotations

from publisher.cli.commands import COMMANDS as PUBLISHER_COMMANDS
from publisher.cli.commands import GROUPS as PUBLISHER_GROUPS
from publisher.cli.commands import publisher_source, relaying
from signal_admin.cli.beside import COMPANIONS, METRIC_SOURCES
from signal_contract.cli.application import new_application

_HELP = """\
Your own signal wire: a server on this machine, your friends as users, your signals published and signed.

[bold]Examples[/bold]

  catalyst demo                              see all of it work, in a minute
  catalyst up                                start the server
  catalyst user add alice --catalysts fda    invite a friend
  catalyst publish signals.jsonl             publish a file
  catalyst user list                         who reads what
  catalyst control halt                      stop all trading, now
"""

COMMANDS = {
    "demo": "signal_admin.cli.demo:demo",
    "init": "signal_admin.cli.init:init",
    "up": "signal_admin.cli.up:up",
    "doctor": "signal_admin.cli.doctor:doctor",
    "health": "signal_admin.cli.health:health",
    "plan": "signal_admin.cli.plan_cmd:plan",
    "top": "signal_admin.cli.top:top",
    "feedback": "signal_admin.cli.feedback:feedback",
    "audit": "signal_admin.cli.audit:audit",
    "catalysts": "signal_admin.cli.catalysts:catalysts",
    "backup": "signal_admin.cli.backup:backup",
    "restore": "signal_admin.cli.restore:restore",
    "verify": "signal_admin.cli.verify:verify",
    **PUBLISHER_COMMANDS,
    "tls": "signal_admin.cli.tls:tls_app",
    "user": "signal_admin.cli.user:user_app",
    "vault": "signal_admin.cli.vault:vault_app",
    "control": "signal_admin.cli.control:control_app",
    "flag": "signal_admin.cli.flag:flag_app",
    "cluster": "signal_admin.cli.cluster:cluster_app",
    **PUBLISHER_GROUPS,
}

app = new_application(_HELP, COMMANDS)
COMPANIONS.append(relaying)
METRIC_SOURCES["publisher"] = publisher_source
