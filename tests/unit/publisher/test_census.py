"""Counting what went out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from publisher.census import bar, census_of
from signal_contract.codec import decode
from signal_contract.model import Signal
from signal_contract.resources import resource_path

SAMPLE = decode(resource_path("config/samples/signal.v1.json").read_bytes().strip())


def like(**changes: object) -> Signal:
    return decode(SAMPLE.model_copy(update=changes).model_dump_json().encode())


def test_nothing_is_counted_as_nothing():
    census = census_of([])
    assert (census.total, sum(census.by_hour), census.by_catalyst) == (0, 0, ())


@given(st.lists(st.decimals(0, 1, places=2), max_size=20))
def test_every_signal_is_in_one_hour_and_one_band(confidences: list[object]):
    census = census_of([like(confidence=each) for each in confidences])
    assert census.total == sum(census.by_hour) == sum(count for _, count in census.by_confidence) == len(confidences)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_bar_shows_every_count_and_is_never_too_long(count: int, longest: int):
    drawn = bar(min(count, longest), longest)
    assert len(drawn) <= 40
    assert bool(drawn) == (min(count, longest) > 0)
