"""Where a durable begins again: behind what the friend has, and never beyond the stream."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.history import History, history_from, in_words
from signal_admin.registry import User
from signal_admin.repair import Source, placed
from signal_contract.errors import InputError

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
ALICE = User("alice", "UALICE", ("signals.fda.*",), NOW, start_sequence=40)


@given(
    position=st.one_of(st.none(), st.integers(0, 1 << 63)),
    start=st.one_of(st.none(), st.integers(1, 1 << 40)),
    first=st.integers(0, 1000),
    size=st.integers(0, 1000),
)
def test_a_start_is_never_beyond_the_stream_and_skips_nothing_that_is_there(position, start, first, size):
    user = User("alice", "UALICE", ("signals.fda.*",), NOW, start_sequence=start)
    last = first + size
    where = placed(position, Source.REPORT, user, first, last)
    assert 1 <= where.start <= last + 1
    if position is not None:
        assert where.start <= position + 1


def test_it_begins_behind_the_position():
    assert placed(99, Source.TOLD, ALICE, 1, 200) == placed(99, Source.TOLD, ALICE, 100, 200)
    assert placed(99, Source.TOLD, ALICE, 1, 200).start == 100


def test_a_position_beyond_the_end_counts_as_the_end_and_is_told():
    where = placed(1 << 62, Source.REPORT, ALICE, 1, 200)
    assert where.start == 201
    assert "beyond the stream's end at 200" in where.notes[0]


def test_without_a_position_everything_since_he_began_comes_again_and_is_told():
    where = placed(None, Source.REPORT, ALICE, 1, 200)
    assert (where.start, where.source) == (40, Source.REGISTRY)
    assert "delivered again" in where.notes[0]


def test_what_is_no_longer_in_the_stream_is_told():
    assert placed(9, Source.REPORT, ALICE, 50, 200).notes == ("sequences 10 to 49 are no longer in the stream",)


def test_a_history_is_a_time_back_or_everything_or_nothing():
    assert history_from("now", NOW) is None
    assert history_from("all", NOW) == History(None)
    assert history_from("7d", NOW) == History(datetime(2026, 2, 23, 14, 30, tzinfo=UTC))
    for wrong in ("", "7", "yesterday", "0d", "-1d"):
        with pytest.raises(InputError):
            history_from(wrong, NOW)


def test_a_history_is_told_in_words():
    assert in_words(None) == ""
    assert "since 2026-02-23 14:30 UTC" in in_words(history_from("7d", NOW))
    assert "the stream still holds" in in_words(History())
