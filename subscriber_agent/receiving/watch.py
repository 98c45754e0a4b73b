"""Watches the link: each change of its state is told once and noted, and a state that lasts becomes an alert or an end.

CUT, DEAF or LAGGING without a break for     alert_after_s          one `alert`, and `alert_over` when signals flow
                                             exit_when_not_live_s   LinkNotLive (0: never)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from signal_contract.errors import LinkNotLive
from subscriber_agent.disk import Disk
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.link_state import LinkState, Observed, StateTracker
from subscriber_agent.settings.config import AgentConfig

OBSERVE_EVERY_S = 0.5
_FLOWING = (LinkState.LIVE, LinkState.QUIET)
Report = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Episode:
    """A time without signals: since when (monotonic seconds, None: signals flow), and whether it was told."""

    since: float | None = None
    is_told: bool = False

    def after(self, state: LinkState, now: float) -> Episode:
        """The episode as it stands in a state; it goes on while one bad state follows another."""
        if state in _FLOWING:
            return Episode()
        return Episode(now, is_told=False) if self.since is None else self

    def lasted_s(self, now: float) -> float:
        """Seconds since it began; 0 while signals flow."""
        return 0.0 if self.since is None else now - self.since


class LinkWatch:
    """Looks at the link every half second and when `wake` is called. `look` measures it."""

    def __init__(
        self, config: AgentConfig, journal: Journal, disk: Disk, report: Report, look: Callable[[], Observed]
    ) -> None:
        self.config = config
        self._journal = journal
        self._disk = disk
        self._report = report
        self._look = look
        self._tracker = StateTracker.started(datetime.now(UTC))
        self._episode = Episode()
        self._wake = asyncio.Event()
        # Monotonic seconds: when the last look went through, with a change of state in the journal.
        self.looked_at: float | None = None

    @property
    def state(self) -> LinkState:
        """The state of now."""
        return self._tracker.state

    def wake(self) -> None:
        """Something happened: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled. Raises LinkNotLive when the config wants the agent to end."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._observe(self._look(), clock())
            self.looked_at = clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OBSERVE_EVERY_S):
                    await self._wake.wait()
            self._wake.clear()

    async def ended(self, reason: str) -> None:
        """Note that the agent ends: `status` must not show the last state as if it still held."""
        await self._disk.run(self._journal.set_link, LinkState.CUT.value, reason, datetime.now(UTC))

    async def _observe(self, observed: Observed, now: float) -> None:
        self._tracker, change = self._tracker.after(observed, datetime.now(UTC))
        if change is not None:
            facts = {
                "state": change.after.value,
                "reason": change.reason,
                "before": change.before.value,
                "lasted_s": round(change.lasted_s, 1),
            }
            self._report("link", facts)
            await self._disk.run(self._journal.set_link, change.after.value, change.reason, change.at)
        self._alert(now)

    def _alert(self, now: float) -> None:
        before, self._episode = self._episode, self._episode.after(self._tracker.state, now)
        lasted_s = self._episode.lasted_s(now)
        facts = {"state": self._tracker.state.value, "reason": self._tracker.reason}
        if before.is_told and self._episode.since is None:
            self._report("alert_over", {**facts, "lasted_s": round(before.lasted_s(now), 1)})
        if self._episode.since is not None and not self._episode.is_told and lasted_s >= self.config.alert_after_s:
            self._episode = Episode(self._episode.since, is_told=True)
            self._report("alert", {**facts, "lasted_s": round(lasted_s, 1)})
        limit_s = self.config.exit_when_not_live_s
        if limit_s and lasted_s >= limit_s:
            raise LinkNotLive(f"no signals for {lasted_s:.0f} s: {self._tracker.reason} ({self._tracker.state.value})")
