"""Watches the questions that wait for the friend's word: says once when one was rejected, or ran out of time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from subscriber_agent.journal import Journal
from subscriber_agent.journal.rows import ApprovalRow, ApprovalState

_ENDED = (ApprovalState.REJECTED, ApprovalState.EXPIRED)
# More than end within the second between two looks.
_LATEST = 20


class Questions:
    """The questions of one journal; on the disk's thread. What ended before it was made is not told again."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._clock = clock
        self._since = clock()
        self._told: set[tuple[str, int]] = set()

    def ended(self) -> list[ApprovalRow]:
        """Close what nobody answered in time; returns what ended without a yes since the last call."""
        now = self._clock()
        # Looked at first: expiring them costs a commit, and this is asked every second.
        if any(not each.is_waiting_at(now) for each in self._journal.approvals(ApprovalState.WAITING.value)):
            self._journal.expire_approvals(now)
        found = [each for state in _ENDED for each in self._journal.approvals(state.value, _LATEST)]
        new = [each for each in found if self._is_new(each)]
        self._told.update((each.signal_id, each.revision) for each in new)
        return sorted(new, key=lambda each: each.asked_at)

    def _is_new(self, row: ApprovalRow) -> bool:
        is_ours = row.answered_at is not None and row.answered_at >= self._since
        return is_ours and (row.signal_id, row.revision) not in self._told


def ending_dict(row: ApprovalRow) -> dict[str, str | int]:
    """A report line."""
    return {"id": row.signal_id, "revision": row.revision, "ticker": row.plan.ticker, "state": row.state.value}
