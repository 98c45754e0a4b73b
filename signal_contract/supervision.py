"""What a supervisor does with each exit status: whether a restart can mend it. Units and `service keep` follow it.

DONE      ended because somebody asked it to
RESTART   time, the other side or a fresh start mends it
PERSON    nothing changes until somebody has looked: a restart would only knock at the server's door
"""

from __future__ import annotations

from enum import StrEnum

from signal_contract.errors import ExitCode


class Cure(StrEnum):
    DONE = "done"
    RESTART = "restart"
    PERSON = "person"


CURE: dict[ExitCode, Cure] = {
    ExitCode.OK: Cure.DONE,
    ExitCode.UNEXPECTED: Cure.RESTART,
    ExitCode.USAGE: Cure.PERSON,
    ExitCode.PARTIAL: Cure.PERSON,
    ExitCode.CONFIG: Cure.PERSON,
    ExitCode.INPUT: Cure.PERSON,
    ExitCode.NOT_FOUND: Cure.PERSON,
    ExitCode.CONFLICT: Cure.PERSON,
    ExitCode.UNREACHABLE: Cure.RESTART,
    # Where the friend's hours are limited, the server says "expired" at their end and "denied" until they begin again.
    ExitCode.DENIED: Cure.RESTART,
    ExitCode.EXPIRED: Cure.RESTART,
    ExitCode.REVOKED: Cure.PERSON,
    ExitCode.CREDS: Cure.PERSON,
    # The operator mends these two; the next start finds it mended.
    ExitCode.STREAM_MISSING: Cure.RESTART,
    ExitCode.DURABLE_MISSING: Cure.RESTART,
    ExitCode.ALREADY_RUNNING: Cure.PERSON,
    ExitCode.NOT_LIVE: Cure.RESTART,
    ExitCode.ENGINE: Cure.PERSON,
    ExitCode.SERVER_START: Cure.RESTART,
    ExitCode.STORAGE: Cure.RESTART,
    ExitCode.INTERRUPTED: Cure.PERSON,
}


def cure_for(status: int) -> Cure:
    """What to do after a process ended with `status`; killed by a signal (negative) or unheard of: start it again."""
    return CURE.get(ExitCode(status), Cure.RESTART) if status in set(ExitCode) else Cure.RESTART


def needs_person() -> tuple[int, ...]:
    """The exit statuses after which nothing is to be started again, in order."""
    return tuple(sorted(int(code) for code, cure in CURE.items() if cure is Cure.PERSON))
