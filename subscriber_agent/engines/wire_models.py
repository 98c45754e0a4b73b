"""The values of the engine protocol, version 1, as an engine writes them: strict, and mistakes are told in words.

What an engine adds beyond these fields is ignored, so that an engine may be newer than the agent.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from signal_contract.model import Instant
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.engine import Account, Holding, LegOutcome, Outcome, OutcomeState, WorkingOrder
from subscriber_agent.risk.decision import OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,12})?")
_LARGEST = 10**18
_WORDS_CHARS = 200


def _number(value: Any) -> Any:
    """Exact numbers only: "12.50" or 12. What JSON calls 12.5 is a binary fraction by the time anybody reads it."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return Decimal(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise ValueError('a number is written exactly: text such as "12.5", or a whole number')


def _words(value: Any) -> Any:
    """Text for people, made safe for a terminal: cut to length, control characters out. Nothing depends on it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("it must be text")  # noqa: TRY004  # pydantic reports a ValueError as a mistake
    return "".join(each if each.isprintable() else " " for each in value[:_WORDS_CHARS])


def _name(value: Any) -> Any:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("it must be text without control characters")
    return value


Number = Annotated[
    Decimal,
    BeforeValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_NUMBER.pattern}$"}, {"type": "integer"}]}),
]
Quantity = Annotated[Number, Field(ge=0)]
Price = Annotated[Number, Field(gt=0)]
Words = Annotated[str, BeforeValidator(_words), WithJsonSchema({"type": ["string", "null"]})]
OrderId = Annotated[str, BeforeValidator(_name), Field(max_length=64)]
TickerText = Annotated[str, BeforeValidator(_name), Field(min_length=1, max_length=32)]
State = Literal["ACCEPTED", "PARTLY_FILLED", "FILLED", "CANCELLED", "REJECTED", "UNKNOWN"]


class WireModel(BaseModel):
    """Strict as everything from outside, but for fields that are not known: those a newer version may bring."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, hide_input_in_errors=True, title=None
    )


class _Filled(WireModel):
    """State and fills belong together: a fill has a price, FILLED has a fill, ACCEPTED and REJECTED have none."""

    state: State
    filled_quantity: Quantity = Decimal(0)
    average_price: Annotated[Number, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.filled_quantity > 0 and not self.average_price:
            raise ValueError("shares have filled, but `average_price` does not say at what price")
        if self.filled_quantity > 0 and self.state in ("ACCEPTED", "REJECTED"):
            raise ValueError(f"{self.state} means that nothing has filled, but `filled_quantity` is above 0")
        if self.filled_quantity == 0 and self.state in ("PARTLY_FILLED", "FILLED"):
            raise ValueError(f"{self.state} needs a `filled_quantity` above 0")
        return self

    @property
    def price(self) -> Decimal | None:
        """USD a share; what an engine writes there before anything has filled means nothing."""
        return self.average_price if self.filled_quantity > 0 else None


class LegModel(_Filled):
    """The stop or the target that the engine holds for an entry."""

    leg: Literal["stop", "target"]
    order_id: OrderId
    protects: Quantity
    trigger_price: Price | None = None

    def value(self) -> LegOutcome:
        return LegOutcome(
            leg=Leg(self.leg),
            order_id=self.order_id,
            state=OutcomeState(self.state),
            protects=self.protects,
            trigger_price=self.trigger_price,
            quantity=self.filled_quantity,
            price=self.price,
        )


class OutcomeModel(_Filled):
    """What became of an order, `legs` included: the whole truth that the engine knows at this moment."""

    reason: Words = ""
    legs: Annotated[list[LegModel], Field(max_length=2)] = []

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if len({each.leg for each in self.legs}) != len(self.legs):
            raise ValueError("`legs` names the same leg twice")
        return self

    def value(self) -> Outcome:
        legs = tuple(each.value() for each in self.legs)
        return Outcome(OutcomeState(self.state), self.filled_quantity, self.price, self.reason, legs)


class AccountModel(WireModel):
    """Cash and equity in USD, null where the engine cannot say: entries are refused then."""

    cash: Number | None
    equity: Number | None
    is_blocked: bool | None = None

    def value(self) -> Account:
        return Account(self.cash, self.equity, self.is_blocked)


class HoldingModel(WireModel):
    """One position: signed shares, a short is negative."""

    ticker: TickerText
    quantity: Number
    average_price: Price | None = None
    last_price: Price | None = None

    def value(self) -> Holding:
        return Holding(self.ticker, self.quantity, self.average_price, self.last_price)


class WorkingOrderModel(WireModel):
    """One order that works in the account; `order_id` is the agent's id, "" for an order of somebody else."""

    order_id: OrderId
    ticker: TickerText
    side: Literal["buy", "sell"]
    quantity: Quantity
    filled_quantity: Quantity = Decimal(0)
    order_type: Words = ""
    limit_price: Price | None = None
    stop_price: Price | None = None

    def value(self) -> WorkingOrder:
        """An order type that we do not have (a trailing stop, say) is no fault: it is somebody else's order."""
        return WorkingOrder(
            order_id=self.order_id,
            ticker=self.ticker,
            side=Side(self.side),
            quantity=self.quantity,
            filled=self.filled_quantity,
            order_type=OrderType(self.order_type) if self.order_type in set(OrderType) else None,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
        )


class QuoteModel(WireModel):
    """Best prices in USD and when they were true."""

    bid: Price | None = None
    ask: Price | None = None
    last: Price | None = None
    at: Instant

    def value(self) -> Quote:
        return Quote(self.bid, self.ask, self.last, self.at)


class SymbolModel(WireModel):
    """What the broker says about a ticker; null is not known."""

    is_halted: bool | None = None
    is_tradable: bool | None = None
    is_shortable: bool | None = None
    is_fractionable: bool | None = None

    def value(self) -> Symbol:
        return Symbol(self.is_halted, self.is_tradable, self.is_shortable, self.is_fractionable)


class CapabilitiesModel(WireModel):
    """What the engine can do: what it does not declare, it is not asked for."""

    quotes: bool = False
    symbols: bool = False
    fractions: bool = False
    extended_hours: bool = False
    shorts: bool = False
    brackets: bool = False
    stop_orders: bool = False
    limits: bool = False
    cancels: bool = False
    events: bool = False
    idempotent: bool = False
    marks_positions: bool = False
    concurrent: bool = False
    times_in_force: Annotated[list[str], Field(min_length=1, max_length=32)]

    def value(self) -> Capabilities:
        flags = self.model_dump(exclude={"times_in_force"})
        known = frozenset(each for each in TimeInForce if each.value in self.times_in_force)
        return Capabilities(**flags, times_in_force=known)


class HelloModel(WireModel):
    """How the engine introduces itself. `is_paper` false warns a friend whose config believes that it is paper."""

    name: Annotated[str, BeforeValidator(_name), Field(min_length=1, max_length=64)]
    version: Annotated[str, BeforeValidator(_name), Field(max_length=64)] = ""
    is_paper: bool | None = None
    capabilities: CapabilitiesModel
