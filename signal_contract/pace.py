"""Whether a disk is quick enough to be waited for in the event loop's own thread. Pure, but for the clock it is given.

Handing a call to a thread and its answer back takes 0.2 to 0.5 ms; a commit on an SSD about as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# What takes longer than this, on a slow or busy disk, must not keep pings and stops waiting.
QUICK_S = 0.003
# After a slow call the disk counts as slow for so many times as long: it may hold up a twentieth of the time at most.
_REST = 20.0


class Pace:
    """For one disk. `clock` says seconds; with `quick_s` 0 nothing is quick."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, *, quick_s: float = QUICK_S) -> None:
        self._clock = clock
        self._quick_s = quick_s
        self._slow_until = 0.0

    @property
    def is_quick(self) -> bool:
        """Whether the next call may be waited for."""
        return self._quick_s > 0 and self._clock() >= self._slow_until

    def now(self) -> float:
        """When a call begins, for `took`."""
        return self._clock()

    def took(self, began: float) -> None:
        """Note that a call which began then is over, in whatever thread it ran."""
        now = self._clock()
        if now - began > self._quick_s:
            self._slow_until = now + (now - began) * _REST
