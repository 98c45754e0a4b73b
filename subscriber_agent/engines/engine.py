"""The agreement with an engine: hand over once by id, look up by the same id, never guess an outcome.

    submit ──▶ REJECTED                       final: nothing was ordered, `detail` says why
           ──▶ ACCEPTED ──▶ PARTLY_FILLED     working: `quantity` is what has filled so far
                   └──▶ FILLED | CANCELLED    final: CANCELLED keeps what had filled before
           ──▶ UNKNOWN                        looked up until it is one of the others; never sent again

`lookup` is the one truth about an order, its legs included: an event of the engine only says that it is worth a look.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.risk.decision import OrderPlan, OrderType, text_of
from subscriber_agent.risk.market import Capabilities, Quote, Symbol


class EngineSilent(Exception):
    """The engine was asked and did not answer, or failed over it. Nothing was ordered; ask again later."""


class OutcomeState(StrEnum):
    """See the module's drawing. ABANDONED is ours: an intent that a restart found unsent and that is refused now."""

    ACCEPTED = "ACCEPTED"
    PARTLY_FILLED = "PARTLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    ABANDONED = "ABANDONED"

    @property
    def is_final(self) -> bool:
        """Whether nothing of the order can fill any more."""
        return self in (self.FILLED, self.CANCELLED, self.REJECTED, self.ABANDONED)

    @property
    def is_working(self) -> bool:
        """Whether the engine has the order and may fill more of it."""
        return self in (self.ACCEPTED, self.PARTLY_FILLED)


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """The stop or the target that an engine holds for an entry. `quantity` and `price` as in `Outcome`.

    `protects` are the shares that it will close, `trigger_price` is where: the stop price, or the target's limit.
    """

    leg: Leg
    order_id: str
    state: OutcomeState
    protects: Decimal
    trigger_price: Decimal | None = None
    quantity: Decimal = Decimal(0)
    price: Decimal | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "leg": self.leg.value,
            "order_id": self.order_id,
            "state": self.state.value,
            "protects": text_of(self.protects),
            "trigger_price": None if self.trigger_price is None else text_of(self.trigger_price),
            "quantity": text_of(self.quantity),
            "price": None if self.price is None else text_of(self.price),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: shares filled so far, all of them at the average `price` in USD a share.

    `legs` are the stop and the target that the engine holds for an entry; empty where it holds none, or none yet.
    """

    state: OutcomeState
    quantity: Decimal = Decimal(0)
    price: Decimal | None = None
    detail: str = ""
    legs: tuple[LegOutcome, ...] = ()

    def leg(self, leg: Leg) -> LegOutcome | None:
        """The stop or the target, None without one."""
        return next((each for each in self.legs if each.leg is leg), None)

    def as_dict(self) -> dict[str, Any]:
        """A document; `legs` only where there are some."""
        return {
            "state": self.state.value,
            "quantity": text_of(self.quantity),
            "price": None if self.price is None else text_of(self.price),
            "detail": self.detail,
            **({"legs": [each.as_dict() for each in self.legs]} if self.legs else {}),
        }


@dataclass(frozen=True, slots=True)
class Account:
    """Cash and equity in USD; None when the engine cannot say, and then entries are refused.

    `is_blocked`: the broker's word that the account may not trade; None is not known, which only paper may say.
    """

    cash: Decimal | None
    equity: Decimal | None
    is_blocked: bool | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """What the engine holds of one ticker: signed shares (a short is negative), USD a share, None where not known."""

    ticker: str
    quantity: Decimal
    average_price: Decimal | None = None
    last_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that works at the engine. `order_id` is the client order id, "" when it was placed without one."""

    order_id: str
    ticker: str
    side: Side
    quantity: Decimal
    filled: Decimal = Decimal(0)
    order_type: OrderType | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """A hint that something happened at the engine: what to look up, or that its own connection came or went.

    `order_id` "" concerns no single order; `is_gap` says that events may have been missed before this one.
    """

    order_id: str = ""
    detail: str = ""
    is_gap: bool = False


class Engine(Protocol):
    """What the desk needs of an engine.

    Expected trouble is an Outcome. A CatalystError must stop the agent; anything else that is raised, and a call that
    takes too long, counts as a fault of the engine: an order's end is then UNKNOWN and is looked up.
    """

    @property
    def name(self) -> str:
        """How the engine is called in decisions and logs."""

    @property
    def is_paper(self) -> bool:
        """Whether no real money is behind it."""

    def capabilities(self) -> Capabilities:
        """What the engine can do; known without asking anybody."""

    async def start(self) -> None:
        """Make ready, within 30 s. Raises EngineUnusable when it can never work as it is set up."""

    async def close(self) -> None:
        """Let go of connections, threads and processes, within 5 s; orders stay."""

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Hand over an order. The same id again returns the order's present outcome and orders nothing."""

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order; None only when the engine is certain that it never saw it."""

    async def cancel(self, client_order_id: str) -> Outcome | None:
        """End what still works of an order, its legs included; the answer is that of `lookup` right after.

        It may still be working then: the broker decides. Nothing to cancel is no fault.
        """

    async def account(self) -> Account:
        """Cash and equity at this moment, and whether the account may trade."""

    async def positions(self) -> tuple[Holding, ...]:
        """All that the account holds, sorted by ticker; a position of nothing is none."""

    async def orders(self) -> tuple[WorkingOrder, ...]:
        """All orders that work in the account, legs included, sorted by order id."""

    async def quote(self, ticker: str) -> Quote | None:
        """Best prices at this moment, None when there are none; asked only of an engine that can."""

    async def symbol(self, ticker: str) -> Symbol | None:
        """What the broker says about a ticker, None when he says nothing; asked only of an engine that can."""

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> tuple[str, ...]:
        """Tell the engine a price seen on the wire; returns the ids of the entries whose legs it triggered.

        An engine with a market of its own ignores it.
        """

    def events(self) -> AsyncIterator[EngineEvent]:
        """Hints, for as long as the engine is open; reconnects by itself. Asked only of an engine that has them."""


def order_id_from(signal_id: str, user: str, leg: Leg, revision: int = 1) -> str:
    """The engine's client order id, up to 48 characters: the same signal, user and leg is the same order for ever.

    `revision` counts for exits and stops only: a later one may try again after the engine rejected the first, whereas
    an entry is tried once per signal whatever its revision.
    """
    part = f"{leg}{revision}" if leg is not Leg.ENTRY and revision > 1 else leg.value
    digest = hashlib.sha256("\x1f".join((signal_id, user, part)).encode()).hexdigest()
    return f"cs-{digest[:32]}-{leg.value}"


def triggered_order_id(entry_order_id: str, leg: Leg) -> str:
    """The id of the order that an entry's own stop or target becomes."""
    return f"{entry_order_id.rsplit('-', 1)[0]}-{leg.value}"


def is_ours(order_id: str) -> bool:
    """Whether an order in the account carries an id of this project."""
    return order_id.startswith("cs-")
