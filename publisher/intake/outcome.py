"""What becomes of one input record: a signal, an expected drop, or a refusal with a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from signal_contract.model import Signal


class RefusalCode(StrEnum):
    """Why a record cannot be used; stable, for scripts."""

    LINE_TOO_LONG = "LINE_TOO_LONG"
    NOT_UTF8 = "NOT_UTF8"
    NOT_JSON = "NOT_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    SHAPE_UNKNOWN = "SHAPE_UNKNOWN"
    SHAPE_INVALID = "SHAPE_INVALID"
    FIELD_MISSING = "FIELD_MISSING"
    TICKER_INVALID = "TICKER_INVALID"
    TICKER_CONFLICT = "TICKER_CONFLICT"
    ACTION_UNKNOWN = "ACTION_UNKNOWN"
    CATALYST_UNKNOWN = "CATALYST_UNKNOWN"
    CATALYST_CONFLICT = "CATALYST_CONFLICT"
    TIME_MISSING = "TIME_MISSING"
    TIME_NAIVE = "TIME_NAIVE"
    TIME_INVALID = "TIME_INVALID"
    NOT_FINITE = "NOT_FINITE"
    NUMBER_INVALID = "NUMBER_INVALID"
    PRICE_INVALID = "PRICE_INVALID"
    PRICE_MISSING = "PRICE_MISSING"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    SIZE_INVALID = "SIZE_INVALID"
    CONFIDENCE_INVALID = "CONFIDENCE_INVALID"
    SENTIMENT_INVALID = "SENTIMENT_INVALID"
    SCHEMA_INVALID = "SCHEMA_INVALID"
    SCHEMA_TOO_NEW = "SCHEMA_TOO_NEW"


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that became a signal."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that is fine but carries nothing to publish (`no_keywords`, `demo_source`, …)."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be used."""

    code: RefusalCode
    reason: str


Outcome = Draft | Dropped | Refused


class Unusable(Exception):  # never leaves this package: it is turned into Refused
    """Ends the reading of one record from deep inside; `intake.record` turns it into a Refused value."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        super().__init__(reason)
        self.refused = Refused(code, reason)
