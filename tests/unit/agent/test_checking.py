"""Signatures of a long batch, looked at beforehand: the same messages count as when each is judged by itself."""

import dataclasses
from contextlib import closing

import pytest
from agent_samples import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from test_keys import ONE, THREE, TWO, delivery, key_message, signal_message

from subscriber_agent.receiving.arrival import batch_sorted
from subscriber_agent.receiving.checking import Checking
from subscriber_agent.receiving.keys import KeyChain

PINNED = KeyChain.pinned(ONE.public_key)
CHECKING = Checking(cores=2)


def odd(seq):
    """What is neither signed nor a signal."""
    return delivery(seq, "signals.fda.ABCD", b"{}", None)


def sort(batch, genuine=()):
    return batch_sorted(batch, PINNED, NOW, user="alice", is_doubtful=False, genuine=genuine)


@pytest.mark.parametrize("count", [32, 33, 99])
def test_each_message_of_a_long_batch_is_judged_in_its_place(count):
    makers = (lambda seq: signal_message(seq, ONE), lambda seq: signal_message(seq, TWO), odd)
    batch = [makers[seq % 3](seq) for seq in range(count)]
    assert CHECKING.genuine(batch, PINNED.current) == [seq % 3 == 0 for seq in range(count)]
    stolen = [dataclasses.replace(each, data=each.data + b" ") for each in batch]
    assert CHECKING.genuine(stolen, PINNED.current) == [False] * count


def test_a_short_batch_and_one_on_a_single_core_are_left_to_be_judged_one_by_one():
    batch = [signal_message(seq, ONE) for seq in range(31)]
    assert CHECKING.genuine(batch, PINNED.current) == []
    with closing(Checking(cores=1)) as alone:
        assert alone.genuine(batch * 2, PINNED.current) == []


kinds = st.sampled_from(["one"] * 6 + ["two", "three", "odd", "switch", "switch on"])


def _made(kind, seq):
    if kind == "odd":
        return odd(seq)
    if kind.startswith("switch"):
        return key_message(seq, *((ONE, TWO) if kind == "switch" else (TWO, THREE)))
    return signal_message(seq, {"one": ONE, "two": TWO, "three": THREE}[kind])


@settings(max_examples=60, deadline=None)
@given(st.lists(kinds, min_size=32, max_size=50))
def test_the_batch_is_sorted_as_if_nobody_had_looked_beforehand(found):
    """With keys that are announced in the middle of it, and messages of old, new and foreign keys around."""
    batch = [_made(kind, seq) for seq, kind in enumerate(found, 1)]
    genuine = CHECKING.genuine(batch, PINNED.current)
    assert len(genuine) == len(batch)
    assert sort(batch, genuine) == sort(batch)


def test_what_was_found_beforehand_counts_only_until_another_key_is_announced():
    """Behind the announcement the old key counts no more, though the message was found to be signed by it."""
    batch = [signal_message(1, ONE), key_message(2, ONE, TWO), signal_message(3, ONE), signal_message(4, TWO)]
    codes = [arrival.code for _, arrival in sort(batch, [True, True, True, False]).pairs]
    assert codes == [None, None, "SIGNATURE_INVALID", None]
