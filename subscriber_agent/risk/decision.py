"""Decisions as values: what was checked, what was found, which order follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from subscriber_agent.book import Leg, Side
from subscriber_agent.risk.codes import Code


class Verdict(StrEnum):
    """ACCEPTED becomes an order, REFUSED broke a rule, NOTED asks for no order."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    NOTED = "NOTED"


class CheckOutcome(StrEnum):
    PASS = "PASS"  # noqa: S105  # a word, not a secret
    REFUSE = "REFUSE"
    CLAMP = "CLAMP"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    DAY = "day"
    GTC = "gtc"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `explain`: what was looked at, what was seen, what is allowed."""

    name: str
    outcome: CheckOutcome
    code: Code | None
    observed: str
    limit: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "outcome": self.outcome.value,
            "code": None if self.code is None else self.code.value,
            "observed": self.observed,
            "limit": self.limit,
        }


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """The order to hand over: whole shares, prices in USD. `reference_price` is what it was sized by."""

    ticker: str
    side: Side
    leg: Leg
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    time_in_force: TimeInForce
    reference_price: Decimal | None
    reference_price_at: datetime | None
    catalyst: str

    @property
    def notional_usd(self) -> Decimal:
        """Value at the reference price; zero for an exit whose price is not known."""
        return self.quantity * (self.reference_price or Decimal(0))

    def as_dict(self) -> dict[str, Any]:
        return {
            "ticker": self.ticker,
            "side": self.side.value,
            "leg": self.leg.value,
            "quantity": text_of(self.quantity),
            "order_type": self.order_type.value,
            "limit_price": _maybe(self.limit_price),
            "stop_price": _maybe(self.stop_price),
            "target_price": _maybe(self.target_price),
            "time_in_force": self.time_in_force.value,
            "reference_price": _maybe(self.reference_price),
            "reference_price_at": None if self.reference_price_at is None else instant_text(self.reference_price_at),
            "catalyst": self.catalyst,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> OrderPlan:
        """Read back what `as_dict` made; raises KeyError or ValueError for anything else."""
        at = body["reference_price_at"]
        return cls(
            ticker=body["ticker"],
            side=Side(body["side"]),
            leg=Leg(body["leg"]),
            quantity=Decimal(body["quantity"]),
            order_type=OrderType(body["order_type"]),
            limit_price=_decimal(body["limit_price"]),
            stop_price=_decimal(body["stop_price"]),
            target_price=_decimal(body["target_price"]),
            time_in_force=TimeInForce(body["time_in_force"]),
            reference_price=_decimal(body["reference_price"]),
            reference_price_at=None if at is None else datetime.fromisoformat(at),
            catalyst=body["catalyst"],
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one revision of one signal. `code` is None exactly when it was accepted."""

    signal_id: str
    revision: int
    verdict: Verdict
    code: Code | None
    checks: tuple[CheckResult, ...]
    plan: OrderPlan | None
    decided_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """For the journal and `--json`: the same decision is the same document, byte for byte."""
        return {
            "signal_id": self.signal_id,
            "revision": self.revision,
            "verdict": self.verdict.value,
            "code": None if self.code is None else self.code.value,
            "checks": [each.as_dict() for each in self.checks],
            "plan": None if self.plan is None else self.plan.as_dict(),
            "decided_at": instant_text(self.decided_at),
        }


def text_of(value: Decimal) -> str:
    """A number without exponent and without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def instant_text(at: datetime) -> str:
    """RFC 3339 in UTC; a naive time stays visibly naive."""
    return at.isoformat() if at.utcoffset() is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _maybe(value: Decimal | None) -> str | None:
    return None if value is None else text_of(value)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
