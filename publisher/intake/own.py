"""Signals that are written in our own schema already, and fire drills made from any signal. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from publisher.intake.outcome import RefusalCode, Unusable
from signal_contract.catalysts import CATALYSTS, catalysts_from_name
from signal_contract.codec import decode, encode, signal_id_from
from signal_contract.errors import CatalystUnknown, SchemaTooNew, SignalInvalid
from signal_contract.model import Signal

DRILL_KEY = "drill"
_MAX_NEWS_ID = 64


def signal_from_own(record: dict[str, Any], line: bytes) -> Signal:
    """Read a Signal as it stands: nothing in it is repaired. Raises Unusable."""
    names = record.get("catalysts")
    for name in [record.get("catalyst"), *(names if isinstance(names, list) else [])]:
        if isinstance(name, str) and name not in CATALYSTS:
            raise Unusable(RefusalCode.CATALYST_UNKNOWN, _nearest(name))
    try:
        return decode(line)
    except SchemaTooNew as error:
        raise Unusable(RefusalCode.SCHEMA_TOO_NEW, error.message) from error
    except SignalInvalid as error:
        raise Unusable(RefusalCode.SCHEMA_INVALID, error.message) from error


def _nearest(name: str) -> str:
    try:
        return f"unknown catalyst {name[:40]!r}; did you mean {catalysts_from_name(name)[0]!r}?"
    except CatalystUnknown as error:
        return error.message


def drill_from(signal: Signal, now: datetime) -> Signal:
    """The same signal as a fire drill classified right now: agents on paper act on it, live ones refuse it.

    Every instant moves by the same distance, so the news keeps its age. The id is another one (two drills of one
    signal within the same second are one drill), so a drill never shadows the real signal. Raises Unusable.
    """
    shift = now - signal.classified_at
    news_id = _drill_news_id(signal.news.id, now)
    moved = {
        "signal_id": signal_id_from(news_id, signal.ticker, signal.action),
        "classified_at": now,
        "published_at": now,
        "reference_price_at": None if signal.reference_price_at is None else signal.reference_price_at + shift,
        "expires_at": None if signal.expires_at is None else signal.expires_at + shift,
        "news": signal.news.model_copy(
            update={
                "id": news_id,
                "published_at": None if signal.news.published_at is None else signal.news.published_at + shift,
            }
        ),
        "meta": {**signal.meta, DRILL_KEY: "true"},
    }
    try:
        return decode(encode(signal.model_copy(update=moved)))
    except SignalInvalid as error:
        raise Unusable(RefusalCode.SCHEMA_INVALID, f"as a drill: {error.message}") from error


def _drill_news_id(news_id: str, now: datetime) -> str:
    prefix = f"{DRILL_KEY}:{now:%Y%m%dT%H%M%SZ}:"
    if len(prefix) + len(news_id) <= _MAX_NEWS_ID:
        return prefix + news_id
    return prefix + hashlib.sha256(news_id.encode()).hexdigest()[:40]
