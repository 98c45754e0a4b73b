"""What a batch brings at once: a signal that may be decided with its arrival, and what counts as missed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from subscriber_agent.journal import Arrival, Stored
from subscriber_agent.receiving.arrival import Sorted
from subscriber_agent.receiving.catch_up import CONTROL, PARKED
from subscriber_agent.receiving.rounds import Kept


def live_signal(found: Sorted) -> Stored | None:
    """The first signal of a batch, when nothing else in the batch has a say in it."""
    arrivals = [arrival for _, arrival in found.pairs]
    signals = sorted((each for each in arrivals if each.signal is not None), key=lambda each: each.stream_seq)
    # A word of the operator, or a new key of the publisher: with that his flags may be others.
    if not signals or any(each.signal is None and each.code is None for each in arrivals):
        return None
    ids = Counter(each.signal.signal_id for each in signals if each.signal is not None)
    first = signals[0]
    if first.signal is None or ids[first.signal.signal_id] > 1:
        return None
    return Stored(first.stream_seq, first.subject, first.payload, first.received_at, first.signal)


def set_aside_counts(kept: Kept) -> Counter[str]:
    """How many words of the operator came, and how many messages were parked."""
    parked = {each.stream_seq for each in kept.set_aside}
    return Counter({CONTROL: _controls(kept.new, parked), PARKED: len(parked)})


def _controls(new: Sequence[Arrival], parked: set[int]) -> int:
    return sum(each.signal is None and each.stream_seq not in parked for each in new)
