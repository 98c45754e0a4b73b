"""What became of one past signal, and of the positions that it opened. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from signal_contract.model import Action, Event, Signal
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import Outcome, OutcomeState
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import Decision, Verdict


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one signal; compact, for there may be a million. `why` is for people."""

    number: int
    published_at: datetime
    signal_id: str
    revision: int
    event: Event
    action: Action
    ticker: str
    catalyst: str
    verdict: Verdict
    code: Code | None
    state: OutcomeState | None
    leg: Leg | None
    side: Side | None
    quantity: Decimal | None
    price: Decimal | None
    why: str

    @property
    def label(self) -> str:
        """One word, as in `signals`: FILLED or REJECTED when ordered, else the code or verdict."""
        if self.state is not None:
            return self.state.value
        return self.verdict.value if self.code is None else self.code.value

    @property
    def result(self) -> tuple[str, Side | None, Decimal | None, Decimal | None]:
        """What counts as different between two configs."""
        return (self.label, self.side, self.quantity, self.price)


@dataclass(frozen=True, slots=True)
class Closed:
    """A position, or part of it, that was closed: by a signal, its stop or its target. `realised_usd` may be a loss."""

    at: datetime
    ticker: str
    catalyst: str
    leg: Leg
    quantity: Decimal
    price: Decimal
    realised_usd: Decimal


def step_from(number: int, signal: Signal, decision: Decision, outcome: Outcome | None) -> Step:
    """What a decision and its outcome (None: nothing was ordered) made of a signal."""
    plan = decision.plan if outcome is not None else None
    return Step(
        number=number,
        published_at=signal.published_at,
        signal_id=signal.signal_id,
        revision=signal.revision,
        event=signal.event,
        action=signal.action,
        # There are few tickers and many signals: each word is kept once.
        ticker=sys.intern(signal.ticker),
        catalyst=sys.intern(signal.catalyst),
        verdict=decision.verdict,
        code=decision.code,
        state=None if outcome is None else outcome.state,
        leg=None if plan is None else plan.leg,
        side=None if plan is None else plan.side,
        quantity=None if plan is None else plan.quantity,
        price=None if outcome is None else outcome.price,
        why=_why(decision, outcome),
    )


def _why(decision: Decision, outcome: Outcome | None) -> str:
    if decision.verdict is Verdict.REFUSED:
        last = decision.checks[-1]
        return f"{last.name}: {last.observed}, allowed {last.limit}"
    if outcome is not None and outcome.state is OutcomeState.REJECTED:
        return outcome.detail
    cut_by = [each.code.value for each in decision.clamps if each.code is not None]
    return f"cut down by {', '.join(cut_by)}" if cut_by else ""
