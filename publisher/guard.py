"""The guard rails between a source and the outbox: a cap per minute, and one signal for what several sources bring.

Pure: what went out lately, the limits and `now` are arguments; `gate` reads and writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from signal_contract.codec import decode, encode, signal_id_from
from signal_contract.model import Action, Event, Number, Signal, Wire

ALSO_FROM = "also_from"
# What a signal's meta says when agents must not treat it like the others; such a signal never stands for another one.
_MARKS = ("drill", "record_only")
_MINUTE = timedelta(minutes=1)
_HISTORY = timedelta(hours=1)
_MAX_META = 500
_MAX_META_KEYS = 32
_WORD = re.compile(r"[a-z0-9]+")
# Below this many words one other word is another story.
_FEW_WORDS = 4


class GuardCode(StrEnum):
    """Why a signal does not go out; stable, for scripts."""

    RATE_CAPPED = "RATE_CAPPED"
    MERGED = "MERGED"


def _half_or_more(value: Decimal) -> Decimal:
    if not Decimal("0.5") <= value <= 1:
        raise ValueError("0.5 to 1; less would merge different news")
    return value


class GuardLimits(Wire):
    """The content of `guard.json`; what is left out has its default.

    `max_per_minute` signals of live sources go out (exits, retractions, updates, drills and history are free of it);
    news within `merge_window_s` seconds whose titles share `merge_overlap` of their words are one (0 seconds: never);
    an exit that was classified over `exit_max_age_s` seconds ago is followed as `watch`, see `aged`.
    """

    max_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 60
    merge_window_s: Annotated[int, Field(ge=0, le=86_400)] = 900
    merge_overlap: Annotated[Number, AfterValidator(_half_or_more)] = Decimal("0.8")
    exit_max_age_s: Annotated[int, Field(ge=60, le=31_536_000)] = 86_400


@dataclass(frozen=True, slots=True)
class Known:
    """A signal that went out, or is held for approval, and since when."""

    signal: Signal
    since: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """A signal and what becomes of it: `code` None lets it pass. `into` is the id of the signal that stands for it."""

    signal: Signal
    code: GuardCode | None = None
    reason: str = ""
    into: str | None = None


def memory_start(signals: Sequence[Signal], limits: GuardLimits, now: datetime) -> datetime:
    """How far back `judged` must know what went out, to judge these signals."""
    window = timedelta(seconds=limits.merge_window_s)
    return min([now - _MINUTE, *(each.classified_at - window for each in signals)])


def judged(
    signals: Sequence[Signal], known: Sequence[Known], limits: GuardLimits, now: datetime, *, is_capped: bool
) -> tuple[Judged, ...]:
    """Judge signals in their order. `is_capped` is False for what a person hands over as a file.

    What is known already passes: the outbox takes it as a duplicate, so that reading a source again changes nothing.
    """
    out: list[Judged] = []
    ids = {each.signal.signal_id for each in known}
    room = limits.max_per_minute - sum(1 for each in known if each.since > now - _MINUTE and counts(each.signal, now))
    for signal in signals:
        ruling = _ruling(signal, ids, [*known, *_passed(out, now)], limits)
        if ruling.code is None and is_capped and signal.signal_id not in ids and counts(signal, now):
            room -= 1
            if room < 0:
                ruling = Judged(signal, GuardCode.RATE_CAPPED, f"over {limits.max_per_minute} signals within a minute")
        if ruling.code is None:
            ids.add(signal.signal_id)
        out.append(ruling)
    return tuple(_with_provenance(out))


def _passed(out: Iterable[Judged], now: datetime) -> list[Known]:
    return [Known(each.signal, now) for each in out if each.code is None]


def _ruling(signal: Signal, ids: set[str], known: Sequence[Known], limits: GuardLimits) -> Judged:
    if signal.signal_id in ids or signal.event is not Event.NEW:
        return Judged(signal)
    first = next((each.signal for each in known if is_same_news(each.signal, signal, limits)), None)
    if first is None:
        return Judged(signal)
    reason = f"{signal.news.source} brings what {first.news.source} brought as {first.signal_id[:10]}"
    return Judged(signal, GuardCode.MERGED, reason, first.signal_id)


def counts(signal: Signal, now: datetime) -> bool:
    """Whether the cap is about this signal: new, fresh, and nothing that takes risk away.

    An exit or a retraction that is held back costs money; what is over an hour old or expired is history.
    """
    is_history = now - signal.classified_at > _HISTORY or (signal.expires_at is not None and signal.expires_at <= now)
    is_free = signal.event is not Event.NEW or signal.action is Action.CLOSE or signal.meta.get("drill") == "true"
    return not is_history and not is_free


def is_same_news(first: Signal, later: Signal, limits: GuardLimits) -> bool:
    """Whether two signals tell one story from two sources: same subject and action, near in time, near-same title.

    The subject counts, not the ticker alone: a friend may be entitled to one of two catalysts only, and would lose the
    signal. One source's own items are never merged: it knows itself what is new. A retracted signal still stands for
    its story.
    """
    window = timedelta(seconds=limits.merge_window_s)
    return (
        limits.merge_window_s > 0
        and (first.subject, first.action) == (later.subject, later.action)
        and first.news.source != later.news.source
        and abs(first.classified_at - later.classified_at) <= window
        and all(first.meta.get(mark) == later.meta.get(mark) for mark in _MARKS)
        and is_near_title(first.news.title, later.news.title, limits.merge_overlap)
    )


def is_near_title(one: str, other: str, overlap: Decimal) -> bool:
    """Whether two titles share at least `overlap` of all their words (0..1), and every word with a digit in it.

    Phase 2 is not phase 3: numbers must agree. Titles of under 4 words must be the same words.
    """
    left, right = set(_WORD.findall(one.lower())), set(_WORD.findall(other.lower()))
    if not left or not right or _numbers(left) != _numbers(right):
        return False
    if min(len(left), len(right)) < _FEW_WORDS:
        return left == right
    return Decimal(len(left & right)) / len(left | right) >= overlap


def _numbers(words: set[str]) -> set[str]:
    return {word for word in words if any(each.isdigit() for each in word)}


def _with_provenance(out: Sequence[Judged]) -> list[Judged]:
    """Name the later sources in the signals that go out now; what is out already is not written again."""
    sources: dict[str, list[str]] = {}
    for each in out:
        if each.into is not None:
            sources.setdefault(each.into, []).append(each.signal.news.source)
    return [
        replace(each, signal=_also_from(each.signal, sources[each.signal.signal_id]))
        if each.code is None and each.signal.signal_id in sources
        else each
        for each in out
    ]


def _also_from(signal: Signal, sources: Sequence[str]) -> Signal:
    if ALSO_FROM not in signal.meta and len(signal.meta) >= _MAX_META_KEYS:
        return signal
    named = ", ".join(dict.fromkeys(sources))[:_MAX_META]
    return signal.model_copy(update={"meta": {**signal.meta, ALSO_FROM: named}})


def aged(signal: Signal, limits: GuardLimits, now: datetime) -> Signal:
    """The signal as a followed source may publish it: an exit on old news is for the eyes only.

    Entries expire by themselves, exits never do: a back-fill of last year's distress news would close positions today.
    """
    is_old = now - signal.classified_at > timedelta(seconds=limits.exit_max_age_s)
    if signal.action is not Action.CLOSE or signal.event is not Event.NEW or not is_old:
        return signal
    changes = {
        "action": Action.WATCH,
        "signal_id": signal_id_from(signal.news.id, signal.ticker, Action.WATCH),
        "meta": signal.meta if len(signal.meta) >= _MAX_META_KEYS else {**signal.meta, "was_action": "close"},
    }
    return decode(encode(signal.model_copy(update=changes)))
