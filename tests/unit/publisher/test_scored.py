"""What becomes of the bot's objects: repairs, nulls that are counted, refusals, and that nothing is ever raised."""

from __future__ import annotations

import json
from dataclasses import make_dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.decay import time_to_live
from publisher.intake.bot import Terms
from publisher.intake.outcome import Draft, Dropped, Refused
from publisher.intake.record import Intake
from publisher.intake.rules import Rules, read_rules
from publisher.intake.scored import Reading, Scored, reading_from
from signal_contract.codec import decode, encode
from signal_contract.errors import ConfigInvalid
from signal_contract.model import Action, ClassifierMode, Priority, Session, Signal
from signal_contract.resources import resource_path

NOW = datetime(2026, 3, 2, 14, 25, 3, tzinfo=UTC)
TERMS = Terms(NOW, "unknown", Rules())
LINES = resource_path("config/samples/catalyst_bot_signals.jsonl").read_bytes().splitlines()


def read(record: dict[str, Any], terms: Terms = TERMS, **changes: Any) -> Reading:
    found = {"item": record["news_item"], "scored": record["scored_item"], "trading_signal": record["trading_signal"]}
    return reading_from(Scored(**(found | changes)), terms)


def signal_of(record: dict[str, Any], terms: Terms = TERMS, **changes: Any) -> Signal:
    reading = read(record, terms, **changes)
    assert isinstance(reading.outcome, Draft), reading
    return reading.outcome.signal


def code_of(reading: Reading) -> str:
    assert isinstance(reading.outcome, Refused | Dropped), reading
    return str(reading.outcome.code)


def as_object(values: dict[str, Any]) -> Any:
    return SimpleNamespace(**values)


def as_dataclass(values: dict[str, Any]) -> Any:
    return make_dataclass("Thing", list(values))(**values)


@pytest.mark.parametrize("shape", [dict, as_object, as_dataclass])
@pytest.mark.parametrize("line", range(len(LINES)))
def test_objects_and_dicts_give_the_signal_of_the_json_line(line: int, shape: Any) -> None:
    expected = Intake(NOW).outcome(LINES[line])
    record = json.loads(LINES[line])
    trade = record["trading_signal"]
    if trade is not None:
        trade["timestamp"] = datetime.fromisoformat(trade["timestamp"])
        trade["current_price"] = Decimal(trade["current_price"])
        trade = shape(trade)
    reading = read(record, item=shape(record["news_item"]), scored=shape(record["scored_item"]), trading_signal=trade)
    assert reading.unread == ()
    if isinstance(expected, Draft):
        assert reading.outcome == expected
    else:
        assert isinstance(reading.outcome, Dropped)


def test_news_time_without_an_offset_is_null_and_named(merged: Any) -> None:
    merged["news_item"]["ts"] = datetime(2026, 3, 2, 14, 20)  # noqa: DTZ001
    reading = read(merged)
    assert reading.unread == ("item.ts",)
    assert signal_of(merged).news.published_at is None


def test_aware_time_of_another_zone_is_kept_as_utc(merged: Any) -> None:
    merged["news_item"]["ts"] = datetime(2026, 3, 2, 9, 20, tzinfo=timezone(timedelta(hours=-5)))
    assert signal_of(merged).news.published_at == datetime(2026, 3, 2, 14, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", [float("nan"), Decimal("sNaN"), "n/a", True, -1, pytest.param(10**5000, id="huge"), object(), [1]]
)
def test_describing_number_that_cannot_be_read_is_null_and_named(merged: Any, value: Any) -> None:
    merged["scored_item"]["rvol"] = value
    reading = read(merged)
    assert reading.unread == ("scored.rvol",)
    assert signal_of(merged).market.rvol is None


@pytest.mark.parametrize("name", ["stop_loss_price", "current_price", "confidence", "timestamp", "action", "ticker"])
@pytest.mark.parametrize("value", [float("nan"), object(), "?", datetime(2026, 1, 1)])  # noqa: DTZ001
def test_what_a_trade_rests_on_refuses_the_signal(merged: Any, name: str, value: Any) -> None:
    merged["trading_signal"][name] = value
    assert isinstance(read(merged).outcome, Refused)


