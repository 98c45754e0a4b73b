"""From a delivery to what the journal keeps: verify, then parse, then compare with the subject it came on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat

from signal_contract.announce import ANNOUNCE_SUBJECT
from signal_contract.codec import decode
from signal_contract.control import Control, is_known_control, read_control
from signal_contract.delivery import Delivery
from signal_contract.errors import InputError, SignalInvalid, SignatureInvalid
from signal_contract.model import Signal
from signal_contract.signing import SIGNATURE_HEADER
from subscriber_agent.journal import Arrival
from subscriber_agent.receiving.keys import KeyChain, Switch
from subscriber_agent.receiving.pull import AckInfo, ack_info

CONTROL_UNKNOWN = "CONTROL_UNKNOWN"
_CONTROL = "control."
# A message that the key chain does not know yet may be ahead of the announcement that explains it; it is left to be
# delivered again so often.
_HELD_DELIVERIES = 2


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch, verified: what goes into the journal, with which message; and the key chain behind it.

    `held` messages are not acknowledged: they come again.
    """

    pairs: tuple[tuple[Delivery, Arrival], ...]
    keys: KeyChain
    held: int = 0


def batch_sorted(
    batch: Sequence[Delivery],
    keys: KeyChain,
    now: datetime,
    *,
    user: str,
    is_doubtful: bool,
    genuine: Sequence[bool] = (),
) -> Sorted:
    """Verify a batch in its order; a key announced in it counts for what stands behind it.

    `is_doubtful` says that earlier messages may still be on their way to us (after a restart or a reconnect): then a
    wrong signature may only mean that a key's announcement has not come yet. Messages without a stream sequence are
    dropped: they come from no stream. `genuine` says for each message whether the current key of `keys` is known to
    have signed it; empty, or False, is not known.
    """
    first = keys
    pairs: list[tuple[Delivery, Arrival]] = []
    held = 0
    for message, is_genuine in zip(batch, chain(genuine, repeat(False)), strict=False):
        info = ack_info(message.reply)
        if info is None:
            continue
        # Behind an announcement another key is the current one.
        is_checked = is_genuine and keys is first
        arrival, keys = arrival_from(message, info, keys, now, user=user, is_checked=is_checked)
        is_unexplained = arrival.code == SignatureInvalid.code and bool(arrival.signature)
        if is_doubtful and is_unexplained and info.delivered <= _HELD_DELIVERIES:
            held += 1
        else:
            pairs.append((message, arrival))
    return Sorted(tuple(pairs), keys, held)


def arrival_from(
    message: Delivery, info: AckInfo, keys: KeyChain, now: datetime, *, user: str, is_checked: bool = False
) -> tuple[Arrival, KeyChain]:
    """What to keep of a message to `user`, and the key chain after it. `is_checked`: its current key has signed it.

    `code` says why it must not be acted on (SIGNATURE_INVALID, SCHEMA_INVALID, CONTROL_UNKNOWN …).
    """
    signature = message.headers.get(SIGNATURE_HEADER)
    signal, control, code, detail = None, None, None, ""
    try:
        if not is_checked:
            keys.check(message.subject, message.data, signature, info.stream_seq)
        if message.subject == ANNOUNCE_SUBJECT:
            keys = _followed(keys, Switch(info.stream_seq, message.data, signature or ""))
        elif not message.subject.startswith(_CONTROL):
            signal = _signal_in(message)
        elif is_known_control(message.subject):
            control = _control_in(message, user)
        else:
            code, detail = CONTROL_UNKNOWN, "this version knows no such control message; upgrade catalyst-signals"
    except InputError as error:
        code, detail = error.code, error.message
    arrival = Arrival(
        stream_seq=info.stream_seq,
        subject=message.subject,
        payload=message.data,
        received_at=now,
        signal=signal,
        code=code,
        detail=detail,
        signature=signature,
        control=control,
    )
    return arrival, keys


def _signal_in(message: Delivery) -> Signal:
    signal = decode(message.data)
    if signal.subject != message.subject:
        raise SignatureInvalid("the signal belongs on another subject than the one it came on")
    return signal


def _control_in(message: Delivery, user: str) -> Control:
    control = read_control(message.subject, message.data)
    if control.user not in (None, user):
        raise SignalInvalid("the control message is for another user")
    return control


def _followed(keys: KeyChain, switch: Switch) -> KeyChain:
    return keys if keys.has(switch) else keys.after(switch)
