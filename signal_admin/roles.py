"""The table of roles as a document: docs/permissions.md, made from `signal_contract.permissions`. Pure."""

from __future__ import annotations

from signal_contract.permissions import ROLES, Role, RoleName
from signal_contract.topology import RESPONSE_THRESHOLD_NS, SECOND_NS, SERVICES, TAPS, Account

_PURPOSE = {
    RoleName.SUBSCRIBER: "A friend's agent: reads his own durable, acknowledges, sends feedback about himself.",
    RoleName.PUBLISHER: (
        "The classifier's voice: publishes signals and the heartbeat, sees the stream's state, reads no message."
    ),
    RoleName.MONITOR: "Looks on: stream and durables' state, signals, control and heartbeat as they pass.",
    RoleName.ADMIN: (
        "Makes streams and durables, sends control messages, reads reports, writes the audit log. Publishes no signals."
    ),
    RoleName.AUDITOR: "Reads the audit log, and nothing else.",
    RoleName.SYSTEM: "Pushes account JWTs, lists and closes connections, hears who comes, goes and is refused.",
}

_HEAD = """\
# Who may do what

Made by `make generate` from `signal_contract/permissions.py` and `signal_contract/topology.py`; do not edit.
Everything that is not listed is denied. `{{name()}}` is the user's own name, filled in by the server.

Each role is a *scoped signing key*: the server takes a user's permissions from the key that signed his JWT, never from
the JWT. `tests/integration/admin/test_roles.py` tries every line below against a real server, and
`test_attacks.py` what is not listed.

Friends live in account FRIENDS, monitor and auditor in account OBSERVERS; neither account has JetStream. The server
does not check the reply subject of a request and answers with the authority of the account, so within SIGNALS whoever
may ask JetStream anything could aim an answer at `$JS.API.STREAM.DELETE.…`. Roles of accounts SIGNALS and SYS
(publisher, admin, system) are therefore **for the operator's own programs**: hand none of their creds to anybody whom
you would not let at the server itself. The tables keep them from mistakes; friends, and whoever only looks on, are kept
from harm by their account.

Within OBSERVERS the same holds on a small scale: whoever has a role there can aim an answer of the server at the
monitor's live view. Believe what is signed.

## Limits of one friend: addresses, hours, WebSocket only

A user JWT that is signed by a scoped key must have an empty permission block, and addresses, hours and connection types
are part of that block: nats-server 2.15 refuses such a JWT. A friend with limits of his own therefore has a signing key
of his own in account FRIENDS, whose template is the subscriber's with his name written out, plus the limits. The key is
in `<data>/users/<name>/scope.seed`; it could sign for nobody else. Each takes about 1.4 KB of the account JWT, which
travels as one message: 64 such friends are the limit, those without limits count nothing.

- Hours are read in their time zone from the tz database of the server's machine. A range over midnight is split in two,
  and the second before midnight stays shut.
- When hours end the server closes the connection as it does at expiry; the friend's agent ends and is started again.
"""


def _code(subjects: tuple[str, ...]) -> list[str]:
    return [f"| `{subject}` |" for subject in subjects] or ["| nothing |"]


def _section(role: Role) -> list[str]:
    return [
        f"## {role.name.value}",
        "",
        f"{_PURPOSE[role.name]} Account {role.account.value}; at most {role.max_subscriptions} subscriptions, "
        f"messages up to {role.max_payload_bytes // 1024} KB; connects as {' or '.join(role.connection_types)}.",
        "",
        "| may publish to |",
        "|---|",
        *_code(role.publish),
        "",
        "| may subscribe to |",
        "|---|",
        *_code(role.subscribe),
        "",
    ]


def _imports(account: Account) -> list[str]:
    services = [
        f"| {each.name} | `{each.subject}` | `{each.local_subject(account)}` | {each.response_type} |"
        for each in SERVICES
        if account in each.importers
    ]
    streams = [
        f"| {tap.name} | `{tap.subject}` | `{tap.subject}` | stream |" for tap in TAPS if account in tap.importers
    ]
    return [
        f"## What {account.value} imports from {Account.SIGNALS.value}",
        "",
        f"Answers have to come within {RESPONSE_THRESHOLD_NS // SECOND_NS} s of the last one.",
        "",
        f"| name | in {Account.SIGNALS.value} | in {account.value} | answers |",
        "|---|---|---|---|",
        *services,
        *streams,
    ]


def permissions_markdown() -> str:
    """The text of docs/permissions.md."""
    sections = [line for role in ROLES.values() for line in _section(role)]
    return "\n".join([_HEAD, *sections, *_imports(Account.FRIENDS), "", *_imports(Account.OBSERVERS)]) + "\n"