@pytest.mark.parametrize("value", [float("nan"), 340, "much", object()])
def test_suggested_size_that_makes_no_sense_is_null_and_named(merged: Any, value: Any) -> None:
    merged["trading_signal"]["position_size_pct"] = value
    reading = read(merged)
    assert reading.unread == ("trading_signal.position_size_pct",)
    assert signal_of(merged).suggested_size_fraction is None


def test_decimal_and_enum_values_are_read(merged: Any) -> None:
    class Side(Enum):
        BUY = "buy"

    merged["trading_signal"] |= {"action": Side.BUY, "position_size_pct": Decimal("3.4"), "confidence": Decimal("0.92")}
    signal = signal_of(merged)
    assert (signal.action, signal.suggested_size_fraction) == (Action.BUY, Decimal("0.034"))


def test_property_that_raises_is_named_and_null(merged: Any) -> None:
    class Item(SimpleNamespace):
        @property
        def rvol(self) -> float:
            raise RuntimeError("not today")

    reading = read(merged, scored=Item(**merged["scored_item"]))
    assert reading.unread == ("scored.rvol",)


def test_item_for_the_record_is_watched_and_marked(merged: Any) -> None:
    signal = signal_of(merged, record_only=True)
    assert signal.action is Action.WATCH
    assert (signal.meta["record_only"], signal.meta["upstream_action"]) == ("true", "buy")
    assert (signal.stop_price, signal.expires_at) == (None, None)


def test_avoid_news_goes_out_as_watch_only_when_asked(merged: Any) -> None:
    merged["scored_item"]["keyword_hits"] = ["fda", "dilution"]
    merged["trading_signal"] = None
    assert code_of(read(merged)) == "avoid_catalyst"
    signal = signal_of(merged, Terms(NOW, "unknown", Rules(avoid_as_watch=True)), price=5.41)
    assert (signal.action, signal.catalyst, signal.confidence) == (Action.WATCH, "dilution", Decimal(0))
    assert (signal.classified_at, signal.reference_price) == (NOW, Decimal("5.41"))


def test_item_without_trading_signal_is_dropped(merged: Any) -> None:
    merged["trading_signal"] = None
    assert code_of(read(merged)) == "no_trading_signal"
    merged["news_item"]["ticker"] = None
    assert code_of(read(merged)) == "no_ticker"


@pytest.mark.parametrize("source", ["demo", "system_test", " DEMO "])
def test_demo_items_are_never_published(merged: Any, source: str) -> None:
    merged["news_item"]["source"] = source
    assert code_of(read(merged, item=as_object(merged["news_item"]))) == "demo_source"


def test_fallback_classifier_is_degraded_and_an_llm_is_named(merged: Any) -> None:
    assert (signal_of(merged).classifier.mode, signal_of(merged).classifier.degraded) == (ClassifierMode.KEYWORD, False)
    fallback = {"sentiment": 0.1, "keywords": ["fda"], "score": 1.5}
    signal = signal_of(merged, scored=fallback)
    assert (signal.classifier.degraded, signal.score) == (True, Decimal("1.5"))
    merged["news_item"]["llm_relevance"] = 0.9
    assert signal_of(merged).classifier.mode is ClassifierMode.LLM


def test_session_comes_from_the_market_and_an_unknown_one_is_null(merged: Any) -> None:
    assert signal_of(merged, market_info={"status": "pre_market"}).market.session is Session.PRE
    reading = read(merged, market_info={"status": "lunch"})
    assert reading.unread == ("market_info.status",)


def test_distress_exit_is_flash(merged: Any) -> None:
    merged["scored_item"]["keyword_hits"] = ["going_concern"]
    merged["trading_signal"] |= {"action": "close", "stop_loss_price": None, "take_profit_price": None}
    signal = signal_of(merged)
    assert (signal.action, signal.priority) == (Action.CLOSE, Priority.FLASH)


