"""How often long work says how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

_EVERY_S = 2.0


class Pace:
    """Passes a line on when the last one is 2 s ago; the first one after 2 s."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next_at = time.monotonic() + _EVERY_S

    def tell(self, line: str) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + _EVERY_S
            self._say(line)
