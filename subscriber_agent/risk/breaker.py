"""The engine's circuit breaker, as a table of states over failures and time. Pure; the journal keeps the value.

OK ──n failures in a row──▶ OPEN ──engine_pause_s──▶ PROBE ──success──▶ OK
                              ▲                        └──failure──▶ OPEN
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Health


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row, when the latest was, and since when a probe is out; all None or 0: nothing ever failed."""

    failures: int = 0
    failed_at: datetime | None = None
    probing_since: datetime | None = None

    def succeeded(self) -> Breaker:
        """The engine answered: whatever was before is forgotten."""
        return Breaker()

    def failed(self, at: datetime) -> Breaker:
        """The engine did not answer at `at`, or answered with a fault of its own."""
        return Breaker(self.failures + 1, at)

    def probing(self, at: datetime) -> Breaker:
        """A probe goes out at `at`; written down before it does, so that there is one, over restarts too."""
        return replace(self, probing_since=at)

    def health(self, limits: Limits, now: datetime) -> Health:
        """What the engine may get at `now`. A clock set back keeps it open; a lost probe frees the next one later."""
        if self.failures < limits.engine_failures or self.failed_at is None:
            return Health.OK
        pause = timedelta(microseconds=int(limits.engine_pause_s * 1_000_000))
        since = self.failed_at if self.probing_since is None else max(self.failed_at, self.probing_since)
        return Health.PROBE if now >= since + pause else Health.OPEN
