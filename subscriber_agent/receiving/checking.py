"""Checks the signatures of many messages on two cores: libsodium lets go of Python's lock while it computes.

What is found here saves asking again, and never more: a message that is not found genuine is judged as ever.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from signal_contract.delivery import Delivery
from signal_contract.signing import SIGNATURE_HEADER, Verifier
from subscriber_agent.receiving.keys import fits

# A hop to another thread takes as long as a few signatures: while the market moves, messages come one by one.
_MANY = 32


class Checking:
    """For one connection; `close()` ends its thread, which there is from the first long batch on."""

    def __init__(self, cores: int = os.cpu_count() or 1) -> None:
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="signatures") if cores > 1 else None

    def genuine(self, batch: Sequence[Delivery], verifier: Verifier) -> list[bool]:
        """For each message whether this key has signed it; empty when that is sooner found out one by one."""
        if self._helper is None or len(batch) < _MANY:
            return []
        half = len(batch) // 2
        others = self._helper.submit(_genuine, batch[half:], verifier)
        return _genuine(batch[:half], verifier) + others.result()

    def close(self) -> None:
        """End the thread."""
        if self._helper is not None:
            self._helper.shutdown()


def _genuine(batch: Sequence[Delivery], verifier: Verifier) -> list[bool]:
    return [fits(verifier, each.subject, each.data, each.headers.get(SIGNATURE_HEADER)) for each in batch]
