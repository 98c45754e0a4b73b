"""From what servers and streams answer to samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from signal_admin.registry import User
from signal_contract.metrics.samples import Measured, Sample
from signal_contract.topology import durable_name

_NEVER = "0001-"  # Go's zero time


def server_samples(answers: Iterable[Mapping[str, Any]]) -> Iterator[Measured]:
    """One server's word each, as it answers to a ping (STATSZ); what it does not say is 0 with nats-server."""
    for answer in answers:
        server, found = answer["server"], answer.get("statsz") or {}
        name = (str(server.get("name") or server["id"]),)
        yield Sample("catalyst_server_connections", int(found.get("connections", 0)), name)
        yield Sample("catalyst_server_memory_bytes", int(found.get("mem", 0)), name)
        yield Sample("catalyst_server_cpu_percent", float(found.get("cpu", 0)), name)
        yield Sample("catalyst_server_received_messages_total", _messages(found.get("received")), name)
        yield Sample("catalyst_server_sent_messages_total", _messages(found.get("sent")), name)
        yield Sample("catalyst_server_slow_consumers_total", int(found.get("slow_consumers", 0)), name)


def _messages(found: Any) -> int:
    return int(found.get("msgs", 0)) if isinstance(found, dict) else 0


def stream_samples(info: Mapping[str, Any]) -> Iterator[Measured]:
    """One stream by its info."""
    state, config = info["state"], info["config"]
    name = (str(config["name"]),)
    yield Sample("catalyst_stream_published_total", int(state["last_seq"]), name)
    yield Sample("catalyst_stream_messages", int(state["messages"]), name)
    yield Sample("catalyst_stream_bytes", int(state["bytes"]), name)
    yield Sample("catalyst_stream_max_bytes", int(config.get("max_bytes", -1)), name)


def refused_logins(info: Mapping[str, Any], subject: str) -> Iterator[Measured]:
    """How many messages the audit log holds on that subject, when it was asked for."""
    subjects = info["state"].get("subjects") or {}
    yield Sample("catalyst_server_refused_logins", int(subjects.get(subject, 0)))


def friend_samples(
    users: Iterable[User], durables: Mapping[str, Mapping[str, Any]], now: datetime
) -> Iterator[Measured]:
    """What the server knows of each friend's durable; one without a durable shows his creds only."""
    for user in users:
        label = (user.name,)
        if user.expires_at is not None:
            yield Sample("catalyst_user_creds_expiry_timestamp_seconds", user.expires_at.timestamp(), label)
        info = durables.get(durable_name(user.name))
        if info is None:
            continue
        yield Sample("catalyst_user_pending_messages", int(info.get("num_pending", 0)), label)
        yield Sample("catalyst_user_in_flight_messages", int(info.get("num_ack_pending", 0)), label)
        # An agent that is there always has a pull waiting.
        yield Sample("catalyst_user_online", int(int(info.get("num_waiting", 0)) > 0), label)
        last = _instant((info.get("ack_floor") or {}).get("last_active"))
        if last is not None:
            age_s = max(0.0, (now - last).total_seconds())
            yield Sample("catalyst_user_last_ack_age_seconds", age_s, label)


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str) or value.startswith(_NEVER):
        return None
    found = datetime.fromisoformat(value)
    return found if found.tzinfo is not None else None
