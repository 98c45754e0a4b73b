"""What a connection hands over: messages, receipts, notices. Plain values; knows no NATS client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class LinkEvent(StrEnum):
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    RECONNECTED = "reconnected"
    DENIED = "denied"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LinkNotice:
    """Something that happened to the connection, for logs, states and doctors."""

    event: LinkEvent
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it arrived; nothing in it is trusted yet."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The status code of a message without data (`408`, `503` …), or empty."""
        return self.headers.get("Status", "")


@dataclass(frozen=True, slots=True)
class PubAck:
    """JetStream's receipt: stored at `sequence`, or known already."""

    stream: str
    sequence: int
    is_duplicate: bool


Handler = Callable[[Delivery], Awaitable[None]]
