"""The publisher's sign of life: how an agent tells a quiet market from a dead publisher.

A plain message on `heartbeat.publisher`, not stored, signed like a signal. Counter and time keep a copied one from
counting: a friend can steer a server's answer into another's subscription. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from signal_contract.codec import violations_text
from signal_contract.errors import SignalInvalid
from signal_contract.model import ClassifierMode, Instant, Short, Wire

INTERVAL_S = 15
_MAX_BYTES = 4096
_Sequence = Annotated[int, Field(ge=0)]


class OutboxState(StrEnum):
    """The publisher's way to the stream: UP, DEGRADED after a failed attempt, DOWN after several in a row."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


class ClassifierState(Wire):
    """What the publisher knows of the classifier. `last_cycle_at` is when it last looked at the news, None: unknown."""

    name: Short
    mode: ClassifierMode
    degraded: bool
    last_cycle_at: Instant | None
    cycle_s: Annotated[int, Field(ge=1, le=86_400)] | None


class Heartbeat(Wire):
    """One sign of life, schema version 1; sent every `interval_s` seconds.

    `started_at` and `counter` order them: a restarted publisher has a later start and counts from 1 again. The
    sequences are the stream's (None: not known), `waiting` is how many signals the outbox still holds.
    """

    schema_version: Literal[1] = 1
    started_at: Instant
    counter: Annotated[int, Field(ge=1)]
    at: Instant
    interval_s: Annotated[int, Field(ge=1, le=3600)]
    state: OutboxState
    waiting: _Sequence
    first_sequence: _Sequence | None
    last_sequence: _Sequence | None
    classifier: ClassifierState | None


def heartbeat_bytes(heartbeat: Heartbeat) -> bytes:
    """Canonical JSON in field order."""
    return orjson.dumps(heartbeat.model_dump(mode="json"))


def read_heartbeat(payload: bytes) -> Heartbeat:
    """Read a heartbeat whose signature was checked. Raises SignalInvalid."""
    if len(payload) > _MAX_BYTES:
        raise SignalInvalid(f"a heartbeat of {len(payload)} bytes is over the limit of {_MAX_BYTES}")
    try:
        return Heartbeat.model_validate_json(payload)
    except ValidationError as error:
        raise SignalInvalid(f"this is not a heartbeat: {violations_text(error)}") from error
