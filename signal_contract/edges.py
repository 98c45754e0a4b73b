"""Named points between two steps at which a test may kill the process: `CATALYST_STOP_AT=journal.recorded:3`.

They are in the shipped code, so that what is killed is what is shipped. Without the variable a point costs one look
at a constant.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

STOP_VARIABLE = "CATALYST_STOP_AT"
_WHERE, _, _PASS = os.environ.get(STOP_VARIABLE, "").partition(":")
_AT_PASS = int(_PASS) if _PASS.isdigit() else 1
_passes: Counter[str] = Counter()


def reached(edge: str) -> None:
    """Say that the point `edge` is reached; the process ends here, as if by kill -9, when a test asked for it."""
    if _WHERE and edge == _WHERE:
        _passes[edge] += 1
        if _passes[edge] == _AT_PASS:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
