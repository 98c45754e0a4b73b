"""Why nats-server did not come up: its log text → one of our errors.

Pure; the words are those of nats-server 2.12 to 2.15.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from signal_contract.errors import (
    PortTaken,
    ServerConfigRefused,
    ServerNotPermitted,
    ServerStartFailed,
    ServerTooOld,
    StoreDamaged,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A pattern of the log, the error it means, and what is said before the matching line."""

    pattern: re.Pattern[str]
    error: type[ServerStartFailed]
    what: str


def _reason(pattern: str, error: type[ServerStartFailed], what: str) -> Reason:
    return Reason(re.compile(pattern, re.IGNORECASE), error, what)


# The first match counts, so the more exact stand first.
REASONS: tuple[Reason, ...] = (
    _reason(r"address already in use|only one usage of each socket address", PortTaken, "the port is taken"),
    _reason(
        r"listen.*(permission denied|forbidden by its access permissions)",
        ServerNotPermitted,
        "the system does not allow this address or port",
    ),
    _reason(r"unknown field \"?(sync_interval|max_control_line)", ServerTooOld, "nats-server is too old"),
    _reason(r"permission denied|access is denied|read-only file system", ServerNotPermitted, "a file is out of reach"),
    _reason(r"no space left on device|not enough space on the disk", StoreDamaged, "the disk is full"),
    _reason(
        r"can't start jetstream|could not create storage directory|storage directory is not|"
        r"jetstream.*(corrupt|bad checksum|not a directory)|error recovering",
        StoreDamaged,
        "JetStream's files cannot be used",
    ),
    _reason(
        r"\.conf:\d+:\d+|parse error|error parsing|invalid configuration|unknown field",
        ServerConfigRefused,
        "nats-server does not accept its configuration",
    ),
    _reason(
        r"cannot assign requested address|requested address is not valid|no such host|cannot resolve",
        ServerConfigRefused,
        "this machine does not have the address to listen on",
    ),
)

# Lines of a server that did start, but left something of its store behind.
_LOSSES = re.compile(
    r"(error recovering|error unmarshalling|error reading|checksums? do(es)? not match|bad checksum|corrupt|"
    r"missing (meta|consumer|stream)|failed to (restore|recover)|invalid (stream|consumer) .*file|"
    r"error adding stream|failed to decode|stream state.*(outdated|truncat|mismatch)).*",
    re.IGNORECASE,
)


def _first_line(log: str, pattern: re.Pattern[str]) -> str | None:
    return next((line.strip() for line in log.splitlines() if pattern.search(line)), None)


def failure_from_log(log: str, *, log_path: str) -> ServerStartFailed:
    """The error that a dead server's words (stderr and log) mean; a plain ServerStartFailed when they are unknown."""
    for reason in REASONS:
        line = _first_line(log, reason.pattern)
        if line is not None:
            return reason.error(f"nats-server did not start: {reason.what} ({_without_prefix(line)})")
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    return ServerStartFailed(
        f"nats-server did not start: {_without_prefix(last)}", hint=f"The whole log is in {log_path}."
    )


def losses_from_log(log: str) -> tuple[str, ...]:
    """What a started server says it could not recover from its store: warnings and errors about it, in order."""
    lines = [line for line in log.splitlines() if re.search(r"\[(WRN|ERR|FTL)\]", line)]
    return tuple(_without_prefix(line) for line in lines if _LOSSES.search(line))


def _without_prefix(line: str) -> str:
    # "[7021] 2026/11/22 17:37:04.106135 [ERR] text" → "text"
    return re.sub(r"^\[\d+\] \S+ \S+ \[\w+\] ", "", line.strip())[:300]
