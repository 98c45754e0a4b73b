"""A friend's limits: every field with its unit, range, default and one line that becomes its documentation.

No limit can be switched off, and every size cap clamps: refusing an oversized order would let a *stricter* cap trade
where a looser one refused, and then "a stricter config never trades more" would not hold.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from signal_contract.catalysts import catalysts_from_name
from signal_contract.errors import CatalystError
from signal_contract.model import Number
from signal_contract.subject import ticker_checked

EVERYTHING = "*"
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,10})?")
_COUNT = re.compile(r"\d{1,9}")


def _amount(value: Any) -> Any:
    """Settings come as text, so that 0.7 in a file is 0.7 and never the nearest binary fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Decimal) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return value
    raise ValueError("is not a plain number such as 12.5")


def _count(value: Any) -> Any:
    if isinstance(value, str):
        if not _COUNT.fullmatch(value):
            raise ValueError("is not a whole number")
        return int(value)
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("is neither")
        return value == "true"
    return value


def _names(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ValueError("must be a list, such as [fda, merger] or [] or ['*']")


def _catalysts(names: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        try:
            found.extend([name] if name == EVERYTHING else catalysts_from_name(name))
        except CatalystError as error:
            raise ValueError(error.message) from error
    return tuple(sorted(set(found)))


def _tickers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            if name != EVERYTHING:
                ticker_checked(name)
        except CatalystError as error:
            raise ValueError(error.message) from error
    return tuple(sorted(set(names)))


Amount = Annotated[Number, BeforeValidator(_amount)]
Count = Annotated[int, BeforeValidator(_count)]
Flag = Annotated[bool, BeforeValidator(_flag)]
CatalystNames = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_catalysts)]
TickerNames = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_tickers)]
Sizing = Literal["fixed_usd", "percent_of_equity"]


class Settings(BaseModel):
    """What all settings models have in common: frozen, strict, and a misspelt key is an error."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )


class Limits(Settings):
    """The `risk:` section. Percentages are 0..100, amounts USD, durations seconds, quantities whole shares."""

    max_age_s: Amount = Field(
        Decimal(120),
        ge=1,
        le=86_400,
        description="An entry published longer ago is refused as STALE. Exits never expire.",
    )
    max_clock_skew_s: Amount = Field(
        Decimal(10),
        ge=1,
        le=60,
        description="Entries are refused as CLOCK_SKEW when clocks differ by more, or a signal comes from the future.",
    )
    min_confidence: Amount = Field(
        Decimal("0.70"),
        ge=0,
        le=1,
        description="The classifier's confidence below which an entry is refused. Higher means fewer trades.",
    )
    allow_catalysts: CatalystNames = Field(
        (EVERYTHING,),
        description="The catalysts whose entries you trade; ['*'] is all that you receive, [] is none.",
    )
    deny_catalysts: CatalystNames = Field(
        (),
        description="An entry with any of these among its catalysts is refused, even if it is also allowed.",
    )
    allow_tickers: TickerNames = Field(
        (EVERYTHING,),
        description="The tickers whose entries you trade; ['*'] is all that you receive, [] is none.",
    )
    deny_tickers: TickerNames = Field((), description="Entries in these tickers are refused, even if also allowed.")
    allow_shorts: Flag = Field(
        False,
        description="Whether `sell` signals may open short positions. A short can lose more than its own value.",
    )
    min_price_usd: Amount = Field(
        Decimal("0.10"),
        gt=0,
        le=100_000,
        description="Entries below this price are refused. 0.10 is where the classifier's own range starts.",
    )
    max_price_usd: Amount = Field(Decimal(20), gt=0, le=1_000_000, description="Entries above this price are refused.")
    max_stop_distance_percent: Amount = Field(
        Decimal(15),
        gt=0,
        le=50,
        description="How far the stop may be from the price. An entry without a stop is always refused.",
    )
    sizing: Sizing = Field(
        "fixed_usd",
        description="How an order is sized, always floored to whole shares: fixed_usd or percent_of_equity.",
    )
    fixed_usd: Amount = Field(
        Decimal(500), ge=1, le=1_000_000, description="The value of one order when sizing is fixed_usd."
    )
    equity_percent: Amount = Field(
        Decimal(5), gt=0, le=100, description="The value of one order when sizing is percent_of_equity."
    )
    min_notional_usd: Amount = Field(
        Decimal(10),
        ge=0,
        le=1_000_000,
        description="Smaller orders are refused as SIZE_BELOW_MIN; an order is never made larger to reach it.",
    )
    max_notional_usd: Amount = Field(
        Decimal(1000), ge=1, le=1_000_000, description="No order is worth more; a larger one is cut down to it."
    )
    max_quantity: Count = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="No order has more shares; a larger one is cut down. 5000 is 500 USD at the lowest price.",
    )
    max_buying_power_percent: Amount = Field(
        Decimal(95), gt=0, le=100, description="No order uses more of the cash at hand than this share of it."
    )
    max_open_positions: Count = Field(
        5, ge=1, le=100, description="Entries are refused at this number of positions and entries under way."
    )
    max_exposure_percent: Amount = Field(
        Decimal(50),
        gt=0,
        le=100,
        description="All positions together are never worth more than this share of equity; an order is cut down.",
    )
    max_orders_per_minute: Count = Field(
        5, ge=1, le=60, description="Further entries within 60 seconds are refused: a runaway loop ends here."
    )
    max_trades_per_day: Count = Field(20, ge=1, le=1000, description="Further entries within any 24 hours are refused.")
    cash_reserve_percent: Amount = Field(
        Decimal(5), ge=0, le=100, description="This share of equity stays in cash; an order is cut down to leave it."
    )

    @model_validator(mode="after")
    def _ranges_fit(self) -> Self:
        if self.min_price_usd > self.max_price_usd:
            raise ValueError("min_price_usd is above max_price_usd: every entry would be refused")
        if self.min_notional_usd > self.max_notional_usd:
            raise ValueError("min_notional_usd is above max_notional_usd: every entry would be refused")
        return self
