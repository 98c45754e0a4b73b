"""The state of the way to the broker, and how long to wait before the next attempt. Pure.

UP ──failure──▶ DEGRADED ──3rd failure in a row──▶ DOWN
 ▲                 │                                │
 └────success──────┴────────────success─────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
FAILURES_UNTIL_DOWN = 3


class CircuitState(StrEnum):
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Circuit:
    """Failures in a row so far; the state follows from them."""

    failures: int = 0

    @property
    def state(self) -> CircuitState:
        if self.failures == 0:
            return CircuitState.UP
        return CircuitState.DEGRADED if self.failures < FAILURES_UNTIL_DOWN else CircuitState.DOWN

    def succeeded(self) -> Circuit:
        """The circuit after a receipt."""
        return Circuit()

    def failed(self) -> Circuit:
        """The circuit after an attempt without a receipt."""
        return Circuit(self.failures + 1)

    def pause_s(self, chance: float) -> float:
        """Seconds until the next attempt: 0.1 s doubling up to 5 s, cut by up to half by `chance` (0..1).

        The jitter keeps several publishers from coming back in step after an outage.
        """
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (1 << min(max(self.failures - 1, 0), 16)))
        return longest * (1 - chance / 2)
