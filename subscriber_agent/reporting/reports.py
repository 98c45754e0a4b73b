"""What the operator is told, built from our own values and already trimmed to what the friend allows. Pure.

A report must never stand in the way of a trade: whatever does not fit the wire is shortened or left out, not refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, is_allowed, trimmed
from subscriber_agent.accounting.book import Fill, Leg
from subscriber_agent.engines.engine import Outcome
from subscriber_agent.journal.rows import OrderIntent
from subscriber_agent.risk.decision import Decision, Verdict

_DETAIL_CHARS, _LABEL_CHARS = 200, 64
# The wire's decimals: up to 15 digits before and 10 after the point.
_STEP, _LIMIT, _EXACT = Decimal("1e-10"), Decimal(10) ** 15, Context(prec=40, rounding=ROUND_HALF_EVEN)


def decision_report(
    decision: Decision, stream_seq: int, at: datetime, privacy: Privacy, feedback_id: str
) -> Feedback | None:
    """The verdict on one revision and its reason; None when the level does not allow it."""
    plan = decision.plan
    return _report(
        Kind.DECISION,
        at,
        privacy,
        feedback_id,
        signal_id=decision.signal_id,
        revision=decision.revision,
        stream_seq=stream_seq,
        label=decision.verdict.value,
        code=None if decision.code is None else decision.code.value,
        side=None if plan is None else plan.side.value,
        quantity=None if plan is None else _number(plan.quantity),
        price=None if plan is None else _price(plan.limit_price or plan.reference_price),
    )


def accepted_report(
    intent: OrderIntent, stream_seq: int, at: datetime, privacy: Privacy, feedback_id: str
) -> Feedback | None:
    """As `decision_report`, for a decision that became this order."""
    decision = Decision(intent.signal_id, intent.revision, Verdict.ACCEPTED, None, (), intent.plan, intent.created_at)
    return decision_report(decision, stream_seq, at, privacy, feedback_id)


def outcome_reports(
    intent: OrderIntent,
    outcome: Outcome,
    fills: Iterable[Fill],
    at: datetime,
    privacy: Privacy,
    new_id: Callable[[], str],
    *,
    is_own: bool = False,
) -> list[Feedback]:
    """What became of an order: the engine's word, and what was booked of it and of its legs, each part once.

    Of an order that no signal asked for (`is_own`) only the executions are told. Empty when the level does not allow
    it; `new_id` makes 32 hex digits, another one each time.
    """
    plan = intent.plan
    found: list[Feedback | None] = []
    if not is_own:
        found.append(_order_report(Kind.ORDER, intent, outcome, outcome.quantity, outcome.price, at, privacy, new_id()))
    for fill in fills:
        if is_own or fill.order_id != intent.order_id:
            signal_id = None if is_own else intent.signal_id
            found.append(fill_report(fill, at, privacy, new_id, signal_id=signal_id))
        else:
            kind = Kind.FILL if plan.leg is Leg.ENTRY else Kind.EXIT
            found.append(_order_report(kind, intent, outcome, fill.quantity, fill.price, at, privacy, new_id()))
    return [each for each in found if each is not None]


def _order_report(
    kind: Kind,
    intent: OrderIntent,
    outcome: Outcome,
    quantity: Decimal,
    price: Decimal | None,
    at: datetime,
    privacy: Privacy,
    feedback_id: str,
) -> Feedback | None:
    return _report(
        kind,
        at,
        privacy,
        feedback_id,
        signal_id=intent.signal_id,
        revision=intent.revision,
        label=outcome.state.value,
        detail=outcome.detail,
        side=intent.plan.side.value,
        quantity=_number(quantity),
        price=_price(price),
    )


def fill_report(
    fill: Fill, at: datetime, privacy: Privacy, new_id: Callable[[], str], *, signal_id: str | None = None
) -> Feedback | None:
    """A stop or target that was hit: an exit without a signal of its own. `signal_id` is the entry's, when known."""
    return _report(
        Kind.EXIT,
        at,
        privacy,
        new_id(),
        signal_id=signal_id,
        label=fill.leg.value,
        detail=fill.ticker,
        side=fill.side.value,
        quantity=_number(fill.quantity),
        price=_price(fill.price),
    )


def parked_report(stream_seq: int, code: str, at: datetime, privacy: Privacy, feedback_id: str) -> Feedback | None:
    """A message that was set aside, and why; None when the level does not allow it."""
    return _report(Kind.RECEIVED, at, privacy, feedback_id, stream_seq=stream_seq, label="PARKED", code=code[:64])


def status_report(status: AgentStatus, at: datetime, privacy: Privacy, feedback_id: str) -> Feedback | None:
    """How the agent is doing; None when the level does not allow it."""
    return _report(Kind.STATUS, at, privacy, feedback_id, label=status.link_state, status=status)


def _report(kind: Kind, at: datetime, privacy: Privacy, feedback_id: str, **fields: Any) -> Feedback | None:
    if not is_allowed(kind, privacy):
        return None
    fields["label"] = fields["label"][:_LABEL_CHARS]
    fields["detail"] = fields.get("detail", "")[:_DETAIL_CHARS]
    return trimmed(Feedback(feedback_id=feedback_id, kind=kind, at=at, **fields), privacy)


def _number(value: Decimal | None) -> Decimal | None:
    """The number as the wire holds it; None for what it cannot."""
    if value is None or not value.is_finite() or not 0 <= value < _LIMIT:
        return None
    return value.quantize(_STEP, context=_EXACT).normalize(_EXACT)


def _price(value: Decimal | None) -> Decimal | None:
    return _number(value) or None
