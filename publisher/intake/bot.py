"""Catalyst-Bot's two file forms → signals: the merged record, and the line of its accepted-items log. Pure.

What is repaired, and why, is in the upstream facts: percent instead of fraction, a new uuid on every call, `total` that
is no total, generation time instead of news time, demo sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from publisher.intake.choice import action_without_signal, all_catalysts, catalyst_for, hits_from, is_avoided
from publisher.intake.outcome import Draft, Dropped, Outcome, RefusalCode, Unusable
from publisher.intake.repair import (
    fraction_from_percent,
    instant_from,
    news_id_from,
    number_from,
    price_from,
    text_from,
    text_required,
    ticker_from,
    url_from,
    within,
)
from publisher.intake.rules import Rules
from signal_contract.codec import signal_id_from, violations_text
from signal_contract.model import (
    Action,
    Classifier,
    ClassifierMode,
    Event,
    Market,
    News,
    Priority,
    Session,
    Signal,
)

NEVER_PUBLISHED_SOURCES = frozenset({"demo", "system_test"})
CLASSIFIER_NAME = "catalyst-bot"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Prices:
    """In USD; exits and watches carry a reference only."""

    reference: Decimal | None
    stop: Decimal | None = None
    target: Decimal | None = None
    size_fraction: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every item of a run: the publish time, the classifier's version, the operator's rules."""

    now: datetime
    version: str
    rules: Rules


@dataclass(frozen=True, slots=True)
class Parts:
    """One item of the bot's main path, in plain values: the news, its score, and the trading signal if there is one.

    `published_at` is the news time (None: not known). `classified_at` is needed only without a trading signal, which
    has a time of its own. `is_for_the_record`: the bot itself does not act on it.
    """

    item: Record
    scored: Record
    trade: Record | None
    published_at: datetime | None
    classified_at: datetime | None = None
    session: Session | None = None
    reference: Decimal | None = None
    is_for_the_record: bool = False


def outcome_from_merged(record: Record, terms: Terms) -> Outcome:
    """`{news_item, scored_item, trading_signal | null, no_signal_reason}`; raises Unusable."""
    item = _object(record, "news_item")
    if (dropped := demo_drop(item)) is not None:
        return dropped
    if record.get("trading_signal") is None:
        reason = text_from(record.get("no_signal_reason"), 64) or "no_trading_signal"
        return Dropped(reason, "the classifier made no trading signal")
    scored, trade = _object(record, "scored_item"), _object(record, "trading_signal")
    return outcome_from_parts(Parts(item, scored, trade, instant_from(item.get("ts"), "news_item.ts")), terms)


def outcome_from_parts(parts: Parts, terms: Terms) -> Outcome:
    """The signal of one scored item; raises Unusable.

    Without a trading signal there is none, but for AVOID news when the operator wants that as `watch`.
    """
    if (dropped := demo_drop(parts.item)) is not None:
        return dropped
    if parts.trade is None:
        return _without_trade(parts, terms)
    trade, upstream = parts.trade, _action(parts.trade.get("action"))
    prices = _prices(trade, upstream, parts.reference)
    meta = _meta(trade)
    action = upstream
    if parts.is_for_the_record:
        # Its own bot would not act on it: a friend's must not either.
        action, prices = Action.WATCH, _Prices(prices.reference)
        meta |= {"record_only": "true", "upstream_action": upstream.value}
    return _draft(
        parts,
        terms,
        action=action,
        ticker=_one_ticker(parts.item, trade),
        confidence=_confidence(trade.get("confidence")),
        prices=prices,
        classified_at=instant_from(trade.get("timestamp"), "trading_signal.timestamp"),
        meta=meta,
    )


def _without_trade(parts: Parts, terms: Terms) -> Outcome:
    if not is_avoided(_hits(parts.scored)) or parts.classified_at is None:
        return Dropped("no_trading_signal", "the classifier made no trading signal")
    if not terms.rules.avoid_as_watch:
        return Dropped("avoid_catalyst", "the news says to keep away")
    meta = {"stance": "avoid"} | ({"record_only": "true"} if parts.is_for_the_record else {})
    return _draft(
        parts,
        terms,
        action=Action.WATCH,
        ticker=ticker_from(parts.item.get("ticker")),
        confidence=Decimal(0),
        prices=_Prices(parts.reference),
        classified_at=parts.classified_at,
        meta=meta,
    )


