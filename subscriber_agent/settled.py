"""What the desk hands out: what came of a signal, and what a restart found out about an order. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signal_contract.tracing import TRACEPARENT, trace_of
from subscriber_agent.accounting.book import Fill, Leg, Position
from subscriber_agent.accounting.ledger_rows import fill_as_dict
from subscriber_agent.engines.engine import Account, Holding, Outcome
from subscriber_agent.journal import OrderIntent, Stored
from subscriber_agent.risk.decision import Decision, instant_text, text_of
from subscriber_agent.risk.losses import Breach
from subscriber_agent.risk.market import Quote, Symbol


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the engine said before a decision. `exits` are stops and targets that the signal's price triggered.

    `quote` and `symbol` are about the signal's ticker, where the engine has them.
    """

    account: Account
    holdings: tuple[Holding, ...]
    exits: tuple[Fill, ...] = ()
    quote: Quote | None = None
    symbol: Symbol | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that is on disk. `intent` is the order to hand over; None: there is none, or it is somebody else's.

    `breaches` are loss limits that were found broken with it; `answer_by` is until when the friend may approve;
    `held` is the position in the signal's ticker, before the order.
    """

    stored: Stored
    decision: Decision
    intent: OrderIntent | None
    gathered: Gathered
    trades_withdrawn: int = 0
    breaches: tuple[Breach, ...] = ()
    answer_by: datetime | None = None
    held: Position | None = None

    def approval_dict(self) -> dict[str, Any]:
        """The question to the friend, with the order that his yes may lead to."""
        decision, plan, until = self.decision, self.decision.plan, self.answer_by
        return {
            "id": decision.signal_id,
            "revision": decision.revision,
            "plan": None if plan is None else plan.as_dict(),
            "expires_at": None if until is None else instant_text(until),
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one signal. `exits` are stops and targets that its price triggered on the way.

    `trades_withdrawn` counts the entries that were ordered on a signal which this message retracts. `document` is the
    decision's `as_dict`, where it was made before.
    """

    stored: Stored
    decision: Decision
    outcome: Outcome | None
    exits: tuple[Fill, ...] = ()
    trades_withdrawn: int = 0
    position: Position | None = None
    document: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """One word or code for counting: FILLED, REJECTED … when ordered, else the decision's code."""
        if self.outcome is not None:
            return self.outcome.state.value
        return self.decision.verdict.value if self.decision.code is None else self.decision.code.value

    @property
    def needs_a_stop(self) -> bool:
        """Whether an entry has filled, and the engine's answer showed no stop that works for all of it."""
        plan, outcome = self.decision.plan, self.outcome
        if plan is None or plan.leg is not Leg.ENTRY or outcome is None or outcome.quantity <= 0:
            return False
        stop = outcome.leg(Leg.STOP)
        return stop is None or not stop.state.is_working or stop.protects < outcome.quantity

    def as_dict(self) -> dict[str, Any]:
        signal = self.stored.signal
        return {
            "seq": self.stored.stream_seq,
            "subject": self.stored.subject,
            "signal_id": signal.signal_id,
            "revision": signal.revision,
            "event": signal.event.value,
            "action": signal.action.value,
            "ticker": signal.ticker,
            "catalyst": signal.catalyst,
            "published_at": instant_text(signal.published_at),
            "received_at": instant_text(self.stored.received_at),
            "label": self.label,
            **({} if (trace := trace_of(signal.meta)) is None else {TRACEPARENT: trace}),
            "decision": self.decision.as_dict() if self.document is None else self.document,
            "outcome": None if self.outcome is None else self.outcome.as_dict(),
            "exits": [fill_as_dict(each) for each in self.exits],
        }

    def withdrawn_dict(self) -> dict[str, Any]:
        """What a friend should know when a signal that he traded is withdrawn; position None: it is closed."""
        signal, held = self.stored.signal, self.position
        return {
            "seq": self.stored.stream_seq,
            "signal_id": signal.signal_id,
            "ticker": signal.ticker,
            "orders": self.trades_withdrawn,
            "position": None if held is None else _position_dict(held),
        }


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found out about an order without an end. `is_news`: it is another end than was known."""

    intent: OrderIntent
    outcome: Outcome
    is_handed_over_now: bool
    is_news: bool = True

    def as_dict(self) -> dict[str, Any]:
        return {
            "order_id": self.intent.order_id,
            "signal_id": self.intent.signal_id,
            "revision": self.intent.revision,
            "ticker": self.intent.plan.ticker,
            "is_handed_over_now": self.is_handed_over_now,
            "outcome": self.outcome.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class OwnExit:
    """An exit that no signal asked for. `kind` is one of the table in `closing`; `reason` is in people's words."""

    kind: str
    reason: str
    intent: OrderIntent

    def as_dict(self, outcome: Outcome) -> dict[str, Any]:
        """A report line, with what came of it."""
        plan = self.intent.plan
        return {
            "kind": self.kind,
            "reason": self.reason,
            "order_id": self.intent.order_id,
            "ticker": plan.ticker,
            "side": plan.side.value,
            "quantity": text_of(plan.quantity),
            "outcome": outcome.as_dict(),
        }


def breach_dict(breach: Breach) -> dict[str, Any]:
    """A loss limit that was just broken, in USD."""
    return {
        "kind": breach.loss.kind.value,
        "lost_usd": text_of(breach.loss.lost_usd),
        "limit_usd": text_of(breach.loss.limit_usd),
        "day": breach.day.isoformat(),
        "is_flatten": breach.is_flatten,
    }


def _position_dict(position: Position) -> dict[str, Any]:
    last = position.last_price
    return {
        "quantity": text_of(position.quantity),
        "average_price": text_of(position.average_price),
        "last_price": None if last is None else text_of(last),
        "opened_at": instant_text(position.opened_at),
        "opened_by": position.opened_by,
    }
