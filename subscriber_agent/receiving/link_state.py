"""How well signals flow to us, as one table. Pure: the shell measures, this says what it adds up to.

state     when (the first that applies)                                 still sure of
────────  ────────────────────────────────────────────────────────────  ───────────────────────────────────
CUT       there is no connection                                        nothing
DEAF      connected, but nothing was heard for the pull for 12.5 s      nothing newer than that
LAGGING   messages have been waiting for us for more than 10 s          what has arrived, not that it is all
QUIET     no sign of life from the publisher for 45 s, or the           that nothing is on the way, not that
          classifier has not looked at the news when it should          somebody is watching the news
LIVE      otherwise                                                     a signal would be here
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from signal_contract.heartbeat import INTERVAL_S

PULL_SILENT_S = 12.5
LAGGING_AFTER_S = 10.0
PUBLISHER_SILENT_S = 3.0 * INTERVAL_S


class LinkState(StrEnum):
    LIVE = "LIVE"
    QUIET = "QUIET"
    LAGGING = "LAGGING"
    DEAF = "DEAF"
    CUT = "CUT"

    @property
    def is_flowing(self) -> bool:
        """Whether what is published would reach us at once: a quiet publisher is no fault of the link."""
        return self in (LinkState.LIVE, LinkState.QUIET)


@dataclass(frozen=True, slots=True)
class Observed:
    """What was measured. `pull_heard_s`, `heartbeat_s`: seconds since the last one, None when there was none yet.

    `pending`: messages that wait in the durable, None when not known; `lagging_s`: for how many seconds it has been
    above 0; `classifier_stalled`: by its own word it should have looked at the news long ago.
    """

    connected: bool
    pull_heard_s: float | None
    heartbeat_s: float | None
    pending: int | None
    lagging_s: float
    classifier_stalled: bool


def _is_older(age_s: float | None, limit_s: float) -> bool:
    """Whether something is older than a limit; what never was, or has no number, is."""
    return age_s is None or not age_s <= limit_s


TABLE: tuple[tuple[LinkState, Callable[[Observed], bool], str], ...] = (
    (LinkState.CUT, lambda seen: not seen.connected, "no connection to the server"),
    (
        LinkState.DEAF,
        lambda seen: _is_older(seen.pull_heard_s, PULL_SILENT_S),
        "connected, but the server says nothing to our pull",
    ),
    (
        LinkState.LAGGING,
        lambda seen: bool(seen.pending) and _is_older(seen.lagging_s, LAGGING_AFTER_S),
        "messages have been waiting for more than 10 seconds",
    ),
    (
        LinkState.QUIET,
        lambda seen: _is_older(seen.heartbeat_s, PUBLISHER_SILENT_S),
        "the publisher gives no sign of life",
    ),
    (LinkState.QUIET, lambda seen: seen.classifier_stalled, "the classifier has stopped looking at the news"),
    (LinkState.LIVE, lambda seen: True, "signals flow"),
)


def state_from(observed: Observed) -> tuple[LinkState, str]:
    """The state, and why; the reason is one of a few fixed texts, without numbers that would change all the time."""
    return next((state, reason) for state, applies, reason in TABLE if applies(observed))


@dataclass(frozen=True, slots=True)
class Change:
    """The link left one state (or one reason) for another; `lasted_s` is how long it was in the state before."""

    before: LinkState
    after: LinkState
    reason: str
    at: datetime
    lasted_s: float


@dataclass(frozen=True, slots=True)
class StateTracker:
    """The state of now, why, and since when; an aware instant."""

    state: LinkState
    reason: str
    since: datetime

    @classmethod
    def started(cls, now: datetime) -> StateTracker:
        """Before the first connection."""
        return cls(LinkState.CUT, "not connected yet", now)

    def after(self, observed: Observed, now: datetime) -> tuple[StateTracker, Change | None]:
        """The tracker after a measurement, and what changed; another reason for the same state keeps `since`."""
        state, reason = state_from(observed)
        if (state, reason) == (self.state, self.reason):
            return self, None
        change = Change(self.state, state, reason, now, self.lasting_s(now))
        if state is self.state:
            return replace(self, reason=reason), change
        return StateTracker(state, reason, now), change

    def lasting_s(self, now: datetime) -> float:
        """For how many seconds the state has lasted; never negative, also when the clock was set back."""
        return max(0.0, (now - self.since).total_seconds())


@dataclass(frozen=True, slots=True)
class Seen:
    """The link as it was looked at `age_s` seconds ago (None: never yet), and the last delivery kept by then."""

    state: LinkState
    age_s: float | None
    deliveries: int