def _draft(parts: Parts, terms: Terms, **chosen: Any) -> Draft:
    scored = parts.scored
    return Draft(
        _signal(
            hits=_hits(scored),
            score=number_from(scored.get("source_weight", scored.get("score")), "scored_item.source_weight"),
            sentiment=_sentiment(scored.get("sentiment"), "scored_item.sentiment"),
            news=_news(parts.item, parts.published_at),
            market=_market(scored, parts.item, session=parts.session),
            terms=terms,
            classifier=_classifier(terms.version, parts.item, scored, degraded=is_degraded(scored)),
            **chosen,
        )
    )


def _hits(scored: Record) -> list[str]:
    return hits_from(scored.get("keyword_hits", scored.get("keywords")))


def is_degraded(scored: Record) -> bool:
    """Whether the bot's classifier says so, or answered with its fallback, which knows keywords and a score only."""
    return scored.get("degraded") is True or ("source_weight" not in scored and "keyword_hits" not in scored)


def outcome_from_accepted(record: Record, terms: Terms) -> Outcome:
    """A line of `accepted_items.jsonl`, which holds no trading signal; raises Unusable.

    It is published as `watch`, or as `close` on distress news. `ts` is the log's time: it says when the item was
    classified, and nothing about the news time. The form states no confidence; 0 says so and opens nothing.
    """
    if record["accepted"] is not True:
        return Dropped("not_accepted", "the classifier did not accept the item")
    if (dropped := demo_drop(record)) is not None:
        return dropped
    scored = _object(record, "cls")
    if record.get("ticker") is None:
        return Dropped("no_ticker", "the item names no ticker")
    hits = hits_from(scored.get("keywords"))
    action = action_without_signal(hits, avoid_as_watch=terms.rules.avoid_as_watch)
    if action is None:
        return Dropped("avoid_catalyst", "the news says to keep away")
    classified_at = instant_from(record.get("ts"), "ts")
    signal = _signal(
        action=action,
        ticker=ticker_from(record.get("ticker")),
        hits=hits,
        confidence=Decimal(0),
        score=number_from(scored.get("score"), "cls.score"),
        sentiment=_sentiment(scored.get("sentiment"), "cls.sentiment"),
        prices=_Prices(price_from(record.get("price"), "price")),
        news=_news(record, None),
        market=_market(scored, record),
        classified_at=classified_at,
        terms=terms,
        classifier=_classifier(terms.version, record, scored),
        meta={"shape": "accepted_items"},
    )
    return Draft(signal)


def _signal(
    *,
    action: Action,
    ticker: str,
    hits: list[str],
    prices: _Prices,
    news: News,
    classified_at: datetime,
    terms: Terms,
    **rest: Any,
) -> Signal:
    catalyst = catalyst_for(action, hits)
    return Signal(
        schema_version=1,
        signal_id=signal_id_from(news.id, ticker, action),
        revision=1,
        event=Event.NEW,
        action=action,
        ticker=ticker,
        catalyst=catalyst,
        catalysts=all_catalysts(catalyst, hits),
        reference_price=prices.reference,
        reference_price_at=None if prices.reference is None else classified_at,
        stop_price=prices.stop,
        target_price=prices.target,
        suggested_size_fraction=prices.size_fraction,
        news=news,
        classified_at=classified_at,
        published_at=terms.now,
        # Counted from the classification, not from the news: a back-filled item would expire before it is born.
        expires_at=classified_at + terms.rules.time_to_live(catalyst) if action.is_entry else None,
        # An exit on distress is worth more than an entry every second earlier.
        priority=Priority.FLASH if action is Action.CLOSE else Priority.NORMAL,
        **rest,
    )


def _object(record: Record, name: str) -> Record:
    value = record.get(name)
    if not isinstance(value, dict):
        raise Unusable(RefusalCode.SHAPE_INVALID, f"{name} is not an object")
    return value


def demo_drop(item: Record) -> Dropped | None:
    """The drop of what the bot makes up for its own tests, else None."""
    source = item.get("source")
    is_demo = isinstance(source, str) and source.strip().lower() in NEVER_PUBLISHED_SOURCES
    return Dropped("demo_source", "demo and test items are never published") if is_demo else None


