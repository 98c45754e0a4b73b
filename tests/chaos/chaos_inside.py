"""What a process under test is started with to have its clock stepped or its tasks counted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from chaos_process import Running, waited

_INSIDE = Path(__file__).parent / "inside"


class Clock:
    """A wall clock that a process is started with, and that is set while it runs."""

    def __init__(self, folder: Path, off_s: float = 0) -> None:
        self._file = folder / "clock"
        self.set(off_s)

    @property
    def environment(self) -> dict[str, str]:
        return {**_path(), "CHAOS_CLOCK": str(self._file)}

    def set(self, off_s: float) -> None:
        """From now on the process's clock is `off_s` seconds ahead of the true time."""
        part = self._file.with_suffix(".part")
        part.write_text(str(off_s))
        part.replace(self._file)


class TaskCount:
    """Asks a process for the number of its asyncio tasks."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "tasks"

    @property
    def environment(self) -> dict[str, str]:
        return {**_path(), "CHAOS_TASKS": str(self._file)}

    def of(self, process: Running) -> int:
        self._file.unlink(missing_ok=True)
        process.process.send_signal(signal.SIGUSR1)
        waited(self._file.exists, what="the number of tasks", timeout_s=10)
        return int(self._file.read_text())


def _path() -> dict[str, str]:
    # Before what is there already: a sitecustomize of the system would hide ours.
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_INSIDE), os.environ.get("PYTHONPATH"))))}
