"""Signal v1: the wire model. Frozen and strict; an unknown field, a naive time or a NaN is refused, never guessed.

Decimals are strings on the wire without exponent; instants are RFC 3339 with an offset and are kept as UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from signal_contract.catalysts import CATALYSTS
from signal_contract.errors import SubjectInvalid
from signal_contract.subject import SignalSubject, ticker_checked

SCHEMA_VERSION = 1
MAX_REVISION = 1_000_000

SignalId = NewType("SignalId", str)

# At most 15 digits before and 10 after the point: a hostile 1e999999999 must not reach Decimal arithmetic.
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,10})?")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


def _decimal(value: Any) -> Decimal:
    text = format(value, "f") if isinstance(value, Decimal) and value.is_finite() else value
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise ValueError("a decimal is a string such as '12.34', without exponent, NaN or infinity")
    return Decimal(text)


def _instant(value: Any) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is UTC:
        return value  # nearly all of them: five on each signal
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError("a time is RFC 3339 with an offset, such as 2026-01-02T14:30:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time lies outside the calendar") from error


def _instant_text(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _ticker(value: str) -> str:
    try:
        return ticker_checked(value)
    except SubjectInvalid as error:
        raise ValueError(error.message) from error


def _catalyst(value: str) -> str:
    if value not in CATALYSTS:
        raise ValueError("not on the list of catalysts")
    return value


def _printable(value: str) -> str:
    """Free text is shown in terminals and logs: control characters could forge lines or escape sequences."""
    if not value.isprintable():
        raise ValueError("text holds control characters")
    return value


Number = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DECIMAL.pattern}$"}),
]
Price = Annotated[Number, Field(gt=0)]
Unit = Annotated[Number, Field(ge=0, le=1)]
Signed = Annotated[Number, Field(ge=-1, le=1)]
NotNegative = Annotated[Number, Field(ge=0)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(_instant_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Ticker = Annotated[str, AfterValidator(_ticker)]
CatalystName = Annotated[str, AfterValidator(_catalyst)]


Short = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Title = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]
Url = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]
MetaKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
MetaValue = Annotated[str, Field(max_length=500), AfterValidator(_printable)]


class Event(StrEnum):
    NEW = "new"
    UPDATE = "update"
    RETRACT = "retract"


class Action(StrEnum):
    BUY = "buy"
    SELL = "sell"
    CLOSE = "close"
    WATCH = "watch"

    @property
    def is_entry(self) -> bool:
        """Entries open a position and expire; everything else does neither."""
        return self in (Action.BUY, Action.SELL)


class Session(StrEnum):
    PRE = "pre"
    REGULAR = "regular"
    AFTER = "after"
    CLOSED = "closed"


class ClassifierMode(StrEnum):
    LLM = "llm"
    KEYWORD = "keyword"
    UNKNOWN = "unknown"


class Priority(StrEnum):
    NORMAL = "normal"
    FLASH = "flash"


class Wire(BaseModel):
    """What every wire model has in common."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, use_enum_values=False
    )


class News(Wire):
    """The news item behind a signal; `published_at` is the news time, not ours."""

    id: Short
    title: Title
    url: Url | None
    source: Short
    published_at: Instant | None


class Market(Wire):
    """What was known of the market when the item was classified; null is 'not known', never zero."""

    session: Session | None = None
    rvol: NotNegative | None = None
    market_cap_usd: NotNegative | None = None
    sector: Short | None = None
    float_shares: NotNegative | None = None
    short_interest_fraction: NotNegative | None = None
    vwap: Price | None = None
    vix: NotNegative | None = None
    regime: Short | None = None


class Classifier(Wire):
    """Who classified; `degraded` says that it ran below its usual quality (for example without its LLM)."""

    name: Short
    version: Short
    mode: ClassifierMode
    degraded: bool


class Signal(Wire):
    """One signal, schema version 1. Prices in USD, fractions 0..1, all instants aware UTC."""

    schema_version: Literal[1]
    signal_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    revision: Annotated[int, Field(ge=1, le=MAX_REVISION)]
    event: Event
    action: Action
    ticker: Ticker
    catalyst: CatalystName
    catalysts: Annotated[tuple[CatalystName, ...], Field(min_length=1, max_length=32)]
    confidence: Unit
    score: Number | None
    sentiment: Signed | None
    reference_price: Price | None
    reference_price_at: Instant | None
    stop_price: Price | None
    target_price: Price | None
    suggested_size_fraction: Unit | None
    news: News
    market: Market
    classified_at: Instant
    published_at: Instant
    expires_at: Instant | None
    classifier: Classifier
    priority: Priority
    meta: Annotated[dict[MetaKey, MetaValue], Field(max_length=32)]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.event is Event.NEW) != (self.revision == 1):
            raise ValueError("event 'new' is revision 1, every later revision is an update or a retract")
        if self.catalyst not in self.catalysts:
            raise ValueError("catalysts must contain catalyst")
        if (self.reference_price is None) != (self.reference_price_at is None):
            raise ValueError("reference_price and reference_price_at come together")
        if self.action.is_entry and self.expires_at is None:
            raise ValueError("an entry must say when it expires")
        if self.expires_at is not None and self.expires_at <= self.classified_at:
            raise ValueError("expires_at must lie after classified_at")
        return self

    @property
    def subject(self) -> str:
        """The subject that this signal belongs on, and nowhere else."""
        return str(SignalSubject(self.catalyst, self.ticker))

    @property
    def message_id(self) -> str:
        """Nats-Msg-Id: the same news published twice is stored once."""
        return f"{self.signal_id}.{self.revision}"
