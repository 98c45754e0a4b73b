"""Loaded by Python at the start of a process under test (PYTHONPATH): a wall clock that steps, and a count of tasks.

CHAOS_CLOCK names a file that holds how many seconds `datetime.now()` and `time.time()` are off; it is read at every
look, so that a running process sees the step. Monotonic time goes on, as it does when a machine's clock is set.
CHAOS_TASKS names a file that receives the number of asyncio tasks on SIGUSR1.
"""

import asyncio
import datetime
import os
import signal
import time
from pathlib import Path

_TRUE_TIME, _TRUE_DATETIME = time.time, datetime.datetime


def _offset_s(file: Path) -> float:
    try:
        return float(file.read_text() or 0)
    except FileNotFoundError:
        return 0.0


def _step_clock(file: Path) -> None:
    class OfType(type):
        # What C code makes (pydantic, sqlite) is a plain datetime, and must pass for one.
        def __instancecheck__(cls, value):
            return isinstance(value, _TRUE_DATETIME)

    class Stepped(_TRUE_DATETIME, metaclass=OfType):
        @classmethod
        def now(cls, tz=None):
            return _TRUE_DATETIME.now(tz) + datetime.timedelta(seconds=_offset_s(file))

        @classmethod
        def fromisoformat(cls, text):
            return _TRUE_DATETIME.fromisoformat(text)

        @classmethod
        def fromtimestamp(cls, stamp, tz=None):
            return _TRUE_DATETIME.fromtimestamp(stamp, tz)

    Stepped.__name__ = Stepped.__qualname__ = "datetime"
    datetime.datetime = Stepped
    time.time = lambda: _TRUE_TIME() + _offset_s(file)


def _count_tasks(file: Path) -> None:
    def write(*_: object) -> None:
        # Whole at once: the reader never sees half a number.
        part = file.with_suffix(".part")
        part.write_text(str(len(asyncio.all_tasks())))
        part.replace(file)

    signal.signal(signal.SIGUSR1, write)


if "CHAOS_CLOCK" in os.environ:
    _step_clock(Path(os.environ["CHAOS_CLOCK"]))
if "CHAOS_TASKS" in os.environ:
    _count_tasks(Path(os.environ["CHAOS_TASKS"]))
