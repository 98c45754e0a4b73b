"""The operator's word to agents: halt, reduce, resume, notice. In the stream itself, so in one order with the signals.

`control.all.<verb>` is for everybody, `control.user.<name>.<verb>` for one friend. Signed like a signal. Pure.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, Field, ValidationError

from signal_contract.codec import violations_text
from signal_contract.errors import NameInvalid, SignalInvalid
from signal_contract.model import Instant, Wire
from signal_contract.subject import CONTROL_ALL, CONTROL_USER, user_name_checked

_MAX_BYTES = 4096


class Verb(StrEnum):
    """HALT orders nothing, REDUCE allows exits only, RESUME takes both back, NOTICE is text to be shown."""

    HALT = "halt"
    REDUCE = "reduce"
    RESUME = "resume"
    NOTICE = "notice"


def _user(value: str) -> str:
    try:
        return user_name_checked(value)
    except NameInvalid as error:
        raise ValueError(error.message) from None


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("text holds control characters")
    return value


class Control(Wire):
    """One control message, schema version 1. `user` None means everybody; `reason` is shown to the friend."""

    schema_version: Literal[1] = 1
    control_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    verb: Verb
    user: Annotated[str, AfterValidator(_user)] | None
    reason: Annotated[str, Field(max_length=500), AfterValidator(_printable)]
    issued_at: Instant

    @property
    def subject(self) -> str:
        """The subject that this message belongs on, and nowhere else."""
        scope = CONTROL_ALL if self.user is None else f"{CONTROL_USER}.{self.user}"
        return f"{scope}.{self.verb.value}"

    @property
    def message_id(self) -> str:
        """Nats-Msg-Id: sent again after a lost receipt, it is stored once."""
        return f"control.{self.control_id}"


def is_known_control(subject: str) -> bool:
    """Whether a control subject ends in a verb that this version knows."""
    return subject.rpartition(".")[2] in tuple(Verb)


def control_bytes(control: Control) -> bytes:
    """Canonical JSON in field order."""
    return orjson.dumps(control.model_dump(mode="json"))


def read_control(subject: str, payload: bytes) -> Control:
    """Read what came on `subject`, after its signature was checked.

    Raises SignalInvalid when it is malformed or belongs on another subject.
    """
    if len(payload) > _MAX_BYTES:
        raise SignalInvalid(f"a control message of {len(payload)} bytes is over the limit of {_MAX_BYTES}")
    try:
        control = Control.model_validate_json(payload)
    except ValidationError as error:
        raise SignalInvalid(f"this is not a control message: {violations_text(error)}") from error
    if control.subject != subject:
        raise SignalInvalid("the control message belongs on another subject than the one it came on")
    return control
