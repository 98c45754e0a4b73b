"""Decides what takes no word of the engine, many signals in one commit: what waited over a night is mostly stale.

A broker is not asked for account and positions a thousand times to refuse a thousand old signals. What is held, or has
an order under way, is left to the desk: the price of such a signal may trigger a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain, compress

from signal_contract.feedback import Feedback
from signal_contract.model import Action, Event
from subscriber_agent.journal import Journal, Stored
from subscriber_agent.risk.decide import decide_unasked
from subscriber_agent.risk.decision import Decision
from subscriber_agent.risk.market import Market, TradingState
from subscriber_agent.settled import Settled
from subscriber_agent.situation import Rules, Situation, shown_price

# The batch may end with any of them: what is asked about the rest is asked in vain.
_AT_ONCE = 32

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
        with self._journal.transaction():
            decided = self._decided(batch, rules)
            documents = [decision.as_dict() for _, decision in decided]
            written = self._journal.write_decisions(
                [(decision, stored.stream_seq) for stored, decision in decided], documents, rules.config_hash
            )
            reports = (self._reports(*each, rules) for each in compress(decided, written))
            self._journal.add_feedback(chain.from_iterable(reports))
        return [Settled(*pair, None, document=each) for pair, each in zip(decided, documents, strict=True)]

    def _decided(self, batch: Sequence[Stored], rules: Rules) -> list[tuple[Stored, Decision]]:
        busy: set[str] = self._busy()
        found: list[tuple[Stored, Decision]] = []
        world = _World(self._journal, self._situation, rules, self._skew_s(), is_closing=self._is_closing())
        for stored in batch:
            if len(found) % _AT_ONCE == 0:
                world.ask_about(batch[len(found) : len(found) + _AT_ONCE])
            decision = None if stored.signal.ticker in busy else self._decision(stored, world)
            if decision is None:
                break
            found.append((stored, decision))
        return found

    def _busy(self) -> set[str]:
        under_way = (row.intent.plan.ticker for row in self._journal.open_intents())
        return {*self._situation.own(), *under_way}

    def _decision(self, stored: Stored, world: _World) -> Decision | None:
        signal, now = stored.signal, self._clock()
        has_acted = signal.signal_id in world.acted
        if signal.event is Event.RETRACT and has_acted:
            return None  # the friend is told what became of its orders
        market = world.market(stored, now)
        decision = decide_unasked(signal, world.rules.limits, market, now, has_acted=has_acted)
        shown = shown_price(signal, is_paper=market.is_paper)
        if decision is not None and shown is not None and not market.is_retracted:
            self._situation.seen[signal.ticker], _ = shown
        return decision


class _World:
    """What is known around the signals of one batch, asked about many at once: nobody else writes meanwhile, and no
    decision that is made here has a say in another.
    """

    def __init__(
        self,
        journal: Journal,
        situation: Situation,
        rules: Rules,
        skew_s: float | None,
        *,
        is_closing: bool,
    ) -> None:
        self._journal = journal
        self._situation = situation
        self._skew_s, self._is_closing = skew_s, is_closing
        self._states: dict[str, tuple[int, bool]] = {}
        self._markets: dict[tuple[int, bool, TradingState | None], Market] = {}
        self.rules = rules
        self.acted: set[str] = set()

    def ask_about(self, some: Sequence[Stored]) -> None:
        """Look up what the journal knows of these signals."""
        ids = {each.signal.signal_id for each in some}
        self._states |= self._journal.revision_states(ids)
        self.acted |= self._journal.acted(ids)

    def market(self, stored: Stored, now: datetime) -> Market:
        """The market of one signal; the same for all that differ in nothing that it says."""
        signal = stored.signal
        latest, is_retracted = self._states.get(signal.signal_id, (0, False))
        # An exit asks for the operator's word of now, an entry for that at its own place in the stream as well.
        at_its_place = None if signal.action is Action.CLOSE else self._journal.operator_state_at(stored.stream_seq)
        key = (max(signal.revision, latest), is_retracted, at_its_place)
        if key not in self._markets:
            self._markets[key] = self._situation.market_unasked(
                stored, self.rules, now, skew_s=self._skew_s, is_closing=self._is_closing
            )
        return self._markets[key]
