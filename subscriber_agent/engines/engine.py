"""The agreement with an engine: hand over once by id, look up by the same id, never guess an outcome."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from subscriber_agent.book import Fill, Leg, Position
from subscriber_agent.risk.decision import OrderPlan, text_of


class OutcomeState(StrEnum):
    """FILLED and REJECTED are final, ACCEPTED is working at the engine, UNKNOWN must be looked up.

    ABANDONED is ours: an intent that a restart found unsent, and that the rules no longer allow.
    """

    FILLED = "FILLED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    ABANDONED = "ABANDONED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order: shares and USD a share, as far as it was filled."""

    state: OutcomeState
    quantity: Decimal = Decimal(0)
    price: Decimal | None = None
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "quantity": text_of(self.quantity),
            "price": None if self.price is None else text_of(self.price),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Account:
    """Cash and equity in USD; None when the engine cannot say, and then entries are refused."""

    cash: Decimal | None
    equity: Decimal | None


class Engine(Protocol):
    """What the desk needs of an engine. Expected trouble is an Outcome; raised is only what must stop the agent."""

    @property
    def name(self) -> str:
        """How the engine is called in decisions and logs."""

    @property
    def is_paper(self) -> bool:
        """Whether no real money is behind it."""

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Hand over an order. The same id again returns the first outcome and orders nothing."""

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order; None only when the engine is certain that it never saw it."""

    async def account(self) -> Account:
        """Cash and equity at this moment."""

    async def positions(self) -> tuple[Position, ...]:
        """Open positions, sorted by ticker."""

    async def observe(self, ticker: str, price: Decimal, at: datetime) -> list[Fill]:
        """Tell the engine a price seen on the wire; returns the stops and targets that it triggered."""


def order_id_from(signal_id: str, user: str, leg: Leg, revision: int = 1) -> str:
    """The engine's client order id, up to 48 characters: the same signal, user and leg is the same order for ever.

    `revision` counts for exits only: a later revision may try again after the engine rejected the first exit,
    whereas an entry is tried once per signal whatever its revision.
    """
    part = f"{leg}{revision}" if leg is Leg.EXIT and revision > 1 else leg.value
    digest = hashlib.sha256("\x1f".join((signal_id, user, part)).encode()).hexdigest()
    return f"cs-{digest[:32]}-{leg.value}"


def triggered_order_id(entry_order_id: str, leg: Leg) -> str:
    """The id of the order that an entry's own stop or target becomes."""
    return f"{entry_order_id.rsplit('-', 1)[0]}-{leg.value}"
