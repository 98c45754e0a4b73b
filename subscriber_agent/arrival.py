"""From a delivery to what the journal keeps: verify, then parse, then compare with the subject it came on. Pure."""

from __future__ import annotations

from datetime import datetime

from signal_contract.codec import decode
from signal_contract.errors import InputError, SignatureInvalid
from signal_contract.link import Delivery
from signal_contract.model import Signal
from signal_contract.signing import SIGNATURE_HEADER, Verifier
from subscriber_agent.journal import Arrival
from subscriber_agent.pull import ack_info


def arrival_from(message: Delivery, verifier: Verifier, now: datetime) -> Arrival:
    """What to keep of a message; `code` says why it must not be acted on (SIGNATURE_INVALID, SCHEMA_INVALID …).

    A message whose ack subject names no sequence cannot come from a stream: InputError.
    """
    info = ack_info(message.reply)
    if info is None:
        raise InputError(f"a message on {message.subject[:80]} has no stream sequence")
    signal, code, detail = _checked(message, verifier)
    return Arrival(
        stream_seq=info.stream_seq,
        subject=message.subject,
        payload=message.data,
        received_at=now,
        signal=signal,
        code=code,
        detail=detail,
    )


def _checked(message: Delivery, verifier: Verifier) -> tuple[Signal | None, str | None, str]:
    try:
        verifier.check(message.subject, message.data, message.headers.get(SIGNATURE_HEADER))
        signal = decode(message.data)
        if signal.subject != message.subject:
            raise SignatureInvalid("the signal belongs on another subject than the one it came on")
    except InputError as error:
        return None, error.code, error.message
    return signal, None, ""
