"""Decides what takes no word of the engine, many signals in one commit: what waited over a night is mostly stale.

A broker is not asked for account and positions a thousand times to refuse a thousand old signals. What is held, or has
an order under way, is left to the desk: the price of such a signal may trigger a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from signal_contract.feedback import Feedback
from signal_contract.model import Event
from subscriber_agent.journal import Journal, Stored
from subscriber_agent.risk.decide import decide_unasked
from subscriber_agent.risk.decision import Decision
from subscriber_agent.settled import Settled
from subscriber_agent.situation import Rules, Situation, shown_price

Reports = Callable[[Stored, Decision, Rules], list[Feedback]]


class Unasked:
    """For one journal; on the disk's thread. `skew_s` is our clock minus the server's, `reports` what is told of it."""

    def __init__(
        self,
        journal: Journal,
        situation: Situation,
        clock: Callable[[], datetime],
        *,
        skew_s: Callable[[], float | None],
        is_closing: Callable[[], bool],
        reports: Reports,
    ) -> None:
        self._journal = journal
        self._situation = situation
        self._clock = clock
        self._skew_s = skew_s
        self._is_closing = is_closing
        self._reports = reports

    def decide(self, batch: Sequence[Stored], rules: Rules) -> list[Settled]:
        """Decide and write down the first signals of a batch in one commit; it stops before one that is the desk's."""
        settled: list[Settled] = []
        reports: list[Feedback] = []
        with self._journal.transaction():
            busy, is_closing = self._busy(), self._is_closing()
            for stored in batch:
                if stored.signal.ticker in busy:
                    break
                decision = self._decision(stored, rules, is_closing=is_closing)
                if decision is None:
                    break
                seq = stored.stream_seq
                if self._journal.write_decision(decision, rules.config_hash, None, stream_seq=seq):
                    reports += self._reports(stored, decision, rules)
                settled.append(Settled(stored, decision, None))
            self._journal.add_feedback(reports)
        return settled

    def _busy(self) -> set[str]:
        under_way = (row.intent.plan.ticker for row in self._journal.open_intents())
        return {*self._situation.own(), *under_way}

    def _decision(self, stored: Stored, rules: Rules, *, is_closing: bool) -> Decision | None:
        signal, now = stored.signal, self._clock()
        has_acted = self._journal.has_acted(signal.signal_id)
        if signal.event is Event.RETRACT and has_acted:
            return None  # the friend is told what became of its orders
        market = self._situation.market_unasked(stored, rules, now, skew_s=self._skew_s(), is_closing=is_closing)
        decision = decide_unasked(signal, rules.limits, market, now, has_acted=has_acted)
        shown = shown_price(signal, is_paper=market.is_paper)
        if decision is not None and shown is not None and not market.is_retracted:
            self._situation.seen[signal.ticker], _ = shown
        return decision
