"""What the bot's own cycle says about its classifier: when it last looked at the news, and how often it means to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from publisher.intake.bot import CLASSIFIER_NAME
from publisher.intake.foreign import Reader
from publisher.intake.outcome import RefusalCode
from publisher.intake.repair import within
from signal_contract.heartbeat import ClassifierState
from signal_contract.model import Classifier, ClassifierMode

_LONGEST_S = 86_400
_EVERY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cycle:
    """The state between two looks; `interval_s` and `took_s` in seconds, None: not known."""

    mode: ClassifierMode = ClassifierMode.UNKNOWN
    is_degraded: bool = False
    interval_s: float | None = None
    took_s: float = 0.0
    began_at: datetime | None = None
    seen_at: datetime | None = None
    written_at: datetime | None = None

    def began(self, now: datetime, interval_s: float | None) -> Cycle:
        """A cycle begins; the pause between two is `interval_s`."""
        return replace(
            self, began_at=now, seen_at=now, interval_s=self.interval_s if interval_s is None else interval_s
        )

    def ended(self, now: datetime) -> Cycle:
        """It has come to its end."""
        took_s = 0.0 if self.began_at is None else max(0.0, (now - self.began_at).total_seconds())
        return replace(self, seen_at=now, took_s=took_s)

    def classified(self, now: datetime, by: Classifier | None) -> Cycle:
        """An item came out of it; `by` is how it was classified (None: not known)."""
        if by is None:
            return replace(self, seen_at=now)
        return replace(self, seen_at=now, mode=by.mode, is_degraded=by.degraded)

    @property
    def is_due(self) -> bool:
        """Whether it is time to tell: there is something new, and the last time is a second ago."""
        if self.seen_at is None:
            return False
        return self.written_at is None or self.seen_at - self.written_at >= _EVERY

    @property
    def state(self) -> ClassifierState:
        """What the heartbeat says: a cycle takes its pause and as long as the last one took."""
        cycle_s = None if self.interval_s is None else math.ceil(self.interval_s + self.took_s)
        return ClassifierState(
            name=CLASSIFIER_NAME,
            mode=self.mode,
            degraded=self.is_degraded,
            last_cycle_at=self.seen_at,
            cycle_s=None if cycle_s is None else min(max(cycle_s, 1), _LONGEST_S),
        )


def interval_from(settings: Any, market_info: Any) -> float | None:
    """The pause between two cycles in seconds: by the market's state, else by the bot's settings; None: not known."""
    reader = Reader()

    def seconds(value: Any) -> float | None:
        found = within(value, "interval", 1, _LONGEST_S, code=RefusalCode.NUMBER_INVALID)
        return None if found is None else float(found)

    by_market = None if market_info is None else reader.repaired(market_info, "cycle_seconds", "cycle_seconds", seconds)
    if by_market is not None or settings is None:
        return by_market
    return reader.repaired(settings, "loop_seconds", "loop_seconds", seconds)
