"""Decides about one signal by the journal of now, and writes it down: decision, order and reports in one commit.

On the disk's thread. It asks no engine: what that said is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from signal_contract.feedback import Feedback
from subscriber_agent.accounting.book import Book
from subscriber_agent.accounting.ledger import Ledger
from subscriber_agent.accounting.ledger_keeper import LedgerKeeper
from subscriber_agent.closing import Closing
from subscriber_agent.engines.engine import order_id_from
from subscriber_agent.journal import Journal, OrderIntent, Stored
from subscriber_agent.journal.rows import ApprovalRow, ApprovalState
from subscriber_agent.recording import new_id
from subscriber_agent.reporting.reports import decision_report
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Decision, Verdict
from subscriber_agent.risk.market import Health
from subscriber_agent.settled import Decided, Gathered
from subscriber_agent.situation import Rules, Situation, answer_by

ASKED, AGAIN = 1, 2


class Deciding:
    """For one journal. `engine` is its name, `user` goes into the order ids, `skew_s` is our clock minus the server's
    (None: not known).
    """

    def __init__(
        self,
        journal: Journal,
        situation: Situation,
        keeper: LedgerKeeper,
        closing: Closing,
        clock: Callable[[], datetime],
        *,
        engine: str,
        user: str,
        skew_s: Callable[[], float | None],
    ) -> None:
        self._journal = journal
        self._situation = situation
        self._keeper = keeper
        self._closing = closing
        self._clock = clock
        self._engine = engine
        self._user = user
        self._skew_s = skew_s

    def decide_and_keep(self, stored: Stored, gathered: Gathered, rules: Rules, attempt: int = ASKED) -> Decided:
        """Decide about a signal of the journal and write it down, with its order and its reports, in one commit.

        Joins the caller's transaction. Whoever wrote a decision first hands its order over: a second copy must not.
        `attempt` 2 is the decision after the friend's yes.
        """
        with self._journal.transaction():
            held = self._situation.holdings(gathered, self._clock())
            breaches = self._closing.synced(held, rules)
            decision = self.decided(stored, gathered, rules, held=held)
            if attempt == AGAIN:
                decision = self._as_approved(decision)
            intent = self._intent(decision)
            if intent is None:
                # An order must not wait for it, and makes it old at once; `look` and `tend` show what is behind it.
                self._closing.show(gathered, held)
            is_mine = self._journal.write_decision(
                decision, rules.config_hash, intent, attempt=attempt, stream_seq=stored.stream_seq
            )
            until = self._keep_with(stored, decision, intent, rules) if is_mine else None
            if attempt == AGAIN:
                self._journal.approval_done(decision.signal_id, decision.revision, decision.decided_at)
            withdrawn = self._situation.trades_withdrawn(stored.signal)
        position = held.positions.get(stored.signal.ticker)
        return Decided(stored, decision, intent if is_mine else None, gathered, withdrawn, breaches, until, position)

    def _keep_with(
        self, stored: Stored, decision: Decision, intent: OrderIntent | None, rules: Rules
    ) -> datetime | None:
        """What belongs on disk with a decision: reports, the probe, the question to the friend (until when)."""
        if intent is None:
            # With an order, the first word about it brings the report.
            self._journal.add_feedback(self.reports(stored, decision, rules))
        if decision.verdict is Verdict.ACCEPTED:
            self._note_probe(rules, decision.decided_at)
        if decision.code is not Code.APPROVAL_REQUIRED or decision.plan is None:
            return None
        until = answer_by(stored.signal, rules.limits)
        self._journal.ask_approval(decision.signal_id, decision.revision, decision.plan, until, decision.decided_at)
        return until

    def _as_approved(self, decision: Decision) -> Decision:
        """The decision with no more shares than the friend said yes to: the account may have grown since."""
        plan, approved = decision.plan, self._journal.approvals(ApprovalState.APPROVED.value)
        asked = [each.plan.quantity for each in approved if _revision(each) == _revision(decision)]
        if plan is None or not asked or plan.quantity <= asked[0]:
            return decision
        return replace(decision, plan=replace(plan, quantity=asked[0]))

    def _note_probe(self, rules: Rules, now: datetime) -> None:
        """An order through an open circuit is its probe: noted before it goes, so that there is one at a time."""
        breaker = self._journal.breaker(self._engine)
        if breaker.health(rules.limits, now) is Health.PROBE:
            self._journal.set_breaker(breaker.probing(now), self._engine)

    def previewed(self, stored: Stored, gathered: Gathered, rules: Rules, show_all: bool) -> Decision:
        """What would be decided now, with nothing written."""
        now = self._clock()
        ledger = self._keeper.preview(self._situation.holdings(gathered, now).equity, now)
        return self.decided(stored, gathered, rules, ledger=ledger, show_all=show_all)

    def decided(
        self,
        stored: Stored,
        gathered: Gathered,
        rules: Rules,
        *,
        held: Book | None = None,
        ledger: Ledger | None = None,
        excluding: str = "",
        show_all: bool = False,
    ) -> Decision:
        """The decision by the journal of now; `excluding` leaves out one order, as if it had not been intended."""
        now, signal_id = self._clock(), stored.signal.signal_id
        held = self._situation.holdings(gathered, now) if held is None else held
        book = self._situation.book(held, now, signal_id=signal_id, excluding=excluding)
        market = self._situation.market(
            stored,
            gathered,
            rules,
            ledger or self._keeper.ledger,
            now,
            skew_s=self._skew_s(),
            is_closing=bool(self._closing.wishes()),
        )
        return decide(stored.signal, book, rules.limits, market, now, show_all=show_all)

    def reports(self, stored: Stored, decision: Decision, rules: Rules) -> list[Feedback]:
        """What the operator is told of a decision that is no order."""
        report = decision_report(decision, stored.stream_seq, self._clock(), rules.config.privacy, new_id())
        return [] if report is None else [report]

    def _intent(self, decision: Decision) -> OrderIntent | None:
        plan = decision.plan
        if decision.verdict is not Verdict.ACCEPTED or plan is None:
            return None
        order_id = order_id_from(decision.signal_id, self._user, plan.leg, decision.revision)
        return OrderIntent(order_id, decision.signal_id, decision.revision, plan, decision.decided_at)


def _revision(asked: Decision | ApprovalRow) -> tuple[str, int]:
    return asked.signal_id, asked.revision
