"""Accounts, streams, durables, exports and imports, as data.

It is the plan that the operator's side compares with the server.

Sources: NATS ADR-37 (pull consumers), ADR-42 (pinned clients) and what was measured with nats-server 2.15.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from signal_contract.subject import control_filters, user_name_checked

STREAM = "SIGNALS"
AUDIT_STREAM = "AUDIT"
FEED_PREFIX = "FEED"
FEEDBACK_KINDS = ("received", "decision", "order", "fill", "exit", "status")

DAY_NS = 86_400 * 1_000_000_000
SECOND_NS = 1_000_000_000
RESPONSE_THRESHOLD_NS = 20 * SECOND_NS


class Account(StrEnum):
    SYS = "SYS"
    SIGNALS = "SIGNALS"
    FRIENDS = "FRIENDS"


@dataclass(frozen=True, slots=True)
class Service:
    """A request subject that SIGNALS answers for FRIENDS. `local` is what FRIENDS calls it; empty: the same."""

    name: str
    subject: str
    local: str = ""
    response_type: str = "Singleton"


SERVICES: tuple[Service, ...] = (
    Service(
        "pull",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.*",
        f"{FEED_PREFIX}.CONSUMER.MSG.NEXT.{STREAM}.$1",
        response_type="Stream",
    ),
    Service(
        "durable-info",
        f"$JS.API.CONSUMER.INFO.{STREAM}.*",
        f"{FEED_PREFIX}.CONSUMER.INFO.{STREAM}.$1",
    ),
    Service("ack", f"$JS.ACK.{STREAM}.*.>"),
    Service("ack-v2", f"$JS.ACK.*.*.{STREAM}.*.>"),
    Service("feedback", "feedback.*.>"),
)
STREAM_EXPORTS: tuple[tuple[str, str], ...] = (("heartbeat", "heartbeat.>"),)


def durable_name(user: str) -> str:
    """`sub_<name>`; raises NameInvalid."""
    return f"sub_{user_name_checked(user)}"


def pull_subject(user: str) -> str:
    """Where an agent asks for its next messages, in its own account."""
    return f"{FEED_PREFIX}.CONSUMER.MSG.NEXT.{STREAM}.{durable_name(user)}"


def info_subject(user: str) -> str:
    """Where an agent asks for the state of its durable, in its own account."""
    return f"{FEED_PREFIX}.CONSUMER.INFO.{STREAM}.{durable_name(user)}"


def ack_prefixes(user: str) -> tuple[str, ...]:
    """What the reply subject of a genuine delivery starts with; the second form also needs `is_own_ack`."""
    return (f"$JS.ACK.{STREAM}.{durable_name(user)}.",)


def is_own_ack(reply: str, user: str) -> bool:
    """Whether a reply subject acknowledges on this user's durable, in the classic or the v2 form.

    Another user could aim a server reply at our inbox if he knew its token; such a message fails here.
    """
    durable = durable_name(user)
    if reply.startswith(f"$JS.ACK.{STREAM}.{durable}."):
        return True
    parts = reply.split(".")
    return len(parts) > 6 and parts[:2] == ["$JS", "ACK"] and parts[4:6] == [STREAM, durable]


def stream_config(*, max_age_days: int = 30, max_bytes: int = 1 << 30, replicas: int = 1) -> dict[str, Any]:
    """The SIGNALS stream: an append-only log on disk that no client can delete from or purge (irreversible)."""
    return {
        "name": STREAM,
        "description": "Signed trading signals and control messages, in one order",
        "subjects": ["signals.*.*", "control.all.*", "control.user.*.*"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": max_age_days * DAY_NS,
        "max_bytes": max_bytes,
        "max_msg_size": 96 * 1024,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "num_replicas": replicas,
        "duplicate_window": DAY_NS,
        "compression": "s2",
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": False,
        "allow_rollup_hdrs": False,
    }


def audit_stream_config(*, max_bytes: int = 256 << 20, replicas: int = 1) -> dict[str, Any]:
    """The AUDIT stream: who did what. Nothing can be deleted from it, and when it is full it refuses the new entry."""
    return {
        "name": AUDIT_STREAM,
        "description": "What the operator did, and who came, went or was refused",
        "subjects": ["audit.>"],
        "retention": "limits",
        "storage": "file",
        # A flood of refused log-ins must not push out what was written before.
        "discard": "new",
        "max_age": 0,
        "max_bytes": max_bytes,
        "max_msg_size": 96 * 1024,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "num_replicas": replicas,
        "duplicate_window": DAY_NS,
        "compression": "s2",
        "deny_delete": True,
        "deny_purge": True,
        # Read by direct get only, so that the auditor needs no consumer.
        "allow_direct": True,
        "allow_rollup_hdrs": False,
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
