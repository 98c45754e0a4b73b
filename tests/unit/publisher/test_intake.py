"""What becomes of one input line: every repair, every refusal, and that nothing is ever raised."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publisher.decay import DECAY_PER_HOUR, time_to_live
from publisher.intake.outcome import Draft, Dropped, Outcome, RefusalCode, Refused
from publisher.intake.record import Intake
from signal_contract.codec import decode, encode, signal_id_from
from signal_contract.model import Action, ClassifierMode, Signal
from signal_contract.resources import resource_path

NOW = datetime(2026, 3, 2, 14, 25, 3, tzinfo=UTC)
INTAKE = Intake(NOW)


def outcome_of(record: Any, intake: Intake = INTAKE) -> Outcome:
    return intake.outcome(json.dumps(record).encode())


def signal_of(record: Any, intake: Intake = INTAKE) -> Signal:
    outcome = outcome_of(record, intake)
    assert isinstance(outcome, Draft), outcome
    return outcome.signal


def refusal_of(record: Any) -> RefusalCode:
    outcome = outcome_of(record)
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def dropped_as(record: Any) -> str:
    outcome = outcome_of(record)
    assert isinstance(outcome, Dropped), outcome
    return outcome.code


# Merged records: repairs ------------------------------------------------------------------------------------------


def test_percent_becomes_a_fraction(merged: Any) -> None:
    assert signal_of(merged).suggested_size_fraction == Decimal("0.034")


def test_id_comes_from_the_news_and_not_from_the_uuid(merged: Any) -> None:
    first = signal_of(merged)
    merged["trading_signal"]["signal_id"] = str(uuid.uuid4())
    assert signal_of(merged).signal_id == first.signal_id
    assert first.signal_id == signal_id_from(merged["news_item"]["id"], "CLNN", Action.BUY)


def test_upstream_id_rides_in_meta(merged: Any) -> None:
    assert signal_of(merged).meta["upstream_signal_id"] == merged["trading_signal"]["signal_id"]


def test_score_is_source_weight_and_never_total(merged: Any) -> None:
    assert signal_of(merged).score == Decimal("1.775")


def test_subject_is_the_strongest_buy_catalyst_and_the_others_ride_along(merged: Any) -> None:
    signal = signal_of(merged)
    assert signal.subject == "signals.fda.CLNN"
    assert signal.catalysts == ("fda", "partnership")


def test_only_unknown_categories_are_other(merged: Any) -> None:
    merged["scored_item"]["keyword_hits"] = ["unknown", "no_such_thing", 7]
    assert signal_of(merged).catalysts == ("other",)


def test_three_times_are_kept_apart(merged: Any) -> None:
    signal = signal_of(merged)
    assert signal.news.published_at == datetime(2026, 3, 2, 14, 20, tzinfo=UTC)
    assert signal.classified_at == datetime(2026, 3, 2, 14, 25, 0, 500_000, tzinfo=UTC)
    assert signal.published_at == NOW
    assert signal.reference_price_at == signal.classified_at


def test_times_with_another_offset_are_kept_as_utc(merged: Any) -> None:
    merged["news_item"]["ts"] = "2026-03-02T09:20:00-05:00"
    assert signal_of(merged).news.published_at == datetime(2026, 3, 2, 14, 20, tzinfo=UTC)


def test_entry_expires_after_the_half_life_of_its_catalyst(merged: Any) -> None:
    signal = signal_of(merged)
    assert signal.expires_at == signal.classified_at + time_to_live("fda")


def test_old_news_expires_from_its_classification(merged: Any) -> None:
    merged["news_item"]["ts"] = "2024-03-02T14:20:00+00:00"
    signal = signal_of(merged)
    assert signal.expires_at == signal.classified_at + time_to_live("fda")


def test_current_price_is_the_reference_and_entry_price_its_stand_in(merged: Any) -> None:
    assert signal_of(merged).reference_price == Decimal("5.41")
    merged["trading_signal"]["current_price"] = None
    assert signal_of(merged).reference_price == Decimal("5.40")


def test_missing_news_id_is_derived_from_link_and_title(merged: Any) -> None:
    merged["news_item"]["id"] = None
    merged["news_item"]["link"] = "https://example.com/"
    one = signal_of(merged).news.id
    merged["news_item"]["title"] = "Another item of the same home page"
    other = signal_of(merged).news.id
    assert one != other
    assert len(one) == 40


def test_news_id_that_does_not_fit_is_hashed(merged: Any) -> None:
    merged["news_item"]["id"] = "x" * 65
    assert signal_of(merged).news.id == hashlib.sha1(b"x" * 65).hexdigest()


def test_title_is_one_printable_line_of_at_most_500(merged: Any) -> None:
    merged["news_item"]["title"] = "A\u00a0\u00a0b\r\n\x1b[31mc\u200b" + "d" * 600
    title = signal_of(merged).news.title
    assert title.startswith("A b [31mcd")
    assert len(title) == 500


@pytest.mark.parametrize(
    "link",
    [
        None,
        7,
        "",
        "ftp://example.com/a",
        "javascript:alert(1)",
        "https://x/" + "a" * 2000,
        "http://[",
        "https://e.com/\x1b",
    ],
)
def test_unfit_link_becomes_null(merged: Any, link: Any) -> None:
    merged["news_item"]["link"] = link
    assert signal_of(merged).news.url is None


def test_ticker_is_stripped_and_upper_case(merged: Any) -> None:
    merged["trading_signal"]["ticker"] = " clnn "
    assert signal_of(merged).ticker == "CLNN"


def test_floats_keep_their_shortest_form_and_at_most_ten_decimals(merged: Any) -> None:
    merged["scored_item"]["sentiment"] = 0.1310362694300518
    merged["scored_item"]["source_weight"] = 1e-12
    signal = signal_of(merged)
    assert signal.sentiment == Decimal("0.1310362694")
    assert signal.score == 0
    assert decode(encode(signal)) == signal


def test_fallback_form_of_the_scored_item_is_read(merged: Any) -> None:
    merged["scored_item"] = {"sentiment": 0.1, "keywords": {"clinical": 1.0}, "score": 2}
    signal = signal_of(merged)
    assert (signal.catalyst, signal.score) == ("clinical", Decimal(2))


def test_market_facts_ride_along_and_missing_ones_stay_unknown(merged: Any) -> None:
    merged["scored_item"] |= {"rvol": 2.5, "float_shares": 1_200_000, "short_interest_pct": 12.5, "market_vix": 19}
    market = signal_of(merged).market
    assert market.short_interest_fraction == Decimal("0.125")
    assert market.float_shares == 1_200_000
    assert (market.session, market.sector, market.market_cap_usd) == (None, None, None)


def test_llm_fields_say_who_classified(merged: Any) -> None:
    assert signal_of(merged).classifier.mode is ClassifierMode.KEYWORD
    merged["news_item"]["llm_sentiment"] = 0.4
    assert signal_of(merged).classifier.mode is ClassifierMode.LLM


def test_close_has_no_expiry_and_takes_the_close_catalyst(merged: Any) -> None:
    merged["scored_item"]["keyword_hits"] = ["compliance", "dilution", "distress_negative", "fda"]
    merged["trading_signal"] |= {"action": "close", "stop_loss_price": None, "take_profit_price": None}
    signal = signal_of(merged)
    assert signal.subject == "signals.distress_negative.CLNN"
    assert (signal.action, signal.expires_at, signal.suggested_size_fraction) == (Action.CLOSE, None, None)


# Merged records: drops and refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["demo", "system_test", " Demo "])
def test_demo_sources_are_never_published(merged: Any, source: str) -> None:
    merged["news_item"]["source"] = source
    assert dropped_as(merged) == "demo_source"


def test_record_without_a_signal_is_dropped_by_its_reason(merged: Any) -> None:
    merged |= {"trading_signal": None, "no_signal_reason": "avoid_keyword"}
    assert dropped_as(merged) == "avoid_keyword"
    merged["no_signal_reason"] = None
    assert dropped_as(merged) == "no_trading_signal"


@pytest.mark.parametrize(
    ("part", "field", "value", "code"),
    [
        ("trading_signal", "action", "sell", "ACTION_UNKNOWN"),
        ("trading_signal", "action", ["buy"], "ACTION_UNKNOWN"),
        ("trading_signal", "ticker", None, "TICKER_INVALID"),
        ("trading_signal", "ticker", "CL NN", "TICKER_INVALID"),
        ("trading_signal", "ticker", "*", "TICKER_INVALID"),
        ("trading_signal", "ticker", ">", "TICKER_INVALID"),
        ("trading_signal", "ticker", "AAPL", "TICKER_CONFLICT"),
        ("trading_signal", "timestamp", None, "TIME_MISSING"),
        ("trading_signal", "timestamp", "2026-03-02T14:25:00", "TIME_NAIVE"),
        ("trading_signal", "timestamp", "yesterday", "TIME_INVALID"),
        ("trading_signal", "timestamp", "2026-02-30T14:25:00Z", "TIME_INVALID"),
        ("trading_signal", "timestamp", "9999-12-31T23:59:59-12:00", "TIME_INVALID"),
        ("trading_signal", "timestamp", 1772461500, "TIME_INVALID"),
        ("news_item", "ts", None, "TIME_MISSING"),
        ("news_item", "ts", "2026-03-02 14:20:00", "TIME_NAIVE"),
        ("news_item", "title", "\u200b ", "FIELD_MISSING"),
        ("news_item", "source", None, "FIELD_MISSING"),
        ("trading_signal", "current_price", "-5.41", "PRICE_INVALID"),
        ("trading_signal", "current_price", 0, "PRICE_INVALID"),
        ("trading_signal", "current_price", "NaN", "NOT_FINITE"),
        ("trading_signal", "current_price", "-Infinity", "NOT_FINITE"),
        ("trading_signal", "current_price", "1e999999999", "NUMBER_INVALID"),
        ("trading_signal", "current_price", "1e20", "NUMBER_INVALID"),
        ("trading_signal", "current_price", "5,41", "NUMBER_INVALID"),
        ("trading_signal", "current_price", True, "NUMBER_INVALID"),
        ("trading_signal", "stop_loss_price", "-1", "PRICE_INVALID"),
        ("trading_signal", "stop_loss_price", "5.41", "STOP_WRONG_SIDE"),
        ("trading_signal", "position_size_pct", 340, "SIZE_INVALID"),
        ("trading_signal", "position_size_pct", -1, "SIZE_INVALID"),
        ("trading_signal", "position_size_pct", "nan", "NOT_FINITE"),
        ("trading_signal", "confidence", 92, "CONFIDENCE_INVALID"),
        ("trading_signal", "confidence", None, "CONFIDENCE_INVALID"),
        ("scored_item", "sentiment", 1.5, "SENTIMENT_INVALID"),
        ("scored_item", "rvol", -2, "SCHEMA_INVALID"),
        ("scored_item", "keyword_hits", ["fda", "dilution"], "CATALYST_CONFLICT"),
        ("scored_item", "keyword_hits", ["fda", "bankruptcy"], "CATALYST_CONFLICT"),
    ],
)
def test_bad_value_is_refused_with_its_code(merged: Any, part: str, field: str, value: Any, code: str) -> None:
    merged[part][field] = value
    assert refusal_of(merged) == code


def test_buy_without_any_price_is_refused(merged: Any) -> None:
    merged["trading_signal"] |= {"current_price": None, "entry_price": None}
    assert refusal_of(merged) is RefusalCode.PRICE_MISSING


@pytest.mark.parametrize("part", ["news_item", "scored_item", "trading_signal"])
def test_part_that_is_no_object_is_refused(merged: Any, part: str) -> None:
    merged[part] = ["not", "an", "object"]
    assert refusal_of(merged) is RefusalCode.SHAPE_INVALID


# Accepted items ------------------------------------------------------------------------------------------------------


def test_accepted_item_is_watched_and_opens_nothing(accepted: Any) -> None:
    signal = signal_of(accepted)
    assert (signal.action, signal.catalyst, signal.expires_at) == (Action.WATCH, "fda", None)
    assert signal.confidence == 0


def test_log_time_is_the_classification_and_not_the_news_time(accepted: Any) -> None:
    signal = signal_of(accepted)
    assert signal.classified_at == datetime(2026, 3, 2, 14, 26, tzinfo=UTC)
    assert signal.news.published_at is None


def test_accepted_distress_item_closes(accepted: Any) -> None:
    accepted["cls"]["keywords"] = ["fda", "going_concern"]
    signal = signal_of(accepted)
    assert (signal.action, signal.catalyst) == (Action.CLOSE, "going_concern")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"accepted": False}, "not_accepted"),
        ({"accepted": "yes"}, "not_accepted"),
        ({"source": "demo"}, "demo_source"),
        ({"ticker": None}, "no_ticker"),
        ({"cls": {"keywords": ["fda", "offering"]}}, "avoid_catalyst"),
    ],
)
def test_accepted_item_is_dropped(accepted: Any, change: dict[str, Any], code: str) -> None:
    assert dropped_as(accepted | change) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ts": None}, "TIME_MISSING"),
        ({"ts": "2026-03-02T14:26:00"}, "TIME_NAIVE"),
        ({"price": -1}, "PRICE_INVALID"),
        ({"ticker": "A B"}, "TICKER_INVALID"),
        ({"cls": None}, "SHAPE_INVALID"),
        ({"cls": {"score": "inf"}}, "NOT_FINITE"),
    ],
)
def test_bad_accepted_item_is_refused(accepted: Any, change: dict[str, Any], code: str) -> None:
    assert refusal_of(accepted | change) == code


# Our own schema ------------------------------------------------------------------------------------------------------


def test_own_signal_goes_out_as_it_stands(merged: Any) -> None:
    signal = signal_of(merged, Intake(NOW - timedelta(hours=1)))
    outcome = INTAKE.outcome(encode(signal))
    assert outcome == Draft(signal)


def test_unknown_catalyst_is_refused_with_the_nearest_name(merged: Any) -> None:
    document = json.loads(encode(signal_of(merged))) | {"catalyst": "clincal"}
    outcome = outcome_of(document)
    assert isinstance(outcome, Refused)
    assert outcome.code is RefusalCode.CATALYST_UNKNOWN
    assert "'clinical'" in outcome.reason


def test_alias_in_our_own_schema_is_refused_with_the_name_it_stands_for(merged: Any) -> None:
    outcome = outcome_of(json.loads(encode(signal_of(merged))) | {"catalyst": "M&A"})
    assert isinstance(outcome, Refused)
    assert "'acquisition'" in outcome.reason


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema_version": 2}, "SCHEMA_TOO_NEW"),
        ({"reference_price": "-5"}, "SCHEMA_INVALID"),
        ({"reference_price": 5.41}, "SCHEMA_INVALID"),
        ({"classified_at": "2026-03-02T14:25:00"}, "SCHEMA_INVALID"),
        ({"classified_at": "0001-01-01T00:00:00+23:59"}, "SCHEMA_INVALID"),
        ({"ticker": "A B"}, "SCHEMA_INVALID"),
        ({"surprise": 1}, "SCHEMA_INVALID"),
        ({"catalysts": {"fda": 1}}, "SCHEMA_INVALID"),
        ({"expires_at": None}, "SCHEMA_INVALID"),
    ],
)
def test_bad_own_signal_is_refused(merged: Any, change: dict[str, Any], code: str) -> None:
    assert refusal_of(json.loads(encode(signal_of(merged))) | change) == code


# Lines that hold no record -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "NOT_JSON"),
        (b'{"a": NaN}', "NOT_JSON"),
        (b'{"a": Infinity}', "NOT_JSON"),
        (b'{"a": "\xff"}', "NOT_UTF8"),
        (b"[1]", "NOT_AN_OBJECT"),
        (b'"text"', "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b"{}", "SHAPE_UNKNOWN"),
        (b"[" * 100_000, "NOT_JSON"),
    ],
)
def test_line_without_a_record_is_refused(line: bytes, code: str) -> None:
    outcome = INTAKE.outcome(line)
    assert isinstance(outcome, Refused)
    assert outcome.code == code


# Fire drills ---------------------------------------------------------------------------------------------------------


def test_drill_is_dated_now_and_keeps_every_distance(merged: Any) -> None:
    real, drill = signal_of(merged), signal_of(merged, Intake(NOW + timedelta(days=3), is_drill=True))
    assert drill.classified_at == drill.published_at == drill.reference_price_at == NOW + timedelta(days=3)
    assert drill.news.published_at is not None
    assert real.news.published_at is not None
    assert drill.classified_at - drill.news.published_at == real.classified_at - real.news.published_at
    assert drill.expires_at is not None
    assert drill.expires_at - drill.classified_at == time_to_live("fda")


def test_drill_is_marked_and_never_shadows_the_real_signal(merged: Any) -> None:
    real, drill = signal_of(merged), signal_of(merged, Intake(NOW, is_drill=True))
    assert drill.meta["drill"] == "true"
    assert "drill" not in real.meta
    assert drill.signal_id != real.signal_id
    assert drill.news.id == f"drill:20260302T142503Z:{real.news.id}"


def test_drill_of_a_long_news_id_still_fits(merged: Any) -> None:
    merged["news_item"]["id"] = "y" * 64
    assert len(signal_of(merged, Intake(NOW, is_drill=True)).news.id) <= 64


def test_drill_of_a_signal_without_room_for_its_mark_is_refused(merged: Any) -> None:
    document = json.loads(encode(signal_of(merged))) | {"meta": {f"k{n}": "v" for n in range(32)}}
    assert isinstance(outcome_of(document), Draft)
    assert isinstance(outcome_of(document, Intake(NOW, is_drill=True)), Refused)


# Everything at once --------------------------------------------------------------------------------------------------

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["buy", "close", "demo", "NaN", "1e999", "2026-03-02T14:25:00Z", "9999-12-31T23:59:59Z", "FDA"])
)
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
_PATHS = [
    *[("news_item", key) for key in ("id", "title", "link", "ts", "source", "ticker", "sector")],
    *[("scored_item", key) for key in ("sentiment", "source_weight", "keyword_hits", "rvol", "vwap", "llm_x")],
    *[("trading_signal", key) for key in ("ticker", "timestamp", "action", "confidence", "entry_price")],
    *[("trading_signal", key) for key in ("current_price", "stop_loss_price", "position_size_pct", "strategy")],
]


@given(_JSON)
def test_any_json_value_is_an_outcome(value: Any) -> None:
    assert isinstance(outcome_of(value), Draft | Dropped | Refused)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_outcome(line: bytes) -> None:
    assert isinstance(INTAKE.outcome(line), Draft | Dropped | Refused)


def _assert_sound(outcome: Outcome) -> None:
    assert isinstance(outcome, Draft | Dropped | Refused)
    if isinstance(outcome, Draft):
        assert decode(encode(outcome.signal)) == outcome.signal


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(_PATHS), _JSON, max_size=4), st.booleans())
def test_any_value_in_any_field_is_refused_or_survives_the_wire(changes: dict[Any, Any], is_drill: bool) -> None:
    line = resource_path("config/samples/catalyst_bot_signals.jsonl").read_text(encoding="utf-8").splitlines()[0]
    record = json.loads(line)
    for (part, key), value in changes.items():
        record[part][key] = value
    _assert_sound(outcome_of(record, Intake(NOW, is_drill=is_drill)))


@given(st.dictionaries(st.sampled_from(["ts", "ticker", "title", "link", "price", "cls", "accepted", "source"]), _JSON))
def test_any_accepted_item_is_refused_or_survives_the_wire(changes: dict[str, Any]) -> None:
    line = resource_path("config/samples/accepted_items.jsonl").read_text(encoding="utf-8").splitlines()[0]
    _assert_sound(outcome_of(json.loads(line) | changes))


@given(st.dictionaries(st.sampled_from(sorted(Signal.model_fields)), _JSON, max_size=3), st.booleans())
def test_any_own_signal_is_refused_or_survives_the_wire(changes: dict[str, Any], is_drill: bool) -> None:
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    _assert_sound(outcome_of(document | changes, Intake(NOW, is_drill=is_drill)))


# Decay and samples ---------------------------------------------------------------------------------------------------


def test_half_lives_are_hours() -> None:
    assert time_to_live("fda") == timedelta(seconds=7130)
    assert timedelta(hours=13) < time_to_live("uplisting") < timedelta(hours=14)


def test_catalyst_without_a_decay_of_its_own_gets_the_default() -> None:
    assert "earnings" not in DECAY_PER_HOUR
    assert time_to_live("earnings") == time_to_live("clinical")


def test_bundled_sample_holds_what_the_demo_needs() -> None:
    lines = resource_path("config/samples/catalyst_bot_signals.jsonl").read_bytes().splitlines()
    outcomes = [INTAKE.outcome(line) for line in lines]
    signals = [each.signal for each in outcomes if isinstance(each, Draft)]
    dropped = [each.code for each in outcomes if isinstance(each, Dropped)]
    buru = [each.action for each in signals if each.ticker == "BURU"]
    assert not [each for each in outcomes if isinstance(each, Refused)]
    assert (len(signals), len(dropped), dropped.count("demo_source")) == (25, 5, 1)
    assert buru == [Action.BUY, Action.CLOSE]
    assert {"fda", "acquisition", "partnership", "clinical", "advanced_therapies"} <= {
        each.catalyst for each in signals
    }


def test_bundled_signal_is_valid() -> None:
    line = resource_path("config/samples/signal.v1.json").read_bytes().strip()
    assert encode(decode(line)) == line
