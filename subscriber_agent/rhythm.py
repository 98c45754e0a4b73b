"""When the worker looks after what is no signal. Pure: monotonic seconds in, yes or no out.

listening  every second                what the friend said: yes, no, flatten
watching   every `engine.watch_s`      the stops that we watch ourselves
tending    every 5 s, when nothing was decided in the last half second, at the latest after 10; within half a
           second of a hint of the engine
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LISTEN_EVERY_S = 1.0
_TEND_EVERY_S = 5.0
# A decision counts the losses as well: looking after the rest keeps out of the way of the next one, but not for long.
_QUIET_S, _TEND_AT_LEAST_S = 0.5, 10.0
# An engine may tell of one order several times, and of many at once.
_HINTS_EVERY_S = 0.5


@dataclass(slots=True)
class Rhythm:
    """When each was done last; `through_at` is when tending last came to its end. `watch_s` may be set at any time."""

    watch_s: float = 2.0
    listened_at: float = -math.inf
    watched_at: float = -math.inf
    tended_at: float = -math.inf
    through_at: float = -math.inf
    told_at: float = -math.inf
    is_hinted: bool = False

    def is_listening_due(self, now: float) -> bool:
        """Whether it is time to hear the friend, and to see what else is due."""
        return self.is_hinted or now - self.listened_at >= LISTEN_EVERY_S

    def is_watching_due(self, now: float) -> bool:
        """Whether it is time to look at the prices of what has a stop."""
        return now - self.watched_at >= self.watch_s

    def is_tending_due(self, now: float) -> bool:
        """Whether it is time to look after everything that is open."""
        since = now - self.tended_at
        if self.is_hinted and since >= _HINTS_EVERY_S:
            return True
        return self.is_overdue(now) or (since >= _TEND_EVERY_S and now - self.told_at >= _QUIET_S)

    def is_overdue(self, now: float) -> bool:
        """Whether looking after what is open must not wait for one more decision."""
        return now - self.tended_at >= _TEND_AT_LEAST_S

    def tended(self, now: float) -> None:
        """Everything is being looked after from now on, watched stops included."""
        self.tended_at = self.watched_at = now
        self.is_hinted = False

    def may_give_way(self, now: float) -> bool:
        """Whether it may be broken off for a signal: not again and again, or nothing would ever be looked after."""
        return now - self.through_at < _TEND_AT_LEAST_S
