"""Accounts, streams, durables, exports and imports, as data.

It is the plan that the operator's side compares with the server.

Sources: NATS ADR-37 (pull consumers), ADR-42 (pinned clients) and what was measured with nats-server 2.15.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any

from signal_contract.feedback import Kind
from signal_contract.subject import CONTROL_ALL, CONTROL_USER, SIGNALS_ROOT, control_filters, user_name_checked

STREAM = "SIGNALS"
AUDIT_STREAM = "AUDIT"
FEEDBACK_STREAM = "FEEDBACK"
# The key-value bucket FLAGS, as its stream is called; one key holds all flags.
FLAGS_STREAM = "KV_FLAGS"
FLAGS_SUBJECT = "$KV.FLAGS.agents"
# Short: it stands in each friend's own scope, and all of those travel in one account JWT.
FLAGS_GET_SUBJECT = "FEED.FLAGS"
API_PREFIX = "$JS.API"
FEED_PREFIX = "FEED"
WATCH_PREFIX = "WATCH"
FEEDBACK_KINDS = tuple(kind.value for kind in Kind)

# What stream SIGNALS keeps.
ALL_SIGNALS = f"{SIGNALS_ROOT}.*.*"
ALL_CONTROL = f"{CONTROL_ALL}.*"
USERS_CONTROL = f"{CONTROL_USER}.*.*"

FEEDBACK_QUOTA = 10_000

DAY_NS = 86_400 * 1_000_000_000
SECOND_NS = 1_000_000_000
RESPONSE_THRESHOLD_NS = 20 * SECOND_NS


class Account(StrEnum):
    SYS = "SYS"
    SIGNALS = "SIGNALS"
    FRIENDS = "FRIENDS"
    OBSERVERS = "OBSERVERS"


# Connections that an account may have open, over all servers. Both together stay below what one server takes
# (`max_connections` in nats/embedded.conf), so that a crowd of friends cannot keep publisher and operator out.
ACCOUNT_CONNECTIONS = {Account.FRIENDS: 1800, Account.OBSERVERS: 40}

# What `$JS.API` is called in the accounts without JetStream. Each answers `$JS.API.>` by itself, implicitly, so an
# import under that name would be answered twice.
_LOCAL_API = {Account.FRIENDS: FEED_PREFIX, Account.OBSERVERS: WATCH_PREFIX}


@dataclass(frozen=True, slots=True)
class Service:
    """A request subject that SIGNALS answers for the accounts that import it, and for no other."""

    name: str
    subject: str
    importers: tuple[Account, ...]
    response_type: str = "Singleton"
    alias: str = ""  # what every importing account calls it, where the subject itself would be too long

    def local_subject(self, account: Account) -> str:
        """What an importing account calls it, as an import says it: wildcards of a renamed one are `$1`, `$2`."""
        if self.alias:
            return self.alias
        if not self.subject.startswith(f"{API_PREFIX}."):
            return self.subject
        parts = self.subject.removeprefix(f"{API_PREFIX}.").split(".")
        numbers = count(1)
        return ".".join([_LOCAL_API[account], *(f"${next(numbers)}" if part == "*" else part for part in parts)])


@dataclass(frozen=True, slots=True)
class Tap:
    """Subjects of SIGNALS that the accounts which import them may listen to, under the same name."""

    name: str
    subject: str
    importers: tuple[Account, ...]


_FRIENDS, _OBSERVERS, _BOTH = (Account.FRIENDS,), (Account.OBSERVERS,), (Account.FRIENDS, Account.OBSERVERS)

SERVICES: tuple[Service, ...] = (
    Service("pull", f"{API_PREFIX}.CONSUMER.MSG.NEXT.{STREAM}.*", _FRIENDS, response_type="Stream"),
    Service("durable-info", f"{API_PREFIX}.CONSUMER.INFO.{STREAM}.*", _BOTH),
    Service("ack", f"$JS.ACK.{STREAM}.*.>", _FRIENDS),
    Service("ack-v2", f"$JS.ACK.*.*.{STREAM}.*.>", _FRIENDS),
    Service("feedback", "feedback.*.>", _FRIENDS),
    # One subject without a wildcard: the last message under the one key, whatever is asked.
    Service("flags", f"{API_PREFIX}.DIRECT.GET.{FLAGS_STREAM}.{FLAGS_SUBJECT}", _FRIENDS, alias=FLAGS_GET_SUBJECT),
    Service("durables", f"{API_PREFIX}.CONSUMER.LIST.{STREAM}", _OBSERVERS),
    Service("stream-info", f"{API_PREFIX}.STREAM.INFO.{STREAM}", _OBSERVERS),
    Service("audit-info", f"{API_PREFIX}.STREAM.INFO.{AUDIT_STREAM}", _OBSERVERS),
    Service("audit-message", f"{API_PREFIX}.STREAM.MSG.GET.{AUDIT_STREAM}", _OBSERVERS),
    # A batch is many answers to one request.
    Service("audit-batch", f"{API_PREFIX}.DIRECT.GET.{AUDIT_STREAM}", _OBSERVERS, response_type="Stream"),
)
TAPS: tuple[Tap, ...] = (
    Tap("heartbeat", "heartbeat.>", _BOTH),
    Tap("signals", ALL_SIGNALS, _OBSERVERS),
    Tap("control-all", ALL_CONTROL, _OBSERVERS),
    Tap("control-user", USERS_CONTROL, _OBSERVERS),
)
AUDIT_BATCH_SUBJECT = f"{WATCH_PREFIX}.DIRECT.GET.{AUDIT_STREAM}"


def durable_name(user: str) -> str:
    """`sub_<name>`; raises NameInvalid."""
    return f"sub_{user_name_checked(user)}"


def pull_subject(user: str) -> str:
    """Where an agent asks for its next messages, in its own account."""
    return f"{FEED_PREFIX}.CONSUMER.MSG.NEXT.{STREAM}.{durable_name(user)}"


def info_subject(user: str) -> str:
    """Where an agent asks for the state of its durable, in its own account."""
    return f"{FEED_PREFIX}.CONSUMER.INFO.{STREAM}.{durable_name(user)}"


def is_own_ack(reply: str, user: str) -> bool:
    """Whether a reply subject acknowledges on this user's durable, in the classic or the v2 form.

    Another user could aim a server reply at our inbox if he knew its token; such a message fails here.
    """
    durable = durable_name(user)
    if reply.startswith(f"$JS.ACK.{STREAM}.{durable}."):
        return True
    parts = reply.split(".")
    return len(parts) > 6 and parts[:2] == ["$JS", "ACK"] and parts[4:6] == [STREAM, durable]


# Both streams are append-only logs on disk that no client can delete from or purge. That is irreversible.
_APPEND_ONLY: dict[str, Any] = {
    "retention": "limits",
    "storage": "file",
    "max_msg_size": 96 * 1024,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "max_consumers": -1,
    "duplicate_window": DAY_NS,
    # nats-server 2.15.1 damages compressed blocks of replicated streams when a node is killed or restarted under load
    # (found by tests/chaos): the node's copy is thrown away at its next start, or takes no more writes.
    "compression": "none",
    "deny_delete": True,
    "deny_purge": True,
    "allow_rollup_hdrs": False,
}


def stream_config(*, max_age_days: int = 30, max_bytes: int = 1 << 30, replicas: int = 1) -> dict[str, Any]:
    """The SIGNALS stream: signals and control messages in one order; the oldest go when it is full or they are old."""
    return {
        **_APPEND_ONLY,
        "name": STREAM,
        "description": "Signed trading signals and control messages, in one order",
        "subjects": [ALL_SIGNALS, ALL_CONTROL, USERS_CONTROL],
        "discard": "old",
        "max_age": max_age_days * DAY_NS,
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        "allow_direct": False,
    }


def audit_stream_config(*, max_bytes: int = 256 << 20, replicas: int = 1) -> dict[str, Any]:
    """The AUDIT stream: who did what. When it is full it refuses the new entry."""
    return {
        **_APPEND_ONLY,
        "name": AUDIT_STREAM,
        "description": "What the operator did, and who came, went or was refused",
        "subjects": ["audit.>"],
        # A flood of refused log-ins must not push out what was written before.
        "discard": "new",
        "max_age": 0,
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        # Read by direct get only, so that the auditor needs no consumer.
        "allow_direct": True,
    }


def feedback_stream_config(*, max_bytes: int = 256 << 20, replicas: int = 1) -> dict[str, Any]:
    """The FEEDBACK stream: what agents report. Each friend has a quota of his own and cannot use up another's."""
    return {
        **_APPEND_ONLY,
        "name": FEEDBACK_STREAM,
        "description": "What agents report: decisions, outcomes and health, as far as each friend allows",
        "subjects": ["feedback.*.*"],
        # Beyond his quota the new report is refused (503, 10077), and nobody else notices.
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": FEEDBACK_QUOTA,
        "max_msg_size": 16 * 1024,
        "max_age": 30 * DAY_NS,
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        "allow_direct": False,
        # Reports are no evidence: the operator may clear them.
        "deny_delete": False,
        "deny_purge": False,
    }


