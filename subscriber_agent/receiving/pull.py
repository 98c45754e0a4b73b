"""When to ask the server for more: the pull loop's rules as pure functions over one frozen state.

One current pull at a time, each with its own reply token, asked again before it runs dry (NATS ADR-37). Only a status
for the *current* token counts: asking again on every stale status makes a storm of 409s that stalls for seconds.

    event                                   next pull
    ─────────────────────────────────────   ─────────────────────────────
    half a batch or less is still to come   now, and that half counts on: the server uses up the older pull first
    nearly as old as it may become          now: there is never a moment without one, see `occupancy`
    408 / 404 / batch completed, current    now (the pull ended as planned)
    any other status, current               after back-off, 0.1 s … 2 s
    any status, stale token                 unchanged
    heartbeat (100), current                watchdog: 2.5 heartbeats from now
    nothing heard for 2.5 heartbeats        now
    held (disconnected, or hands full)      never, until it is let go: then now
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

BATCH = 100
EXPIRES_S = 30.0
HEARTBEAT_S = 5.0
_RENEW_S = EXPIRES_S - 2.0
_WATCHDOG_S = 2.5 * HEARTBEAT_S
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Pull:
    """The current pull. Times are monotonic seconds; `ask_at` is when to ask (again), `renew_at` when it grows too old.

    `left` is how many messages may still come for what was asked.

    `heard_at` is when the durable last gave a sign of life; from the first question on. None: not asked.
    """

    token: int = 0
    left: int = 0
    failures: int = 0
    ask_at: float = 0.0
    renew_at: float = math.inf
    trouble: str = ""
    heard_at: float | None = None
    is_held: bool = False

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask."""
        return not self.is_held and self.due_at <= now

    @property
    def due_at(self) -> float:
        """When it is time to ask, unless it is held."""
        return min(self.ask_at, self.renew_at)


def asked(pull: Pull, now: float) -> Pull:
    """A new pull has been sent."""
    heard_at = now if pull.heard_at is None else pull.heard_at
    # A batch for each half would leave pull after pull behind: eight may wait, and then the server refuses the current.
    rest = max(pull.left, 0) if pull.left <= BATCH // 2 and now < pull.renew_at else 0
    token, ask_at, renew_at = pull.token + 1, now + _WATCHDOG_S, now + _RENEW_S
    return replace(pull, token=token, left=rest + BATCH, ask_at=ask_at, renew_at=renew_at, heard_at=heard_at)


def delivered(pull: Pull, now: float) -> Pull:
    """A message has arrived."""
    left = pull.left - 1
    ask_at = now if left <= BATCH // 2 else now + _WATCHDOG_S
    return Pull(pull.token, left, ask_at=ask_at, renew_at=pull.renew_at, heard_at=now, is_held=pull.is_held)


def told(pull: Pull, token: int, status: str, text: str, now: float) -> Pull:
    """A status without data has arrived for a pull."""
    if token != pull.token:
        return pull
    if status == "100":
        return replace(pull, failures=0, trouble="", ask_at=now + _WATCHDOG_S, heard_at=now)
    if status in ("404", "408") or text.lower().startswith("batch completed"):
        return replace(pull, left=0, failures=0, trouble="", ask_at=now, heard_at=now)
    failures = pull.failures + 1
    wait_s = min(_BACKOFF_FIRST_S * 2 ** min(failures - 1, 10), _BACKOFF_LAST_S)
    return replace(pull, left=0, failures=failures, trouble=f"{status} {text}".strip(), ask_at=now + wait_s)


def held(pull: Pull) -> Pull:
    """Ask no more for now; what the current pull still brings is welcome."""
    return replace(pull, is_held=True)


def let_go(pull: Pull, now: float) -> Pull:
    """Ask again, at once: the last pull may be long dead."""
    return replace(pull, is_held=False, ask_at=now)


def reconnected(pull: Pull, now: float) -> Pull:
    """The connection is new: silence counts from here on, and what went wrong before is past."""
    return replace(pull, left=0, failures=0, trouble="", heard_at=now)


@dataclass(frozen=True, slots=True)
class AckInfo:
    """What a reply subject says of its message: stream sequence, delivery count, messages still waiting.

    `consumer_seq` counts the durable's deliveries, redeliveries too: a gap in it went to somebody else, or was lost.
    """

    stream_seq: int
    delivered: int
    pending: int
    consumer_seq: int


# Asked four times about each message on its way into the journal.
@functools.lru_cache(1024)
def ack_info(reply: str) -> AckInfo | None:
    """Read `$JS.ACK.<stream>.<durable>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>` or its v2 form.

    None if neither. v2 has a domain and an account hash after `$JS.ACK` and may end in one more token.
    """
    parts = reply.split(".")
    if parts[:2] != ["$JS", "ACK"]:
        return None
    fields = parts[4:9] if len(parts) == 9 else parts[6:11]
    if len(fields) != 5 or not all(each.isascii() and each.isdigit() for each in fields):
        return None
    return AckInfo(
        stream_seq=int(fields[1]), delivered=int(fields[0]), pending=int(fields[4]), consumer_seq=int(fields[2])
    )
