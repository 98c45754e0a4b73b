"""The agent as a process at a keyboard, for the gate to real money; the rest is `engine_samples` of the unit tests."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "unit/agent"))

from engine_samples import SCRIPT, environment


class Typist:
    """A process whose stdin is a terminal; `typed` waits until it asks."""

    def __init__(self, process: subprocess.Popen[bytes], keyboard: int) -> None:
        self.process = process
        self._keyboard = keyboard
        self.said = ""

    def typed(self, text: str, *, after: str, timeout_s: float = 20.0) -> None:
        """Type a line once the process has said something."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + timeout_s
        while after not in self.said:
            assert time.monotonic() < deadline, self.said
            if select.select([self.process.stderr], [], [], 0.2)[0]:
                read = os.read(self.process.stderr.fileno(), 65536)
                assert read, f"it ended: {self.said}"
                self.said += read.decode()
        os.write(self._keyboard, f"{text}\n".encode())

    def ended(self, timeout_s: float = 30.0) -> int:
        """Its exit status; `said` is then all that it said on stderr."""
        assert self.process.stderr is not None
        self.said += self.process.stderr.read().decode()
        return self.process.wait(timeout_s)


@contextmanager
def at_a_keyboard(folder: Path, *words: object, **more: str) -> Iterator[Typist]:
    """`subscriber-agent …` with a terminal for stdin."""
    keyboard, stdin = pty.openpty()
    command = [SCRIPT, *map(str, words), "--config", str(folder / "agent.yaml")]
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(folder, **more)
    )
    os.close(stdin)
    try:
        yield Typist(process, keyboard)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(10)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        os.close(keyboard)