def test_missing_objects_are_refused_and_never_raised() -> None:
    for found in (Scored(None, None), Scored({}, {}, {}), Scored(7, "x", 3.0, [], object(), "no")):
        assert isinstance(reading_from(found, TERMS).outcome, Refused | Dropped)


# Every field's type zoo ----------------------------------------------------------------------------------------------


class _Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


_ZOO = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.lists(st.text(max_size=5) | st.integers() | st.none(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sets(st.integers(), max_size=2),
    st.builds(_Hostile),
    st.builds(object),
    st.just(10**5000),
    st.sampled_from(["nan", "inf", "1e400", "0", "-1", "demo", "buy", "close", "\x00", "fda"]),
)
_FIELDS = [
    *((0, name) for name in ("id", "title", "link", "ts", "source", "ticker", "llm_sentiment", "market_cap", "sector")),
    *(
        (1, name)
        for name in ("source_weight", "score", "sentiment", "keyword_hits", "keywords", "tags", "rvol", "vwap")
    ),
    *((1, name) for name in ("float_shares", "short_interest_pct", "market_vix", "market_regime", "degraded")),
    *((2, name) for name in ("signal_id", "ticker", "timestamp", "action", "confidence", "entry_price", "strategy")),
    *((2, name) for name in ("current_price", "stop_loss_price", "take_profit_price", "position_size_pct")),
]


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(_FIELDS), _ZOO, max_size=5), st.sampled_from([dict, as_object]), _ZOO, _ZOO, _ZOO
)
def test_any_type_in_any_field_is_refused_or_survives_the_wire(
    changes: dict[Any, Any], shape: Any, price: Any, market_info: Any, record_only: Any
) -> None:
    record = json.loads(LINES[0])
    parts = [record["news_item"], record["scored_item"], record["trading_signal"]]
    for (part, name), value in changes.items():
        parts[part][name] = value
    found = Scored(*(shape(part) for part in parts), price, market_info, record_only)
    outcome = reading_from(found, TERMS).outcome
    assert isinstance(outcome, Draft | Dropped | Refused)
    if isinstance(outcome, Draft):
        assert decode(encode(outcome.signal)) == outcome.signal


@settings(max_examples=200, deadline=None)
@given(_ZOO, _ZOO, _ZOO, _ZOO)
def test_any_objects_at_all_are_never_a_signal_made_up(item: Any, scored: Any, trade: Any, price: Any) -> None:
    assert not isinstance(reading_from(Scored(item, scored, trade, price), TERMS).outcome, Draft)


# The operator's rules ------------------------------------------------------------------------------------------------


def _written(folder: Any, text: str) -> Any:
    (folder / "publisher").mkdir(exist_ok=True)
    (folder / "publisher" / "intake.json").write_text(text)
    return folder


def test_half_lives_are_the_operators_and_the_tables_otherwise(tmp_path: Any, merged: Any) -> None:
    rules = read_rules(_written(tmp_path, '{"half_life_hours": {"fda": 1, "default": 0.5}, "avoid_as_watch": true}'))
    signal = signal_of(merged, Terms(NOW, "unknown", rules))
    assert signal.expires_at == signal.classified_at + timedelta(hours=1)
    assert rules.time_to_live("earnings") == timedelta(minutes=30)
    assert rules.time_to_live("merger") == time_to_live("merger")
    assert rules.avoid_as_watch


def test_without_a_file_the_defaults_hold(tmp_path: Any) -> None:
    assert read_rules(tmp_path) == Rules()


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"half_life": 1}', '{"avoid_as_watch": 1}', '{"half_life_hours": {"fdaa": 1}}']
    + [f'{{"half_life_hours": {{"fda": {value}}}}}' for value in ("0", "-1", "1e9", '"2"', "true", "null")]
    + ['{"half_life_hours": 3}'],
)
def test_rules_with_mistakes_are_refused(tmp_path: Any, text: str) -> None:
    with pytest.raises(ConfigInvalid):
        read_rules(_written(tmp_path, text))
