"""Processes under test: started with a point to die at, watched through the lines that they print."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from processes import command_path

from signal_contract.edges import STOP_VARIABLE

# Not on Windows, where these tests are skipped but must import.
SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)
KILLED = -SIGKILL
Line = dict[str, Any]


def waited(condition: Callable[[], Any], *, what: str, timeout_s: float = 30.0, every_s: float = 0.02) -> Any:
    """The condition's first true value; fails by name."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(every_s)
    return value


class Running:
    """A command in the background; what it says is in files, read on as it comes."""

    def __init__(self, folder: Path, *words: object, stop_at: str = "", **environment: str) -> None:
        name, *arguments = map(str, words)
        number = len(list(folder.glob(f"{name}-*.out")))
        self.words = (name, *arguments)
        self.stop_at = stop_at
        self.out, self.err = folder / f"{name}-{number}.out", folder / f"{name}-{number}.err"
        env = {key: value for key, value in os.environ.items() if key != STOP_VARIABLE} | environment
        if stop_at:
            env[STOP_VARIABLE] = stop_at
        with self.out.open("wb") as stdout, self.err.open("wb") as stderr:
            self.process = subprocess.Popen(
                [command_path(name), *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=env
            )
        self._read_up_to = 0
        self._lines: list[Line] = []

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        """The end of what it printed, for a message."""
        return f"{self.words} {self.stop_at}: {self.out.read_text()[-600:]} {self.err.read_text()[-1500:]}"

    def lines(self, kind: str) -> list[Line]:
        """The JSON lines of one type so far; half a line is left for later."""
        with self.out.open("rb") as out:
            out.seek(self._read_up_to)
            for text in out:
                if not text.endswith(b"\n"):
                    break
                self._read_up_to += len(text)
                self._lines.append(json.loads(text))
        return [line for line in self._lines if line.get("type") == kind]

    def wait_for(self, kind: str, count: int = 1, timeout_s: float = 45.0) -> list[Line]:
        """Wait for so many lines of a type; fails when it ends before."""

        def enough() -> list[Line] | None:
            is_alive = self.is_alive
            found = self.lines(kind)
            assert is_alive or len(found) >= count, f"it ended: {self.said}"
            return found if len(found) >= count else None

        return list(waited(enough, what=f"{count} × {kind}: {self.words}", timeout_s=timeout_s))

    def ended(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; the exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {timeout_s:g} s: {self.said}") from None

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM and wait; the exit status."""
        if self.is_alive:
            self.process.terminate()
        return self.ended(timeout_s)

    def kill(self) -> int:
        """kill -9 and wait."""
        if self.is_alive:
            self.process.kill()
        return self.ended()


class Crew(contextlib.AbstractContextManager["Crew"]):
    """Starts processes in one folder, and ends with its block whatever still runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Running] = []

    def __call__(self, *words: object, stop_at: str = "", **environment: str) -> Running:
        self._started.append(Running(self.folder, *words, stop_at=stop_at, **environment))
        return self._started[-1]

    def agent(self, config: Path, *more: object, stop_at: str = "", **environment: str) -> Running:
        """`subscriber-agent run --json`."""
        words = ("subscriber-agent", "run", "--json", "--config", config, *more)
        return self(*words, stop_at=stop_at, **environment)

    def drained(self, config: Path, timeout_s: float = 90.0) -> Running:
        """`subscriber-agent run --until-drained`, which must end well."""
        agent = self.agent(config, "--until-drained")
        status = agent.ended(timeout_s)
        assert status == 0, agent.said
        return agent

    def __exit__(self, *_: object) -> None:
        for each in self._started:
            each.kill()


@contextlib.contextmanager
def crew_in(folder: Path) -> Iterator[Crew]:
    """A crew whose output goes to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with Crew(folder) as crew:
        yield crew
