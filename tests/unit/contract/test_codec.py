"""The wire codec: canonical, strict, and never anything but our own errors."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.catalysts import CATALYSTS
from signal_contract.codec import MAX_PAYLOAD_BYTES, decode, encode, signal_id_from
from signal_contract.errors import SchemaTooNew, SignalInvalid
from signal_contract.model import Action, Classifier, ClassifierMode, Event, Market, News, Priority, Session, Signal

GOLDEN = Path(__file__).parents[1] / "golden"

decimals = st.decimals(min_value="0.0001", max_value="999999", places=4)
instants = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)


@st.composite
def signals(draw):
    action = draw(st.sampled_from(Action))
    revision = draw(st.integers(1, 50))
    classified_at = draw(instants)
    price = draw(st.none() | decimals)
    catalyst = draw(st.sampled_from(sorted(CATALYSTS)))
    return Signal(
        schema_version=1,
        signal_id=signal_id_from(draw(texts), "X", action),
        revision=revision,
        event=Event.NEW if revision == 1 else draw(st.sampled_from([Event.UPDATE, Event.RETRACT])),
        action=action,
        ticker=draw(st.from_regex(r"[A-Z][A-Z0-9.\-]{0,9}", fullmatch=True)),
        catalyst=catalyst,
        catalysts=(catalyst, *draw(st.lists(st.sampled_from(sorted(CATALYSTS)), max_size=3))),
        confidence=draw(st.decimals(0, 1, places=4)),
        score=draw(st.none() | st.decimals(-999, 999, places=6)),
        sentiment=draw(st.none() | st.decimals(-1, 1, places=4)),
        reference_price=price,
        reference_price_at=None if price is None else classified_at,
        stop_price=draw(st.none() | decimals),
        target_price=draw(st.none() | decimals),
        suggested_size_fraction=draw(st.none() | st.decimals(0, 1, places=4)),
        news=News(
            id=draw(texts),
            title=draw(texts),
            url=draw(st.none() | texts),
            source="x",
            published_at=draw(st.none() | instants),
        ),
        market=Market(session=draw(st.none() | st.sampled_from(Session)), rvol=draw(st.none() | decimals)),
        classified_at=classified_at,
        published_at=draw(instants),
        expires_at=classified_at + timedelta(seconds=draw(st.integers(1, 10**6))),
        classifier=Classifier(
            name="c", version="1", mode=draw(st.sampled_from(ClassifierMode)), degraded=draw(st.booleans())
        ),
        priority=draw(st.sampled_from(Priority)),
        meta=draw(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), texts, max_size=3)),
    )


@given(signals())
def test_encode_and_decode_are_inverse_and_canonical(signal):
    wire = encode(signal)
    assert decode(wire) == signal
    assert encode(decode(wire)) == wire
    assert wire == json.dumps(signal.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")).encode()


@given(st.binary(max_size=300))
def test_arbitrary_bytes_get_our_error(payload):
    with pytest.raises(SignalInvalid):
        decode(payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _golden():
    return json.loads((GOLDEN / "signal_v1_buy.json").read_bytes())


@given(st.sampled_from(sorted(_golden())), json_values)
def test_any_value_in_any_field_is_accepted_or_gets_our_error(field, value):
    document = _golden() | {field: value}
    with contextlib.suppress(SignalInvalid):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("name", ["signal_v1_buy", "signal_v1_close", "signal_v1_retract"])
def test_golden_bytes_stay_as_they_are(name):
    wire = (GOLDEN / f"{name}.json").read_bytes()
    assert encode(decode(wire)) == wire


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"confidence": 0.9}, "confidence"),
        ({"confidence": "NaN"}, "confidence"),
        ({"confidence": "1.01"}, "confidence"),
        ({"reference_price": "-1"}, "reference_price"),
        ({"reference_price": "0"}, "reference_price"),
        ({"reference_price": "1e9999999999"}, "reference_price"),
        ({"reference_price": None}, "come together"),
        ({"classified_at": "2026-01-02T14:30:00"}, "classified_at"),
        ({"published_at": 1767364200}, "published_at"),
        ({"expires_at": None}, "expires"),
        ({"ticker": "BRK B"}, "ticker"),
        ({"ticker": "*"}, "ticker"),
        ({"catalyst": "magic", "catalysts": ["magic"]}, "catalyst"),
        ({"catalysts": ["clinical"]}, "catalysts"),
        ({"revision": 2}, "revision"),
        ({"revision": True}, "revision"),
        ({"event": "delete"}, "event"),
        ({"surprise": 1}, "surprise"),
        ({"meta": {"A": "x"}}, "meta"),
        ({"meta": {"a": "\x1b[31m"}}, "meta"),
    ],
)
def test_what_breaks_the_schema_is_refused_and_named(change, where):
    with pytest.raises(SignalInvalid, match=where):
        decode(json.dumps(_golden() | change).encode())


@pytest.mark.parametrize("field", sorted(_golden()))
def test_every_field_is_required(field):
    document = _golden()
    del document[field]
    with pytest.raises(SignalInvalid, match=field):
        decode(json.dumps(document).encode())


def test_a_newer_schema_is_named_as_such():
    with pytest.raises(SchemaTooNew) as caught:
        decode(json.dumps(_golden() | {"schema_version": 2, "news": 1}).encode())
    assert "upgrade" in caught.value.hint


def test_an_oversized_payload_is_refused_unread():
    with pytest.raises(SignalInvalid, match="over the limit"):
        decode(b" " * (MAX_PAYLOAD_BYTES + 1))


def test_error_text_does_not_echo_the_value():
    with pytest.raises(SignalInvalid) as caught:
        decode(json.dumps(_golden() | {"confidence": "hunter2"}).encode())
    assert "hunter2" not in str(caught.value)


def test_other_offsets_are_kept_as_utc():
    signal = decode(json.dumps(_golden() | {"published_at": "2026-01-02T10:30:00-05:00"}).encode())
    assert signal.published_at == datetime(2026, 1, 2, 15, 30, tzinfo=UTC)
    assert signal.published_at.utcoffset() == timedelta(0)


def test_the_id_is_the_news_the_ticker_and_the_action():
    assert signal_id_from("n", "A", Action.BUY) == signal_id_from("n", "A", Action.BUY)
    assert len({signal_id_from(n, t, a) for n in "nm" for t in "AB" for a in Action}) == 16


def test_subject_and_message_id_follow_from_the_signal():
    signal = decode((GOLDEN / "signal_v1_buy.json").read_bytes())
    assert signal.subject == "signals.fda.BRK_B"
    assert signal.message_id == f"{signal.signal_id}.1"
    assert signal.confidence == Decimal("0.92")
