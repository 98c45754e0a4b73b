"""How often nats-server collects its garbage: Go's own variables, for the environment it is started with.

A collection stops a signal on its way to a thousand friends for longer than the signal itself takes, so there are fewer
than Go's default makes, as long as there is memory (https://go.dev/doc/gc-guide; measured by tests/bench/fan_out.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

HOW_OFTEN, SOFT_LIMIT = "GOGC", "GOMEMLIMIT"
# What is in use may grow to five times its size before it is collected; Go's 100 makes it twice.
_GROWTH_PERCENT = 400
# Beyond this part of the machine's memory it is collected as often as it takes. With more than a half in use, Go's own
# default would not fit into the machine either.
_SHARE = 2
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def garbage_variables(environment: Mapping[str, str], memory_bytes: int | None) -> dict[str, str]:
    """The variables to add. None where the operator has set one of them, or the machine's memory is unknown."""
    if memory_bytes is None or environment.get(HOW_OFTEN) or environment.get(SOFT_LIMIT):
        return {}
    return {HOW_OFTEN: str(_GROWTH_PERCENT), SOFT_LIMIT: str(memory_bytes // _SHARE)}


def machine_memory_bytes(container_limit: Path = _CONTAINER_LIMIT) -> int | None:
    """The machine's memory, or the container's where that is less; None where the system does not tell."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    try:
        return min(whole, int(container_limit.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or "max"
        return whole if whole > 0 else None
