"""Uses permissions on a live connection, and reports which uses the server refused.

Everything that is tried here must be without effect where it is let through: what a stream could take carries a header
that makes every stream refuse it, and what acts on a consumer names one that does not exist. A pull is never tried on a
real durable: nats-server 2.15 takes a body that it cannot read for a pull of one message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from signal_contract.delivery import Delivery, LinkEvent, LinkNotice
from signal_contract.errors import BrokerRefused, CatalystError
from signal_contract.link import Link
from signal_contract.permissions import NAME, ROLES, RoleName
from signal_contract.topology import STREAM

# JetStream compares it with its own name first, and takes nothing that is meant for another stream (NATS ADR-22).
REFUSED_BY_EVERY_STREAM = {"Nats-Expected-Stream": "doctor-stores-nothing"}
NOBODY = "doctor-nobody"
# No JSON, no acknowledgement that the server knows.
NO_REQUEST = b"doctor"
# Words in a subject that are never tried, whatever the body: they could take, remove or change something.
_NEVER = frozenset({"NEXT", "PURGE", "RESET", "RESTORE", "PAUSE", "CLAIMS", "KICK", "UNPIN", "LEADER", "PEER"})


@dataclass(frozen=True, slots=True)
class Tried:
    """What was let through and what was refused, in words such as `publish signals.other.DOCTOR`."""

    allowed: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(slots=True)
class Denials:
    """Collects what the server denies on a connection; to be given to `Link.open` as `on_notice`."""

    said: list[str] = field(default_factory=list)

    def __call__(self, notice: LinkNotice) -> None:
        if notice.event is LinkEvent.DENIED:
            self.said.append(notice.detail.lower())

    def has(self, what: str, subject: str) -> bool:
        """Whether a publish or subscription was denied; the server names subjects in lower case."""
        return any(f'{what} to "{subject.lower()}"' in each for each in self.said)


def harmless_of(role: RoleName, user: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a role may publish and subscribe to, as one subject of each kind, but for what could have an effect. Pure.

    Removing is tried on a consumer that does not exist; making and changing has a body that is no JSON.
    """
    table = ROLES[role]
    publish = (each.replace(NAME, user) for each in table.publish)
    subscribe = tuple(each.replace(NAME, user) for each in table.subscribe if not each.startswith("_INBOX"))
    return tuple(_concrete(each) for each in publish if _is_harmless(each)), subscribe


def _is_harmless(pattern: str) -> bool:
    tokens = pattern.split(".")
    removes = "DELETE" in tokens and not (tokens[-3:-1] == ["DELETE", STREAM] and tokens[-1] == "*")
    return not removes and not _NEVER & set(tokens)


def _concrete(pattern: str) -> str:
    return ".".join(NOBODY if token in ("*", ">") else token for token in pattern.split("."))


async def tried(link: Link, denials: Denials, *, publish: Sequence[str], subscribe: Sequence[str]) -> Tried:
    """Use each permission once. Raises a LinkError when the connection ends over it."""
    for subject in publish:
        await link.publish(subject, NO_REQUEST, reply=link.new_inbox(), headers=REFUSED_BY_EVERY_STREAM)
    for subject in subscribe:
        subscription = await link.subscribe(subject, _ignored)
        await link.flush(2)
        await subscription.unsubscribe()
    await link.flush(2)
    uses = [
        *(("publish", "publish", each) for each in publish),
        *(("subscribe", "subscription", each) for each in subscribe),
    ]
    back = tuple(f"{verb} {subject}" for verb, what, subject in uses if denials.has(what, subject))
    through = tuple(f"{verb} {subject}" for verb, _, subject in uses if f"{verb} {subject}" not in back)
    return Tried(through, back)


async def stream_refuses(link: Link, subject: str) -> str | None:
    """None when a stream listens on a subject (it refused our header, and stored nothing), else what went wrong."""
    try:
        await link.publish_stored(subject, NO_REQUEST, headers=REFUSED_BY_EVERY_STREAM, timeout_s=2)
    except BrokerRefused as error:
        return None if "10060" in error.message else error.message
    except CatalystError as error:
        return error.message
    return "a stream stored what it was told to refuse"


async def _ignored(_: Delivery) -> None:
    """What a subscription that should have been refused brings is none of our business."""