def flags_stream_config(*, replicas: int = 1) -> dict[str, Any]:
    """Bucket FLAGS: the operator's flags, the last words only. Agents read it by direct get of its one key."""
    return {
        **_APPEND_ONLY,
        "name": FLAGS_STREAM,
        "description": "Feature flags: one signed document",
        "subjects": [FLAGS_SUBJECT],
        "discard": "old",
        "max_age": 0,
        "max_bytes": 1 << 20,
        "max_msg_size": 16 * 1024,
        "max_msgs_per_subject": 1,
        "duplicate_window": 120 * SECOND_NS,
        "num_replicas": replicas,
        "allow_direct": True,
    }


def durable_config(user: str, filters: tuple[str, ...], *, start_sequence: int | None = None) -> dict[str, Any]:
    """A friend's durable: his entitlement plus control. Without `start_sequence` a new friend starts at "now".

    `filters` must be what `subject.entitlement` returned: to the server an empty list would mean everything.
    """
    if not filters:
        raise ValueError("an empty filter list would deliver everything")
    start: dict[str, Any] = (
        {"deliver_policy": "new"}
        if start_sequence is None
        else {"deliver_policy": "by_start_sequence", "opt_start_seq": start_sequence}
    )
    return {
        "durable_name": durable_name(user),
        "name": durable_name(user),
        **start,
        "ack_policy": "explicit",
        "ack_wait": 30 * SECOND_NS,
        "max_deliver": -1,
        "filter_subjects": [*filters, *control_filters(user)],
        "replay_policy": "instant",
        "max_waiting": 8,
        "max_ack_pending": 256,
        # Foreign clients pull 100 by default and hang silently below that (409).
        "max_batch": 256,
        "max_expires": 60 * SECOND_NS,
        "num_replicas": 0,
    }
