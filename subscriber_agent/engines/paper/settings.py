"""The `engine.paper:` section: what pretend money trades with, and how unkind the pretend market is."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from subscriber_agent.risk.fields import Amount, Count, Flag, Settings

PriceSource = Literal["signals", "quotes_file", "engine"]
QuotesFrom = Literal["alpaca", "webhook", "command", "python", "catalyst_bot"]


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and value else value


class PaperSettings(Settings):
    """Amounts in USD, shares of one side of the price in 1/100 %, chances in percent, waiting times in milliseconds."""

    start_cash_usd: Amount = Field(
        Decimal(10_000),
        ge=100,
        le=100_000_000,
        description="The paper account's cash at its first start. Later changes do not rewrite its history.",
    )
    price_source: PriceSource = Field(
        "signals",
        description="Where prices come from: signals are the prices on the wire; quotes_file a file of yours; engine "
        "is the quotes of another engine, named in quotes_from, which never gets an order.",
    )
    quotes_file: Annotated[Path | None, BeforeValidator(_path)] = Field(
        None,
        description="For price_source quotes_file: a CSV that begins with ts,ticker,price and is in time order, its "
        "path relative to this file. Lines with a time to come count when that time has come.",
    )
    quotes_from: QuotesFrom | None = Field(
        None,
        description="For price_source engine: whose quotes. That engine's own section must be filled in.",
    )
    slippage_bps: Amount = Field(
        Decimal(0),
        ge=0,
        le=500,
        description="How much worse than the price paper orders fill, in 1/100 %. 0 flatters the results.",
    )
    spread_bps: Amount = Field(
        Decimal(0),
        ge=0,
        le=1000,
        description="How far bid and ask lie apart, in 1/100 %, where only one price is known: you buy at the upper "
        "end and sell at the lower.",
    )
    latency_ms: Count = Field(
        0,
        ge=0,
        le=10_000,
        description="How long an order is under way before it can fill. 0 fills it at once, at the price it was "
        "decided at.",
    )
    reject_percent: Amount = Field(
        Decimal(0), ge=0, le=100, description="How many of 100 orders are rejected by chance, exits included."
    )
    partial_percent: Amount = Field(
        Decimal(0),
        ge=0,
        le=100,
        description="How many of 100 orders fill only in part at first; the rest follows at the next price or look.",
    )
    seed: Count = Field(
        1,
        ge=0,
        le=999_999_999,
        description="What chance starts from: the same seed and order have the same luck, on every machine.",
    )
    fractions: Flag = Field(False, description="Whether parts of a share can be traded.")

    @model_validator(mode="after")
    def _source_is_named(self) -> Self:
        if self.price_source == "quotes_file" and self.quotes_file is None:
            raise ValueError("price_source is quotes_file, and quotes_file names none")
        if self.price_source == "engine" and self.quotes_from is None:
            raise ValueError("price_source is engine, and quotes_from names none")
        return self
