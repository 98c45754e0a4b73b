"""The objects of the bot's cycle → a signal: news item, scored item, trading signal, price, market. Pure.

They come as they are: dict or object, attributes missing, numbers as float, Decimal or text. What only describes the
signal and cannot be read is null in it and named in `Reading.unread`. What a trade rests on (action, ticker, prices,
stop, confidence, time of the classification) refuses the signal instead: nothing is made up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from publisher.intake.bot import Parts, Record, Terms, outcome_from_parts, schema_refusal
from publisher.intake.foreign import Reader
from publisher.intake.outcome import Dropped, Outcome, RefusalCode, Refused, Unusable
from publisher.intake.repair import (
    fraction_from_percent,
    instant_from,
    number_from,
    price_from,
    text_from,
    url_from,
    within,
)
from signal_contract.model import Session

Repair = Callable[[Any], Any]

# What the bot calls its market's states, and what they are on the wire.
SESSIONS = {
    "pre": Session.PRE,
    "premarket": Session.PRE,
    "pre_market": Session.PRE,
    "regular": Session.REGULAR,
    "open": Session.REGULAR,
    "after": Session.AFTER,
    "after_hours": Session.AFTER,
    "closed": Session.CLOSED,
}
_TRADE_FIELDS = (
    "signal_id",
    "ticker",
    "timestamp",
    "action",
    "confidence",
    "entry_price",
    "current_price",
    "stop_loss_price",
    "signal_type",
    "timeframe",
    "strategy",
)


@dataclass(frozen=True, slots=True)
class Scored:
    """What the bot holds of one item, as it stands. `price` is its last price in USD, `record_only` its own mark."""

    item: Any
    scored: Any
    trading_signal: Any = None
    price: Any = None
    market_info: Any = None
    record_only: Any = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of it, and the names of the fields that were there and could not be read."""

    outcome: Outcome
    unread: tuple[str, ...]


def reading_from(found: Scored, terms: Terms) -> Reading:
    """The signal of one item, or why there is none. Never raises, whatever the objects are.

    `terms.now` is the time of the call: the publish time, and for AVOID news, which has no trading signal, the time
    of the classification as well.
    """
    reader = Reader()
    try:
        parts = _parts(found, terms.now, reader)
        if parts.item.get("ticker") is None and parts.trade is None:
            return Reading(Dropped("no_ticker", "the item names no ticker"), reader.unread)
        outcome = outcome_from_parts(parts, terms)
    except Unusable as unusable:
        return Reading(unusable.refused, reader.unread)
    except ValidationError as error:
        return Reading(schema_refusal(error).refused, reader.unread)
    except (OverflowError, ValueError):
        return Reading(Refused(RefusalCode.SCHEMA_INVALID, "a value outside of any range"), reader.unread)
    return Reading(outcome, reader.unread)


def ticker_of(item: Any) -> str | None:
    """The item's ticker as the bot has it, None when it has none."""
    value = Reader().value(item, "ticker", "item.ticker")
    return value if isinstance(value, str) and value.strip() else None


def price_of(price: Any) -> Decimal | None:
    """A price above zero in USD, None for everything else."""
    return Reader().repaired({"price": price}, "price", "price", lambda value: price_from(value, "price"))


def _parts(found: Scored, now: datetime, reader: Reader) -> Parts:
    return Parts(
        item=_item(found.item, reader),
        scored=_scored(found.scored, reader),
        trade=None if found.trading_signal is None else _trade(found.trading_signal, reader),
        published_at=reader.repaired(found.item, "ts", "item.ts", lambda value: instant_from(value, "item.ts")),
        classified_at=now,
        session=_session(found.market_info, reader),
        reference=reader.repaired({"price": found.price}, "price", "price", lambda value: price_from(value, "price")),
        # Whatever else stands there means that somebody wanted to say something about it.
        is_for_the_record=found.record_only is not None and found.record_only is not False,
    )


def _item(item: Any, reader: Reader) -> Record:
    record = {name: reader.value(item, name, f"item.{name}") for name in ("title", "source", "ticker")}
    record["id"] = reader.repaired(item, "id", "item.id", lambda value: value if isinstance(value, str) else None)
    record["link"] = reader.repaired(item, "link", "item.link", url_from)
    return record | _llm(item, reader) | _described(item, reader, "item", _MARKET)


def _scored(scored: Any, reader: Reader) -> Record:
    record = _described(scored, reader, "scored", _SCORE | _MARKET)
    for name in ("keyword_hits", "keywords", "tags"):
        hits = reader.texts(scored, name, f"scored.{name}")
        if hits is not None:
            record["keywords" if name == "keywords" else "keyword_hits"] = hits
            break
    # Whether it is there says which classifier answered, also when it cannot be read.
    for name in ("source_weight", "keyword_hits"):
        if name not in record and reader.raw(scored, name, f"scored.{name}") is not None:
            record[name] = None
    return record | _llm(scored, reader) | {"degraded": reader.value(scored, "degraded", "scored.degraded")}


def _described(source: Any, reader: Reader, label: str, repairs: dict[str, Repair]) -> Record:
    values = {name: reader.repaired(source, name, f"{label}.{name}", repair) for name, repair in repairs.items()}
    return {name: value for name, value in values.items() if value is not None}


def _llm(source: Any, reader: Reader) -> Record:
    names = reader.names(source, "llm_")
    return {name: True for name in names if reader.raw(source, name, name) is not None}


def _trade(trade: Any, reader: Reader) -> Record:
    record = {name: reader.value(trade, name, f"trading_signal.{name}") for name in _TRADE_FIELDS}
    # A size or a target that makes no sense is not suggested; the friend's own limits decide then.
    return record | _described(trade, reader, "trading_signal", _SUGGESTED)


def _session(market_info: Any, reader: Reader) -> Session | None:
    if market_info is None:
        return None
    return reader.repaired(
        market_info, "status", "market_info.status", lambda value: SESSIONS.get(str(value).strip().lower())
    )


def _percent(name: str, top: int) -> Repair:
    # Kept in percent: it becomes a fraction later, once.
    def repair(value: Any) -> Decimal | None:
        fraction_from_percent(value, name, code=RefusalCode.NUMBER_INVALID, top=top)
        return number_from(value, name)

    return repair


def _not_negative(name: str) -> Repair:
    return lambda value: within(value, name, 0, 10**15, code=RefusalCode.NUMBER_INVALID)


def _short_text(value: Any) -> str | None:
    return text_from(value, 64)


_MARKET: dict[str, Repair] = {
    **{name: _not_negative(name) for name in ("rvol", "market_cap", "float_shares", "market_vix")},
    "vwap": lambda value: price_from(value, "vwap"),
    "short_interest_pct": _percent("short_interest_pct", 1000),
    "sector": _short_text,
    "market_regime": _short_text,
}
_SCORE: dict[str, Repair] = {
    "source_weight": lambda value: number_from(value, "source_weight"),
    "score": lambda value: number_from(value, "score"),
    "sentiment": lambda value: within(value, "sentiment", -1, 1, code=RefusalCode.SENTIMENT_INVALID),
}
_SUGGESTED: dict[str, Repair] = {
    "take_profit_price": lambda value: price_from(value, "take_profit_price"),
    "position_size_pct": _percent("position_size_pct", 100),
}
