"""Decisions as values: what was checked, what was found, which order follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from subscriber_agent.accounting.book import Leg, Side
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
    """STOP becomes a market order once the price has reached `stop_price`."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


class TimeInForce(StrEnum):
    DAY = "day"
    GTC = "gtc"


class CheckResult(NamedTuple):
    """One line of `explain`: what was looked at, what was seen, what is allowed.

    A tuple, because a decision makes some fifty of them: as a frozen dataclass each took four times as long.
    """

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
    """The order to hand over: shares, prices in USD on their tick. `reference_price` is the signal's.

    `trailing_stop_percent` follows the price beside `stop_price`, `max_hold_s` is when to close it at the latest, in
    seconds after its fill, `extended_hours` allows a fill outside the regular session (always limit and day).
    """

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
    sector: str | None = None
    trailing_stop_percent: Decimal | None = None
    max_hold_s: Decimal | None = None
    extended_hours: bool = False

    @property
    def notional_usd(self) -> Decimal:
        """Value at the dearer of reference and limit price; zero for an exit whose price is not known."""
        return self.quantity * max(self.reference_price or Decimal(0), self.limit_price or Decimal(0))

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
            "sector": self.sector,
            "trailing_stop_percent": _maybe(self.trailing_stop_percent),
            "max_hold_s": _maybe(self.max_hold_s),
            "extended_hours": self.extended_hours,
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> OrderPlan:
        """Read back what `as_dict` made, in this version or an earlier one; raises KeyError or ValueError else."""
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
            sector=body.get("sector"),
            trailing_stop_percent=_decimal(body.get("trailing_stop_percent")),
            max_hold_s=_decimal(body.get("max_hold_s")),
            extended_hours=bool(body.get("extended_hours", False)),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one revision of one signal. `code` is None exactly when it was accepted.

    A NOTED decision keeps its plan where an order would have followed: in mode notify, or once it is approved.
    """

    signal_id: str
    revision: int
    verdict: Verdict
    code: Code | None
    checks: tuple[CheckResult, ...]
    plan: OrderPlan | None
    decided_at: datetime

    @property
    def clamps(self) -> tuple[CheckResult, ...]:
        """The checks that cut the order down, in their order."""
        return tuple(each for each in self.checks if each.outcome is CheckOutcome.CLAMP)

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
