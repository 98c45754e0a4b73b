"""What an agent tells its operator, and how much of it the friend allows. Pure.

Identity is the subject's user token, which the server enforces; nothing in the payload is trusted for it. The id is
random: Nats-Msg-Id counts for the whole stream, and a guessable one could be used up by another friend.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from signal_contract.codec import violations_text
from signal_contract.errors import SignalInvalid
from signal_contract.model import Instant, NotNegative, Price, Short, Wire
from signal_contract.subject import user_name_checked

_MAX_BYTES = 8192
# What an agent may send a second, and at once after a pause. The server knows no rates; the operator sees who is over.
PER_SECOND, AT_ONCE = 8.0, 40.0
_Sequence = Annotated[int, Field(ge=0)]


class Kind(StrEnum):
    """RECEIVED: a message set aside; DECISION: the verdict; ORDER, FILL, EXIT: the engine's word; STATUS: health."""

    RECEIVED = "received"
    DECISION = "decision"
    ORDER = "order"
    FILL = "fill"
    EXIT = "exit"
    STATUS = "status"


class Privacy(StrEnum):
    """How much leaves the friend's machine. Each level includes the ones before it; prices and sizes only at FULL."""

    NONE = "none"
    DECISIONS = "decisions"
    OUTCOMES = "outcomes"
    FULL = "full"


_LEVELS = tuple(Privacy)
# What is told at the level FULL only, and what stands in its place below.
_NUMBERS, _TRIMMED = ("side", "quantity", "price", "detail"), (None, None, None, "")
_NEEDS: dict[Kind, Privacy] = {
    Kind.RECEIVED: Privacy.DECISIONS,
    Kind.DECISION: Privacy.DECISIONS,
    Kind.STATUS: Privacy.DECISIONS,
    Kind.ORDER: Privacy.OUTCOMES,
    Kind.FILL: Privacy.OUTCOMES,
    Kind.EXIT: Privacy.OUTCOMES,
}


class AgentStatus(Wire):
    """How an agent is doing. `position` is the stream sequence up to which it holds everything it is entitled to.

    `engine_state` is what the engine's circuit allows; None: a version that does not say.
    """

    version: Short
    mode: Short
    engine: Short
    link_state: Short
    trading_state: Short
    position: _Sequence
    last_sequence: _Sequence
    pending: _Sequence | None
    undecided: _Sequence
    privacy: Privacy
    engine_state: Short | None = None


class Feedback(Wire):
    """One report, schema version 1. Quantities in shares and prices in USD are null below privacy FULL."""

    schema_version: Literal[1] = 1
    feedback_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    kind: Kind
    at: Instant
    signal_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    revision: Annotated[int, Field(ge=1)] | None = None
    stream_seq: _Sequence | None = None
    label: Annotated[str, Field(max_length=64)] = ""
    code: Annotated[str, Field(max_length=64)] | None = None
    detail: Annotated[str, Field(max_length=200)] = ""
    side: Short | None = None
    quantity: NotNegative | None = None
    price: Price | None = None
    status: AgentStatus | None = None

    def subject(self, user: str) -> str:
        """`feedback.<user>.<kind>`; raises NameInvalid."""
        return f"feedback.{user_name_checked(user)}.{self.kind.value}"


def is_allowed(kind: Kind, privacy: Privacy) -> bool:
    """Whether this kind of report may leave the machine at this level."""
    return _LEVELS.index(privacy) >= _LEVELS.index(_NEEDS[kind])


def trimmed(feedback: Feedback, privacy: Privacy) -> Feedback | None:
    """The report as the privacy level lets it go: None when not at all, without numbers below FULL."""
    if not is_allowed(feedback.kind, privacy):
        return None
    if privacy is Privacy.FULL or (feedback.side, feedback.quantity, feedback.price, feedback.detail) == _TRIMMED:
        return feedback
    return feedback.model_copy(update=dict(zip(_NUMBERS, _TRIMMED, strict=True)))


def feedback_bytes(feedback: Feedback) -> bytes:
    """Canonical JSON in field order."""
    return orjson.dumps(feedback.model_dump(mode="json"))


def read_feedback(subject: str, payload: bytes) -> tuple[str, Feedback]:
    """The user that a report came from, and the report. Raises SignalInvalid for anything else."""
    parts = subject.split(".")
    if len(payload) > _MAX_BYTES:
        raise SignalInvalid(f"a report of {len(payload)} bytes is over the limit of {_MAX_BYTES}")
    try:
        feedback = Feedback.model_validate_json(payload)
    except ValidationError as error:
        raise SignalInvalid(f"this is not a report of an agent: {violations_text(error)}") from error
    if len(parts) != 3 or parts[0] != "feedback" or parts[2] != feedback.kind.value:
        raise SignalInvalid("the report belongs on another subject than the one it came on")
    return parts[1], feedback
