"""Signals and quotes in the one order in which a running agent would have met them. Pure; streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from signal_contract.model import Event, Session, Signal
from subscriber_agent.accounting.calendar import NYSE


@dataclass(frozen=True, slots=True)
class Past:
    """One past signal. `number` is its line in a file (from 1) or its stream sequence in the journal."""

    number: int
    signal: Signal


@dataclass(frozen=True, slots=True)
class Quote:
    """A price in USD that somebody saw at an instant (aware, UTC)."""

    at: datetime
    ticker: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Moment:
    """A signal at the instant `now` at which it is decided, and what the wire had said about its id by then.

    The exchange's session is None where its calendar ends: not known, and what is not known refuses.
    """

    number: int
    signal: Signal
    now: datetime
    latest_revision: int
    is_retracted: bool
    session: Session | None
    session_day: date | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been seen of one signal id."""

    revisions: tuple[int, ...]
    latest: int
    is_retracted: bool


_UNKNOWN = _Known((), 0, is_retracted=False)


class Wire:
    """Merges past signals with quotes. Each signal is decided `latency_s` seconds after its publication.

    Nothing is known early: a retraction counts for what comes after it, and does not undo a trade made before.
    """

    def __init__(self, latency_s: Decimal) -> None:
        self._latency = timedelta(microseconds=int(latency_s * 1_000_000))
        self._known: dict[str, _Known] = {}
        self.signals = 0
        self.duplicates = 0
        self.out_of_order = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None

    def events(self, past: Iterable[Past], quotes: Iterable[Quote] = ()) -> Iterator[Moment | Quote]:
        """Every signal in its order; each quote before the first signal that is decided after it."""
        coming = iter(quotes)
        quote = next(coming, None)
        for each in past:
            moment = self._moment(each)
            if moment is None:
                continue
            while quote is not None and quote.at <= moment.now:
                yield quote
                quote = next(coming, None)
            yield moment
        while quote is not None:
            yield quote
            quote = next(coming, None)

    def _moment(self, past: Past) -> Moment | None:
        """The signal with what is known of it; None for a revision that came before, which a journal keeps once."""
        signal = past.signal
        known = self._known.get(signal.signal_id, _UNKNOWN)
        if signal.revision in known.revisions:
            self.duplicates += 1
            return None
        latest = max(known.latest, signal.revision)
        is_retracted = known.is_retracted or signal.event is Event.RETRACT
        self._known[signal.signal_id] = _Known((*known.revisions, signal.revision), latest, is_retracted)
        self._count(signal.published_at)
        now = signal.published_at + self._latency
        return Moment(past.number, signal, now, latest, is_retracted, NYSE.session_at(now), NYSE.session_day(now))

    def _count(self, published_at: datetime) -> None:
        self.signals += 1
        self.first_at = published_at if self.first_at is None else min(self.first_at, published_at)
        if self.last_at is not None and published_at < self.last_at:
            self.out_of_order += 1
        else:
            self.last_at = published_at
