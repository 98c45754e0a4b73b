"""How far our clock has moved by itself since it was last compared with the server's.

The comparison is made once a minute; a clock that is set in between would judge signals by a wrong age until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


def _steady_s() -> float:
    """Seconds that nobody can set; they go on while a laptop sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _wall() -> datetime:
    return datetime.now(UTC)


class ClockDrift:
    """Compares the clock that can be set with one that cannot."""

    def __init__(self, wall: Callable[[], datetime] = _wall, steady_s: Callable[[], float] = _steady_s) -> None:
        self._wall = wall
        self._steady_s = steady_s
        self._mark = wall(), steady_s()

    def mark(self) -> None:
        """The clock was compared with the server's just now."""
        self._mark = self._wall(), self._steady_s()

    def seconds(self) -> float:
        """How far the clock was put forward since then; negative when it was put back."""
        wall, steady_s = self._mark
        return (self._wall() - wall).total_seconds() - (self._steady_s() - steady_s)
