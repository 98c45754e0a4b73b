"""Flags: what they take away from whom, and that no change of them is called harmless that is not."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.errors import InputError, NameInvalid, SignalInvalid
from signal_contract.flags import (
    Flag,
    FlagSet,
    Held,
    bucket,
    flag_checked,
    flags_bytes,
    held,
    is_in_share,
    loosens,
    read_flags,
)

AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
FRIENDS = [f"friend{number}" for number in range(400)]
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{1,31}", fullmatch=True)
ENTRIES = st.builds(lambda n: ("entries_percent", Flag(value=str(n))), st.integers(0, 100))
FLOORS = st.builds(
    lambda value, percent: ("mode_floor", Flag(value=value, percent=percent)),
    st.sampled_from(["notify", "approve", "paper", "of_tomorrow"]),
    st.integers(0, 100),
)


@pytest.mark.parametrize(
    ("name", "user", "expected"),
    [
        ("entries_percent", "alice", 5098),
        ("entries_percent", "bob", 4903),
        ("mode_floor", "alice", 1584),
        ("mode_floor", "bob", 7775),
    ],
)
def test_a_friends_bucket_is_the_same_for_ever(name, user, expected):
    assert bucket(name, user) == expected


def test_a_share_is_about_as_large_as_it_says():
    for percent in (1, 10, 50, 90):
        share = sum(is_in_share("mode_floor", name, percent) for name in FRIENDS) / len(FRIENDS) * 100
        assert abs(share - percent) < 6


def test_nobody_is_in_a_share_of_nothing_and_everybody_in_all():
    assert not any(is_in_share("mode_floor", name, 0) for name in FRIENDS)
    assert all(is_in_share("mode_floor", name, 100) for name in FRIENDS)


@given(NAMES, st.integers(0, 100), st.integers(0, 100))
def test_who_is_in_a_small_share_is_in_every_larger_one(user, one, other):
    small, large = sorted((one, other))
    assert not is_in_share("x", user, small) or is_in_share("x", user, large)


def test_a_name_outside_the_grammar_has_no_bucket():
    with pytest.raises(NameInvalid):
        bucket("mode_floor", "*")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, Held()),
        ({"entries_percent": Flag(value="100")}, Held()),
        ({"entries_percent": Flag(value="0")}, Held(entries=True, reasons=("entries_percent 0",))),
        ({"mode_floor": Flag(value="notify")}, Held(entries=True, reasons=("mode_floor notify",))),
        ({"mode_floor": Flag(value="paper")}, Held(real_money=True, reasons=("mode_floor paper",))),
        ({"mode_floor": Flag(value="approve")}, Held(asks=True, reasons=("mode_floor approve",))),
        ({"mode_floor": Flag(value="notify", percent=0)}, Held()),
        ({"a_flag_of_tomorrow": Flag(value="anything")}, Held()),
    ],
)
def test_what_a_flag_takes_away(flags, expected):
    assert held(flags, "alice") == expected


@pytest.mark.parametrize("flag", [("entries_percent", "101"), ("entries_percent", "half"), ("mode_floor", "frozen")])
def test_an_unknown_value_of_a_known_flag_means_no_entries(flag):
    name, value = flag
    assert held({name: Flag(value=value)}, "alice").entries


def test_real_money_is_held_back_on_real_engines_only():
    taken = held({"mode_floor": Flag(value="paper")}, "alice")
    assert (taken.stops_entries(is_paper=True), taken.stops_entries(is_paper=False)) == (False, True)


def takes_less(after: Held, before: Held) -> bool:
    """Whether a friend may do something after a change that he might not before."""
    may_open = any(before.stops_entries(is_paper=p) and not after.stops_entries(is_paper=p) for p in (True, False))
    shut = after.stops_entries(is_paper=True) and after.stops_entries(is_paper=False)
    return may_open or (before.asks and not after.asks and not shut)


@given(st.one_of(st.tuples(ENTRIES, ENTRIES), st.tuples(FLOORS, FLOORS)), NAMES)
def test_a_change_that_lets_somebody_do_more_is_called_loosening(pair, user):
    (name, before), (_, after) = pair
    if takes_less(held({name: after}, user), held({name: before}, user)):
        assert loosens(name, before, after)


@given(st.one_of(ENTRIES, FLOORS), NAMES)
def test_taking_a_flag_away_loosens_and_the_first_one_never_does(flag, user):
    name, value = flag
    assert not loosens(name, None, value)
    if held({name: value}, user).is_anything:
        assert loosens(name, value, None)


@pytest.mark.parametrize(
    ("name", "value", "percent"),
    [
        ("entries_percent", "101", 100),
        ("entries_percent", "-1", 100),
        ("entries_percent", "5.5", 100),
        ("entries_percent", "50", 20),
        ("mode_floor", "live", 100),
        ("mode_floor", "approve", 101),
        ("anything", "1", 100),
    ],
)
def test_an_operator_cannot_set_what_this_version_does_not_know(name, value, percent):
    with pytest.raises(InputError):
        flag_checked(name, value, percent)


def test_a_document_comes_back_as_it_went():
    flags = FlagSet(issued_at=AT, flags={"mode_floor": Flag(value="paper", percent=20)})
    assert read_flags(flags_bytes(flags)) == flags
    assert flags_bytes(flags) == (
        b'{"schema_version":1,"issued_at":"2026-01-02T14:30:00Z","flags":{"mode_floor":{"value":"paper","percent":20}}}'
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"schema_version":2,"issued_at":"2026-01-02T14:30:00Z","flags":{}}',
        b'{"schema_version":1,"issued_at":"2026-01-02T14:30:00","flags":{}}',
        b'{"schema_version":1,"issued_at":"2026-01-02T14:30:00Z","flags":{"A b":{"value":"x","percent":1}}}',
        b'{"schema_version":1,"issued_at":"2026-01-02T14:30:00Z","flags":{"ab":{"value":"x","percent":101}}}',
        b'{"schema_version":1,"issued_at":"2026-01-02T14:30:00Z","flags":{},"more":1}',
        b" " * 9000,
    ],
    ids=["empty", "list", "newer", "naive", "name", "percent", "more", "long"],
)
def test_what_is_no_document_of_flags_is_refused(payload):
    with pytest.raises(SignalInvalid):
        read_flags(payload)
