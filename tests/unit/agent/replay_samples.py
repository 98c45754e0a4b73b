"""A made-up past for the replay's tests and its benchmark: wire lines from a seed, the same on every machine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from signal_contract.codec import signal_id_from
from signal_contract.model import Action

FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
_CATALYSTS = ("fda", "acquisition", "earnings", "partnership", "offering", "other")
_KINDS = ("buy",) * 80 + ("sell",) * 6 + ("close",) * 6 + ("watch",) * 2 + ("update",) * 3 + ("retract",) * 3
# Inside the regular session of New York in summer and in winter: 14:35 to 19:55 UTC.
_OPENS_S, _SESSION_S = 14 * 3600 + 35 * 60, 5 * 3600 + 20 * 60


@dataclass(slots=True)
class _Past:
    """The random walk of prices, and the entries that may be updated or withdrawn later."""

    rng: random.Random
    prices: dict[str, int]
    earlier: list[dict[str, Any]]


def past_lines(count: int, seed: int = 1, *, per_day: int = 500, tickers: int = 200) -> Iterator[bytes]:
    """`count` signals as wire JSON without line ends, in the order of their publication, on weekdays only."""
    rng = random.Random(seed)
    prices = {f"T{number:03d}": rng.randint(30, 2500) for number in range(tickers)}
    past = _Past(rng, prices, [])
    for number in range(count):
        yield orjson.dumps(_line(past, number, _published(number, per_day)))


def past_quotes(count: int, seed: int = 2, *, days: int = 4, tickers: int = 200) -> Iterator[str]:
    """A CSV of quotes with its header, in time order over the first `days` days."""
    rng = random.Random(seed)
    yield "ts,ticker,price"
    for number in range(count):
        at = FIRST_DAY + timedelta(seconds=86_400 * days * number // count)
        yield f"{_text(at)},T{rng.randrange(tickers):03d},{_price(rng.randint(30, 2500))}"


def _published(number: int, per_day: int) -> datetime:
    day, within = divmod(number, per_day)
    weeks, weekday = divmod(day, 5)
    seconds = _OPENS_S + _SESSION_S * within / per_day
    return FIRST_DAY + timedelta(days=7 * weeks + weekday, seconds=round(seconds, 3))


def _line(past: _Past, number: int, at: datetime) -> dict[str, Any]:
    rng = past.rng
    kind = rng.choice(_KINDS)
    if kind in ("update", "retract") and past.earlier:
        old = past.earlier[rng.randrange(len(past.earlier))]
        old["revision"] += 1
        return {**old, "event": kind, "classified_at": _text(at), "published_at": _text(at), **_expiry(old, at)}
    body = _new(past, number, at, kind if kind in ("sell", "close", "watch") else "buy")
    past.earlier = [*past.earlier[-50:], dict(body)]
    return body


def _new(past: _Past, number: int, at: datetime, action: str) -> dict[str, Any]:
    rng = past.rng
    ticker, catalyst = rng.choice(list(past.prices)), rng.choice(_CATALYSTS)
    price = past.prices[ticker] = max(5, round(past.prices[ticker] * rng.uniform(0.93, 1.075)))
    news, sign = f"news-{number}", -1 if action == "sell" else 1
    is_entry = action in ("buy", "sell")
    body = {
        "schema_version": 1,
        "signal_id": signal_id_from(news, ticker, Action(action)),
        "revision": 1,
        "event": "new",
        "action": action,
        "ticker": ticker,
        "catalyst": catalyst,
        "catalysts": [catalyst],
        "confidence": f"0.{rng.randint(60, 99)}",
        "score": None,
        "sentiment": f"{sign * 0.4:.2f}",
        "reference_price": _price(price),
        "reference_price_at": _text(at - timedelta(seconds=1)),
        "stop_price": _price(max(1, round(price * (1 - sign * 0.06)))) if is_entry else None,
        "target_price": _price(max(2, round(price * (1 + sign * 0.09)))) if is_entry else None,
        "suggested_size_fraction": "0.02",
        "news": {"id": news, "title": "Made up", "url": None, "source": "test", "published_at": _text(at)},
        "market": dict.fromkeys(_MARKET),
        "classified_at": _text(at - timedelta(milliseconds=200)),
        "published_at": _text(at),
        "expires_at": None,
        "classifier": {"name": "test", "version": "1", "mode": "llm", "degraded": False},
        "priority": "normal",
        "meta": {},
    }
    return {**body, **_expiry(body, at)}


_MARKET = (
    "session",
    "rvol",
    "market_cap_usd",
    "sector",
    "float_shares",
    "short_interest_fraction",
    "vwap",
    "vix",
    "regime",
)


def _expiry(body: dict[str, Any], at: datetime) -> dict[str, Any]:
    return {"expires_at": _text(at + timedelta(hours=2)) if body["action"] in ("buy", "sell") else None}


def _price(cents: int) -> str:
    return format(Decimal(cents) / 100, "f")


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
