"""The agreement with an engine: hand over once by id, look up by the same id, never guess an outcome."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from subscriber_agent.accounting.book import Fill, Leg, Position
from subscriber_agent.risk.decision import OrderPlan, text_of
from subscriber_agent.risk.market import Capabilities, Quote, Symbol


class EngineSilent(Exception):
    """The engine was asked and did not answer, or failed over it. Nothing was ordered; ask again later."""


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
    """Cash and equity in USD; None when the engine cannot say, and then entries are refused.

    `is_blocked`: the broker's word that the account may not trade; None is not known, which only paper may say.
    """

    cash: Decimal | None
    equity: Decimal | None
    is_blocked: bool | None = None


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

    async def submit(self, plan: OrderPlan, client_order_id: str) -> Outcome:
        """Hand over an order. The same id again returns the first outcome and orders nothing."""

    async def lookup(self, client_order_id: str) -> Outcome | None:
        """What became of an order; None only when the engine is certain that it never saw it."""

    async def account(self) -> Account:
        """Cash and equity at this moment, and whether the account may trade."""

    async def positions(self) -> tuple[Position, ...]:
        """Open positions, sorted by ticker."""

    async def quote(self, ticker: str) -> Quote | None:
        """Best prices at this moment, None when there are none; asked only of an engine that can."""

    async def symbol(self, ticker: str) -> Symbol | None:
        """What the broker says about a ticker, None when he says nothing; asked only of an engine that can."""

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
