"""A classifier of your own: publishes one made-up signal with asyncio, and one from a program without an event loop.

    python own_classifier.py [DATA]

DATA is the directory of `catalyst up` (default: CATALYST_DATA, else the usual one). On return of `submit` a signal is
safe on disk; it goes out now, or when the server is back. The same news, ticker and action is published once only.
"""

# ruff: noqa: T201  # a program for a terminal
from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, read_settings
from signal_contract.codec import signal_id_from
from signal_contract.errors import CatalystError
from signal_contract.heartbeat import ClassifierState
from signal_contract.model import (
    Action,
    Classifier,
    ClassifierMode,
    Event,
    Market,
    News,
    Priority,
    Signal,
)

CYCLE_S = 60


def a_signal(news_id: str, *, now: datetime) -> Signal:
    """What a classifier found: prices in USD, fractions from 0 to 1, every instant with its offset from UTC."""
    return Signal(
        schema_version=1,
        signal_id=signal_id_from(news_id, "ZVZZT", Action.BUY),
        revision=1,
        event=Event.NEW,
        action=Action.BUY,
        ticker="ZVZZT",
        catalyst="fda",
        catalysts=("fda",),
        confidence=Decimal("0.9"),
        score=None,
        sentiment=None,
        reference_price=Decimal("5.00"),
        reference_price_at=now,
        stop_price=Decimal("4.75"),
        target_price=Decimal("5.60"),
        suggested_size_fraction=Decimal("0.02"),
        news=News(id=news_id, title="A made-up approval", url=None, source="own_classifier", published_at=now),
        market=Market(),
        classified_at=now,
        published_at=now,
        expires_at=now + timedelta(hours=2),
        classifier=Classifier(name="own", version="1", mode=ClassifierMode.KEYWORD, degraded=False),
        priority=Priority.NORMAL,
        meta={},
    )


def alive(now: datetime) -> ClassifierState:
    """To be said after every look at the news: friends see QUIET when three of these stay away."""
    return ClassifierState(name="own", mode=ClassifierMode.KEYWORD, degraded=False, last_cycle_at=now, cycle_s=CYCLE_S)


async def with_asyncio(data: Path) -> None:
    """In a program that has an event loop."""
    now = datetime.now(UTC)
    async with SignalPublisher(read_settings(data, now=now), background=True) as publisher:
        publisher.classifier = alive(now)
        submitted = await publisher.submit(a_signal("made-up-1", now=now))
        print(f"{submitted.message_id}: {'kept' if submitted.is_new else 'published before'}")


def with_a_thread(data: Path) -> None:
    """In a program that has none: sending happens on a thread of its own."""
    now = datetime.now(UTC)
    with SignalPublisher.start_thread(read_settings(data, now=now)) as publisher:
        publisher.set_classifier(alive(now))
        submitted = publisher.submit(a_signal("made-up-2", now=now))
        print(f"{submitted.message_id}: {'kept' if submitted.is_new else 'published before'}")


if __name__ == "__main__":
    named = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CATALYST_DATA")
    home = Path(named) if named else default_data_dir()
    try:
        asyncio.run(with_asyncio(home))
        with_a_thread(home)
    except CatalystError as error:
        sys.exit(f"{error.message}. {error.hint}")
