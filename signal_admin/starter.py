"""The starter config of a new user: a file that works as it is, on paper money. Its format belongs to the agent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from string import Template

_TEMPLATE = Template("""\
# Config of ${name}'s subscriber-agent. It works as it is: with paper money, at your own pace.
#   start it:          subscriber-agent run --config ${name}.yaml
#   what it is doing:  subscriber-agent status --config ${name}.yaml
#   why it did that:   subscriber-agent explain <signal id> --config ${name}.yaml
# This file and ${name}.creds belong together. The creds file is a password: keep it to yourself.

# Where the signals come from.
servers: ${servers}
${ca}
# Who you are, as a path relative to this file.
creds: ${name}.creds

# Where your journal is kept: what came, what was decided, what the paper account holds. Relative to this file.
data: ${name}-data

# Only signals signed by this key are looked at. Change it only when your operator tells you to, in person.
publisher_key: ${publisher_key}

# notify: show what would be traded, trade nothing.   paper: trade with pretend money.
mode: paper

# The engine that carries out accepted signals. This one is a simulation; the amount is pretend US dollars.
engine: {kind: paper, paper: {start_cash_usd: "10000"}}

# Your own limits. Empty means: every default applies, and the defaults are careful ones. One of them is that entries
# are made in New York's regular session only. To see paper trades at any hour:
#   risk: {sessions: [pre, regular, after, closed]}
risk: {}
""")


_CA_TEMPLATE = Template("""
# The server must show a certificate of this authority, and no other one will do. It came with this file.
ca_file: ${ca_file}
""")


def starter_yaml(name: str, servers: Sequence[str], publisher_key: str, *, ca_file: str | None = None) -> str:
    """The file's text; `name` is a valid user name, `publisher_key` of the form ed25519:…

    `ca_file` is the name of the CA's PEM file beside the config, None when the system's authorities are enough.
    """
    return _TEMPLATE.substitute(
        name=name,
        servers=json.dumps(list(servers)),
        ca=_CA_TEMPLATE.substitute(ca_file=json.dumps(ca_file)) if ca_file else "",
        publisher_key=json.dumps(publisher_key),
    )
