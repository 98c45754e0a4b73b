"""When to ask the server for more: the pull loop's rules as pure functions over one frozen state.

One current pull at a time, each with its own reply token, asked again before it runs dry (NATS ADR-37). Only a status
for the *current* token counts: asking again on every stale status makes a storm of 409s that stalls for seconds.

    event                                   next pull
    ─────────────────────────────────────   ─────────────────────────────
    half of the batch has arrived           now
    408 / 404 / batch completed, current    now (the pull ended as planned)
    any other status, current               after back-off, 0.1 s … 2 s
    any status, stale token                 unchanged
    heartbeat (100), current                watchdog: 2.5 heartbeats from now
    nothing heard for 2.5 heartbeats        now
    reconnected                             now
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BATCH = 100
EXPIRES_S = 30.0
HEARTBEAT_S = 5.0
_WATCHDOG_S = 2.5 * HEARTBEAT_S
_BACKOFF_FIRST_S, _BACKOFF_LAST_S = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Pull:
    """The current pull. Times are monotonic seconds; `ask_at` is when to ask (again)."""

    token: int = 0
    left: int = 0
    failures: int = 0
    ask_at: float = 0.0
    trouble: str = ""


def asked(pull: Pull, now: float) -> Pull:
    """A new pull has been sent."""
    return replace(pull, token=pull.token + 1, left=BATCH, ask_at=now + _WATCHDOG_S)


def delivered(pull: Pull, now: float) -> Pull:
    """A message has arrived."""
    left = pull.left - 1
    ask_at = now if left <= BATCH // 2 else now + _WATCHDOG_S
    return replace(pull, left=left, failures=0, trouble="", ask_at=ask_at)


def told(pull: Pull, token: int, status: str, text: str, now: float) -> Pull:
    """A status without data has arrived for a pull."""
    if token != pull.token:
        return pull
    if status == "100":
        return replace(pull, failures=0, trouble="", ask_at=now + _WATCHDOG_S)
    if status in ("404", "408") or text.lower().startswith("batch completed"):
        return replace(pull, failures=0, trouble="", ask_at=now)
    failures = pull.failures + 1
    wait_s = min(_BACKOFF_FIRST_S * 2 ** min(failures - 1, 10), _BACKOFF_LAST_S)
    return replace(pull, failures=failures, trouble=f"{status} {text}".strip(), ask_at=now + wait_s)


def reconnected(pull: Pull, now: float) -> Pull:
    """The connection is new: the server may have forgotten the pull."""
    return replace(pull, ask_at=now)


@dataclass(frozen=True, slots=True)
class AckInfo:
    """What a reply subject says of its message: stream sequence, delivery count, messages still waiting."""

    stream_seq: int
    delivered: int
    pending: int


def ack_info(reply: str) -> AckInfo | None:
    """Read `$JS.ACK.<stream>.<durable>.<delivered>.<seq>.<seq>.<time>.<pending>` or its v2 form; None if neither.

    v2 has a domain and an account hash after `$JS.ACK` and may end in one more token.
    """
    parts = reply.split(".")
    if parts[:2] != ["$JS", "ACK"]:
        return None
    fields = parts[4:9] if len(parts) == 9 else parts[6:11]
    if len(fields) != 5 or not all(each.isascii() and each.isdigit() for each in fields):
        return None
    return AckInfo(stream_seq=int(fields[1]), delivered=int(fields[0]), pending=int(fields[4]))
