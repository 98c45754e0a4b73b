"""What the publisher measures: its state file, its outbox, and the signals that the stream has taken."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from publisher.metrics_outbox import Delivered, delivered, depth, identity_of, last_delivered
from publisher.pulse import STATE_FILE
from publisher.settings import outbox_path
from signal_contract.codec import decode
from signal_contract.errors import InputError
from signal_contract.metrics import words
from signal_contract.metrics.operator_table import PUBLISHER_METRICS
from signal_contract.metrics.samples import Measured, Sample, Tallies, one_of
from signal_contract.model import Event


class PublisherSource:
    """Counts from its first look on; opens its files anew at each look and writes nothing."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._tallies = Tallies(PUBLISHER_METRICS)
        self._identity: tuple[int, int] | None = None
        self._read_to: int | None = None

    def look(self, now: datetime) -> list[Measured]:
        """How it stands. Raises NotFound before `catalyst up` made the settings, ConfigInvalid, StorageFailed."""
        outbox = outbox_path(self._data)
        return [*_state(outbox.with_name(STATE_FILE), now), *self._outbox(outbox, now), *self._tallies.samples()]

    def close(self) -> None:
        """Nothing is held open between looks."""

    def _outbox(self, path: Path, now: datetime) -> list[Measured]:
        identity = identity_of(path)
        if identity is None:  # nothing was ever submitted: what comes is counted from the first signal on
            self._read_to = 0
            return [Sample(f"catalyst_publisher_outbox_{each}", 0) for each in ("waiting", "stored")]
        if self._read_to is None or (self._identity is not None and identity != self._identity):
            self._read_to = last_delivered(path)
        self._identity = identity
        while rows := delivered(path, self._read_to):
            for each in rows:
                self._count(each)
            self._read_to = rows[-1].position
        found = depth(path)
        age_s = 0.0 if found.oldest is None else max(0.0, (now - found.oldest).total_seconds())
        return [
            Sample("catalyst_publisher_outbox_waiting", found.waiting),
            Sample("catalyst_publisher_outbox_stored", found.stored),
            Sample("catalyst_publisher_outbox_oldest_age_seconds", age_s),
        ]

    def _count(self, found: Delivered) -> None:
        if found.is_duplicate:
            self._tallies.count("catalyst_publisher_duplicates_total")
        took_s = (found.stored_at - found.submitted_at).total_seconds()
        if took_s >= 0:  # not across a clock that was set back
            self._tallies.observe("catalyst_publisher_ack_seconds", took_s)
        try:
            signal = decode(found.payload)
        except InputError:
            return  # an older version's; it went out, and that is counted above
        self._tallies.count("catalyst_signals_total", signal.catalyst, signal.action.value, signal.event.value)
        if signal.event is Event.NEW:
            self._tallies.observe("catalyst_signal_confidence", signal.confidence)
            self._stage(words.NEWS_TO_CLASSIFIED, signal.news.published_at, signal.classified_at)
            self._stage(words.CLASSIFIED_TO_PUBLISHED, signal.classified_at, signal.published_at)

    def _stage(self, stage: str, start: datetime | None, end: datetime) -> None:
        if start is not None and end >= start:
            self._tallies.observe("catalyst_publisher_stage_seconds", (end - start).total_seconds(), stage)


def _state(path: Path, now: datetime) -> list[Measured]:
    """The state file; nothing when nobody has ever sent, or when it cannot be read."""
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        at = datetime.fromisoformat(found["at"])
        state = str(found["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    age_s = max(0.0, (now - at).total_seconds())
    return [
        *one_of("catalyst_publisher_state", state, words.OUTBOX_STATES),
        Sample("catalyst_publisher_state_age_seconds", age_s),
    ]