def _action(value: Any) -> Action:
    # Upstream's generator knows these two; a `sell` here would be somebody else's idea of a short.
    if value not in ("buy", "close"):
        raise Unusable(RefusalCode.ACTION_UNKNOWN, "trading_signal.action is neither buy nor close")
    return Action(value)


def _one_ticker(item: Record, trade: Record) -> str:
    ticker = ticker_from(trade.get("ticker"))
    if item.get("ticker") is not None and ticker_from(item["ticker"]) != ticker:
        raise Unusable(RefusalCode.TICKER_CONFLICT, "news item and trading signal name different tickers")
    return ticker


def _confidence(value: Any) -> Decimal:
    confidence = within(value, "trading_signal.confidence", 0, 1, code=RefusalCode.CONFIDENCE_INVALID)
    if confidence is None:
        raise Unusable(RefusalCode.CONFIDENCE_INVALID, "trading_signal.confidence is missing")
    return confidence


def _sentiment(value: Any, name: str) -> Decimal | None:
    return within(value, name, -1, 1, code=RefusalCode.SENTIMENT_INVALID)


def _prices(trade: Record, action: Action, last: Decimal | None) -> _Prices:
    current = trade.get("current_price")
    reference = price_from(trade.get("entry_price") if current is None else current, "trading_signal.current_price")
    reference = last if reference is None else reference
    if not action.is_entry:
        return _Prices(reference)
    if reference is None:
        raise Unusable(RefusalCode.PRICE_MISSING, "a buy without a price")
    stop = price_from(trade.get("stop_loss_price"), "trading_signal.stop_loss_price")
    # Upstream rounds to cents even below a dollar, which can lift a stop to the entry price.
    if stop is not None and stop >= reference:
        raise Unusable(RefusalCode.STOP_WRONG_SIDE, f"the stop {stop} of a buy is not below its price {reference}")
    return _Prices(
        reference,
        stop,
        price_from(trade.get("take_profit_price"), "trading_signal.take_profit_price"),
        fraction_from_percent(
            trade.get("position_size_pct"), "trading_signal.position_size_pct", code=RefusalCode.SIZE_INVALID
        ),
    )


def _news(item: Record, published_at: datetime | None) -> News:
    title = text_required(item.get("title"), "title", 500)
    return News(
        id=news_id_from(item.get("id"), item.get("link"), title),
        title=title,
        url=url_from(item.get("link")),
        source=text_required(item.get("source"), "source", 64),
        published_at=published_at,
    )


def _market(*sources: Record, session: Session | None = None) -> Market:
    def found(name: str) -> Any:
        return next((each[name] for each in sources if each.get(name) is not None), None)

    return Market(
        session=session,
        rvol=number_from(found("rvol"), "rvol"),
        market_cap_usd=number_from(found("market_cap"), "market_cap"),
        sector=text_from(found("sector"), 64),
        float_shares=number_from(found("float_shares"), "float_shares"),
        short_interest_fraction=fraction_from_percent(
            found("short_interest_pct"), "short_interest_pct", code=RefusalCode.NUMBER_INVALID, top=1000
        ),
        vwap=price_from(found("vwap"), "vwap"),
        vix=number_from(found("market_vix"), "market_vix"),
        regime=text_from(found("market_regime"), 64),
    )


def _classifier(version: str, *sources: Record, degraded: bool = False) -> Classifier:
    has_llm = any(key.startswith("llm_") and value is not None for each in sources for key, value in each.items())
    mode = ClassifierMode.LLM if has_llm else ClassifierMode.KEYWORD
    return Classifier(name=CLASSIFIER_NAME, version=version, mode=mode, degraded=degraded)


def _meta(trade: Record) -> dict[str, str]:
    wanted = {
        "upstream_signal_id": trade.get("signal_id"),
        "strategy": trade.get("strategy"),
        "timeframe": trade.get("timeframe"),
        "signal_type": trade.get("signal_type"),
    }
    cleaned = {key: text_from(value, 500) for key, value in wanted.items()}
    return {key: value for key, value in cleaned.items() if value is not None}


def schema_refusal(error: ValidationError) -> Unusable:
    """The refusal for what the repairs let through and the wire model does not."""
    return Unusable(RefusalCode.SCHEMA_INVALID, violations_text(error))
