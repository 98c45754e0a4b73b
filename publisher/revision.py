"""A later word on a signal that is out already: take it back, or change it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from publisher.entry import Entry, Kept, is_intact
from signal_contract.codec import decode
from signal_contract.errors import Conflict, InputError, NotFound, StorageFailed
from signal_contract.model import Action, Event, Signal

REASON_KEY = "reason"
MAX_REASON = 200
_PREFIX = re.compile(r"[0-9a-f]{1,32}")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,10})?")
_DURATION = re.compile(r"([1-9]\d{0,3})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Change:
    """What an update says anew; None leaves it as it is. Texts as they were typed: decimals, and a duration such as
    2h, counted from now."""

    confidence: str | None = None
    stop: str | None = None
    target: str | None = None
    expires: str | None = None
    reason: str | None = None


def prefix_checked(text: str) -> str:
    """A signal id or its beginning; raises InputError."""
    found = text.strip().lower()
    if not _PREFIX.fullmatch(found):
        raise InputError(
            f"{text[:40]!r} is not a signal id", hint="Ids are 32 hex digits, or their beginning: catalyst signal list."
        )
    return found


def duration_from(text: str) -> timedelta:
    """`90m`, `2h`, `7d` or `4w`; raises InputError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{text[:20]!r} is not a duration", hint="Such as 90m, 2h, 7d or 4w.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def one_signal(prefix: str, kept: Sequence[Kept]) -> tuple[Kept, ...]:
    """The revisions of the one signal that `prefix` names, oldest first. Raises NotFound or InputError (several)."""
    ids = sorted({signal_id_of(each.entry) for each in kept})
    if not ids:
        raise NotFound(
            f"there is no signal {prefix} in the outbox", hint="`catalyst signal list --since 30d` shows what there is."
        )
    if len(ids) > 1:
        named = ", ".join(each[:12] for each in ids[:5])
        raise InputError(f"{prefix} names {len(ids)} signals: {named}", hint="Give more digits of the id.")
    return tuple(kept)


def signal_id_of(entry: Entry) -> str:
    """The signal's id, which every revision shares."""
    return entry.message_id.partition(".")[0]


def signal_of(entry: Entry) -> Signal:
    """The signal in an entry. Raises StorageFailed when it is not what was submitted."""
    if entry.signed_by and not is_intact(entry):
        raise StorageFailed(f"the outbox's copy of {entry.message_id} is damaged", hint="Restore it from a backup.")
    return decode(entry.payload)


def retracted(latest: Signal, reason: str, now: datetime) -> Signal:
    """The revision that takes a signal back. Raises Conflict when it is taken back already, InputError."""
    return _revised(latest, Event.RETRACT, {}, _reason_checked(reason), now)


def updated(latest: Signal, change: Change, now: datetime) -> Signal:
    """The revision that changes a signal. Raises Conflict when it was retracted, InputError for an unusable change."""
    fields: dict[str, Any] = {}
    if change.confidence is not None:
        fields["confidence"] = _number(change.confidence, "--confidence")
    if change.stop is not None:
        fields["stop_price"] = _number(change.stop, "--stop")
    if change.target is not None:
        fields["target_price"] = _number(change.target, "--target")
    if change.expires is not None:
        fields["expires_at"] = (now + duration_from(change.expires)).isoformat()
    if not fields:
        raise InputError("an update without a change", hint="Give --confidence, --stop, --target or --expires.")
    reason = None if change.reason is None else _reason_checked(change.reason)
    signal = _revised(latest, Event.UPDATE, fields, reason, now)
    _sides_checked(signal)
    return signal


def _revised(latest: Signal, event: Event, fields: dict[str, Any], reason: str | None, now: datetime) -> Signal:
    if latest.event is Event.RETRACT:
        raise Conflict(
            f"{latest.signal_id[:12]} {latest.ticker} was retracted already (revision {latest.revision})",
            hint="Nothing more can be said about it; publish a new signal instead.",
        )
    document = {
        **latest.model_dump(mode="json"),
        **fields,
        "revision": latest.revision + 1,
        "event": event.value,
        "published_at": now.isoformat(),
        "meta": {**latest.meta, REASON_KEY: reason} if reason else _without_reason(latest),
    }
    # Through the codec: a revision meets every rule of the schema, also those over several fields.
    return decode(orjson.dumps(document))


def _without_reason(latest: Signal) -> dict[str, str]:
    return {key: value for key, value in latest.meta.items() if key != REASON_KEY}


def _sides_checked(signal: Signal) -> None:
    stop, target = signal.stop_price, signal.target_price
    if stop is None or target is None or not signal.action.is_entry:
        return
    if (stop < target) is not (signal.action is Action.BUY):
        side = "below" if signal.action is Action.BUY else "above"
        raise InputError(f"the stop {stop} of a {signal.action.value} must lie {side} its target {target}")


def _number(text: str, option: str) -> str:
    found = text.strip()
    if not _NUMBER.fullmatch(found):
        raise InputError(f"{option} {text[:20]!r} is not a number", hint="A decimal such as 0.75 or 12.34.")
    return found


def _reason_checked(text: str) -> str:
    reason = " ".join(text.split())
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise InputError(f"a reason is 1 to {MAX_REASON} printable characters")
    return reason
