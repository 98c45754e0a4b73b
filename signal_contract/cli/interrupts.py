"""Ctrl-C and SIGTERM for commands that run long: the first stops in order, the second hurries, the third just ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType

from signal_contract.cli.answer import say
from signal_contract.cli.collecting import collect_as_usual
from signal_contract.errors import ExitCode


class Interrupts:
    """Listens from its creation on; to be made inside a running event loop of the main thread.

    `exit_code` is INTERRUPTED once a second signal has come, OK before.
    """

    def __init__(self, *, stop: Callable[[], None], hurry: Callable[[], None], message: str) -> None:
        self.exit_code = ExitCode.OK
        self._stop = stop
        self._hurry = hurry
        self._message = message
        self._count = 0
        self._loop = asyncio.get_running_loop()
        collect_as_usual()
        # Not loop.add_signal_handler: Windows has none.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 2:
            os._exit(int(ExitCode.INTERRUPTED))
        self._loop.call_soon_threadsafe(self._on_first if self._count == 1 else self._on_second)

    def _on_first(self) -> None:
        say(self._message)
        self._stop()

    def _on_second(self) -> None:
        self.exit_code = ExitCode.INTERRUPTED
        self._hurry()
