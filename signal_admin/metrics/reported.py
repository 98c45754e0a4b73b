"""Counts what friends report. Pure.

All of it is each friend's own word, and as much as his privacy lets go; only words on our lists become labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from signal_admin.stored import Stored
from signal_contract.errors import SignalInvalid
from signal_contract.feedback import Feedback, Kind, read_feedback
from signal_contract.metrics import words
from signal_contract.metrics.operator_table import FRIENDS_METRICS
from signal_contract.metrics.samples import Measured, Sample, Tallies, one_of
from signal_contract.metrics.table import OTHER

_REFUSED = "REFUSED"


class Reported:
    """What was counted since `catalyst up` began, and how each agent said it was doing."""

    def __init__(self) -> None:
        self._tallies = Tallies(FRIENDS_METRICS)
        self._links: dict[str, tuple[datetime, str]] = {}

    def take(self, messages: Iterable[Stored], users: Iterable[str]) -> None:
        """Count messages of stream FEEDBACK; one of a name that is not registered is `other`'s."""
        known = frozenset(users)
        for each in messages:
            parts = each.subject.split(".")
            user = parts[1] if len(parts) > 1 and parts[1] in known else OTHER
            try:
                self._count(user, each.at, read_feedback(each.subject, each.data)[1])
            except SignalInvalid:
                self._tallies.count("catalyst_user_unreadable_reports_total", user)

    def note_status(self, user: str, at: datetime, link_state: str) -> None:
        """Take up how an agent said it was doing, unless a later word is known."""
        if user not in self._links or self._links[user][0] <= at:
            self._links[user] = (at, link_state)

    def _count(self, user: str, at: datetime, report: Feedback) -> None:
        self._tallies.count("catalyst_user_reports_total", user, report.kind.value)
        if report.kind is Kind.DECISION:
            self._tallies.count("catalyst_user_decisions_total", user, report.label)
            if report.label == _REFUSED:
                self._tallies.count("catalyst_refusals_total", report.code or words.NO_CODE)
        elif report.kind is Kind.ORDER:
            self._tallies.count("catalyst_user_orders_total", user, report.label)
        elif report.status is not None and user != OTHER:
            self.note_status(user, at, report.status.link_state)

    def samples(self, users: Iterable[str], now: datetime) -> list[Measured]:
        """All of it as it stands, the states of these users only."""
        found = self._tallies.samples()
        for user in users:
            if user in self._links:
                at, state = self._links[user]
                found += one_of("catalyst_user_link_state", state, words.LINK_STATES, user)
                age_s = max(0.0, (now - at).total_seconds())
                found.append(Sample("catalyst_user_status_age_seconds", age_s, (user,)))
        return found
