"""A later word on a signal: what it changes, what it leaves alone, and when it is refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.entry import Kept, entry_from, is_intact
from publisher.revision import (
    Change,
    duration_from,
    one_signal,
    prefix_checked,
    retracted,
    signal_of,
    updated,
)
from signal_contract.codec import decode, encode
from signal_contract.errors import CatalystError, Conflict, InputError, NotFound, StorageFailed
from signal_contract.model import Event, Signal
from signal_contract.resources import resource_path
from signal_contract.signing import Signer

NOW = datetime(2030, 3, 2, 15, 0, tzinfo=UTC)
SIGNER = Signer.generate()


def a_signal(**changes: Any) -> Signal:
    """A buy with a stop and a target."""
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    prices = {"action": "buy", "stop_price": "4.75", "target_price": "6"}
    return Signal.model_validate_json(json.dumps({**document, **prices, **changes}))


def kept(signal: Signal) -> Kept:
    return Kept(entry_from(signal, SIGNER), NOW, 7)


def test_retraction_changes_event_revision_time_and_reason_only() -> None:
    before = a_signal()
    after = retracted(before, "  the news\twas withdrawn ", NOW)
    changed = {key for key, value in after.model_dump().items() if value != before.model_dump()[key]}
    assert changed == {"event", "revision", "published_at", "meta"}
    assert (after.event, after.revision, after.published_at) == (Event.RETRACT, 2, NOW)
    assert after.meta["reason"] == "the news was withdrawn"
    assert (after.signal_id, after.subject) == (before.signal_id, before.subject)


def test_nothing_follows_a_retraction() -> None:
    gone = retracted(a_signal(), "wrong", NOW)
    with pytest.raises(Conflict, match="retracted already"):
        retracted(gone, "again", NOW)
    with pytest.raises(Conflict, match="retracted already"):
        updated(gone, Change(stop="4.80"), NOW)


def test_update_follows_an_update() -> None:
    second = updated(a_signal(), Change(stop="4.80", reason="closer"), NOW)
    third = updated(second, Change(expires="2h"), NOW)
    assert (third.revision, str(third.stop_price), third.expires_at) == (3, "4.80", NOW + timedelta(hours=2))
    assert "reason" not in third.meta
    assert retracted(third, "x", NOW).revision == 4


@pytest.mark.parametrize(
    "change",
    [
        Change(),
        Change(reason="only a reason"),
        Change(confidence="1.01"),
        Change(confidence="-0.1"),
        Change(stop="NaN"),
        Change(stop="1e3"),
        Change(stop="0"),
        Change(stop="6"),
        Change(target="4"),
        Change(expires="soon"),
        Change(expires="0h"),
        Change(stop="4.8", reason="x" * 201),
    ],
)
def test_unusable_change_is_refused(change: Change) -> None:
    with pytest.raises(InputError):
        updated(a_signal(), change, NOW)


def test_stop_of_a_sell_lies_above_its_target() -> None:
    short = a_signal(action="sell", stop_price="6", target_price="4")
    assert updated(short, Change(stop="5.5"), NOW).revision == 2
    with pytest.raises(InputError, match="above its target"):
        updated(short, Change(stop="3"), NOW)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "bell\x07"])
def test_unusable_reason_is_refused(reason: str) -> None:
    with pytest.raises(InputError):
        retracted(a_signal(), reason, NOW)


@given(st.text(max_size=60), st.text(max_size=12), st.text(max_size=12), st.text(max_size=6))
def test_whatever_is_typed_becomes_a_valid_revision_or_a_clear_refusal(
    reason: str, confidence: str, stop: str, expires: str
) -> None:
    change = Change(confidence, stop, None, expires, reason)
    with contextlib.suppress(CatalystError):
        made = updated(a_signal(), change, NOW)
        assert decode(encode(made)) == made


def test_one_signal_is_named_by_a_unique_beginning() -> None:
    one, other = a_signal(), a_signal(signal_id="f" * 32)
    both = [kept(one), kept(other)]
    assert one_signal("f", [kept(other)]) == (kept(other),)
    with pytest.raises(NotFound):
        one_signal("abc", [])
    with pytest.raises(InputError, match="names 2 signals"):
        one_signal("", both)


@pytest.mark.parametrize("text", ["", "xyz", "f" * 33, "f*", "f' OR 1"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        prefix_checked(text)


def test_ids_and_durations_are_read() -> None:
    assert prefix_checked(" 3F9A ") == "3f9a"
    assert [duration_from(text).total_seconds() for text in ("90m", "2h", "7d", "1w")] == [5400, 7200, 604800, 604800]


def test_damaged_entry_is_never_revised() -> None:
    entry = entry_from(a_signal(), SIGNER)
    assert signal_of(entry) == a_signal()
    forged = replace(entry, payload=entry.payload.replace(b'"buy"', b'"sell"'))
    assert not is_intact(forged)
    with pytest.raises(StorageFailed, match="damaged"):
        signal_of(forged)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_any_flipped_bit_is_noticed(position: int, bit: int) -> None:
    entry = entry_from(a_signal(), SIGNER)
    payload = bytearray(entry.payload)
    payload[position % len(payload)] ^= 1 << bit
    assert is_intact(entry)
    assert not is_intact(replace(entry, payload=bytes(payload)))
