"""Where in the stream a new friend begins who is to have some of what was before him: found by time, by bisection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from signal_admin.audit_reading import since_from
from signal_admin.stored import message_at
from signal_contract.link import Link
from signal_contract.topology import API_PREFIX, STREAM

EVERYTHING = "all"
NOW = "now"


@dataclass(frozen=True, slots=True)
class History:
    """What of the stream a new friend gets besides what comes: all that was stored since `since` (None: all there is).

    What is stale he refuses by himself.
    """

    since: datetime | None = None


def history_from(text: str, now: datetime) -> History | None:
    """`7d`, `12h` or `all`; None for `now`. Raises InputError."""
    if text == NOW:
        return None
    return History() if text == EVERYTHING else History(since_from(text, now))


def in_words(history: History | None) -> str:
    """What a history means, as a sentence for the friend; empty without one."""
    if history is None:
        return ""
    since = f"since {history.since:%Y-%m-%d %H:%M} UTC" if history.since else "that the stream still holds"
    return f"What was published {since} comes first; what is out of date is shown and not traded."


async def start_sequence(link: Link, history: History) -> int:
    """The first sequence of a history, at least 1; one behind the last when nothing is that young.

    `link` is an admin's. About log2(messages) requests; raises a LinkError.
    """
    state = (await link.api(f"{API_PREFIX}.STREAM.INFO.{STREAM}"))["state"]
    first, behind = max(1, int(state["first_seq"])), int(state["last_seq"]) + 1
    if history.since is None:
        return min(first, behind)
    # Everything below `first` is too old, everything from `behind` on is young enough.
    while first < behind:
        middle = (first + behind) // 2
        found = await message_at(link, STREAM, middle)
        if found is None or found.at < history.since:  # gone meanwhile: the oldest go first
            first = middle + 1
        else:
            behind = middle
    return first
