"""What goes into the journal and comes out of it, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from signal_contract.control import Control, Verb
from signal_contract.model import Signal
from subscriber_agent.accounting.book import Fill
from subscriber_agent.engines.engine import Account, Holding, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it arrived. `code` says why it must not be acted on; such a message carries no signal.

    A control message carries `control`. With none of the three it is only remembered as seen (an announced key).
    """

    stream_seq: int
    subject: str
    payload: bytes
    received_at: datetime
    signal: Signal | None
    code: str | None
    detail: str
    signature: str | None = None
    control: Control | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.signal, self.control, self.code)) > 1:
            raise ValueError("a message is either a signal, a control message or parked")


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message of a batch that was parked: it must never be acted on, and is not to be delivered again."""

    stream_seq: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch; every message is counted once. `is_new` says of each whether it was not here before."""

    new: int
    duplicates: int
    parked: int
    set_aside: tuple[SetAside, ...] = field(default=(), compare=False)
    is_new: tuple[bool, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """A verified signal in the journal."""

    stream_seq: int
    subject: str
    payload: bytes
    received_at: datetime
    signal: Signal


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that was kept and never acted on. `number` is its own, for `parked show` and `retry`."""

    number: int
    stream_seq: int
    subject: str
    payload: bytes
    received_at: datetime
    code: str
    detail: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order that is about to be handed over; journaled before the engine hears of it."""

    order_id: str
    signal_id: str
    revision: int
    plan: OrderPlan
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An intent and what is known of its outcome; None means that nothing is known."""

    intent: OrderIntent
    outcome: Outcome | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Booked:
    """What a word of the engine added to the log of executions.

    `faults` say what was wrong with it; `is_overfilled`: more was traded than was asked for, or held.
    """

    fills: tuple[Fill, ...] = ()
    faults: tuple[str, ...] = ()
    is_overfilled: bool = False


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """The engine's last word, for commands beside the running agent. `orders` None: they were not asked for."""

    at: datetime
    engine: str
    is_paper: bool
    can: Capabilities
    account: Account
    holdings: tuple[Holding, ...]
    orders: tuple[WorkingOrder, ...] | None = None

    @property
    def name(self) -> str:
        """The engine's, as an engine itself says it."""
        return self.engine

    def capabilities(self) -> Capabilities:
        """As an engine itself says it."""
        return self.can


@dataclass(frozen=True, slots=True)
class EquityRow:
    """What the account was worth at one moment, in USD."""

    at: datetime
    cash: Decimal
    equity: Decimal
    engine: str


class ReconcileState(StrEnum):
    """OPEN refuses entries until a look finds no difference (RESOLVED) or the friend takes the engine's word."""

    OPEN = "open"
    RESOLVED = "resolved"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class ReconcileRow:
    """What differed between our log and the engine; each difference is a document of its own."""

    number: int
    at: datetime
    differences: tuple[Mapping[str, Any], ...]
    state: ReconcileState
    resolved_at: datetime | None = None


class ApprovalState(StrEnum):
    """WAITING for the friend's word, which came (APPROVED, REJECTED) or not in time (EXPIRED).

    DONE: it was approved, and then decided again by the rules of that moment.
    """

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One revision of a signal that asks for the friend's word, and the order as it was planned when it asked."""

    signal_id: str
    revision: int
    plan: OrderPlan
    state: ApprovalState
    asked_at: datetime
    expires_at: datetime
    answered_at: datetime | None = None

    def is_waiting_at(self, now: datetime) -> bool:
        """Whether it can still be answered."""
        return self.state is ApprovalState.WAITING and now < self.expires_at


@dataclass(frozen=True, slots=True)
class FlattenRequest:
    """The friend's command to close every position, which the running agent carries out."""

    number: int
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Loosening:
    """One row of what let more through: its number, `type`, moment, config hash, and the whole document."""

    number: int
    type: str
    at: datetime
    config_hash: str
    body: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One line of `signals`: the signal, what was decided, what became of the order."""

    stream_seq: int
    signal_id: str
    revision: int
    event: str
    action: str
    ticker: str
    catalyst: str
    confidence: Decimal
    published_at: datetime
    received_at: datetime
    verdict: str | None
    code: str | None
    decided_at: datetime | None
    order_state: OutcomeState | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many decisions came out with a verdict and code; verdict PARKED counts messages that were set aside."""

    verdict: str
    code: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Latch:
    """A trading state that somebody set, and why."""

    name: str
    value: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One word of the operator. `scope` is `all` or `user`, `control_id` its own id, which counts once."""

    stream_seq: int
    control_id: str
    scope: str
    verb: Verb
    reason: str
    issued_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class LinkRow:
    """How the link is doing, for `status` in another process. What was last received is filled in when it is read."""

    state: str
    since: datetime
    reason: str = ""
    last_seq: int = 0
    last_received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LinkChange:
    """The link became `state` at `at`, and why."""

    state: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """The durable's ack floor as last measured on the server: the place from which the durable can be restored.

    `pending` is how many messages were waiting there, None: not known.
    """

    position: int
    pending: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were removed, or would be."""

    signals: int
    decisions: int
    parked: int
    seen: int


def instant_to_text(at: datetime) -> str:
    """UTC with microseconds, so that text order is time order; raises ValueError for a naive time."""
    if at.utcoffset() is None:
        raise ValueError("the journal keeps no naive times")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def maybe_instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def maybe_decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
