"""`subscriber-agent` as a real process, for the acceptance tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = str(Path(sys.executable).with_name("subscriber-agent" + (".exe" if os.name == "nt" else "")))


def waited(condition: Callable[[], Any], *, what: str, timeout_s: float = 15.0) -> Any:
    """The condition's first true value; fails by name."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)
    return value


def agent(*arguments: object, timeout_s: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `subscriber-agent …` to its end."""
    return subprocess.run(
        [_SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def answer(*arguments: object, status: int = 0, **environment: str) -> dict[str, Any]:
    """The envelope of `subscriber-agent … --json` (the last line of a stream), which must end with `status`."""
    done = agent(*arguments, "--json", **environment)
    assert done.returncode == status, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@dataclass
class Running:
    """`subscriber-agent run --json` in the background; its lines are in a file."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @classmethod
    def start(cls, config: Path, folder: Path, *more: str) -> Running:
        number = len(list(folder.glob("run-*.jsonl")))
        out, err = folder / f"run-{number}.jsonl", folder / f"run-{number}.stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            command = [_SCRIPT, "run", "--json", "--config", str(config), *more]
            return cls(subprocess.Popen(command, stdout=stdout, stderr=stderr), out, err)

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """What it has reported of this kind so far."""
        whole = [each for each in self.out.read_text().splitlines(keepends=True) if each.endswith("\n")]
        return [line for line in map(json.loads, whole) if line.get("type") == kind]

    def wait_for(self, kind: str, count: int = 1, timeout_s: float = 15.0) -> list[dict[str, Any]]:
        """Wait until it has reported so many lines of a kind."""

        def enough() -> list[dict[str, Any]] | None:
            found = self.lines(kind)
            if len(found) < count:
                assert self.process.poll() is None, f"it ended: {self.out.read_text()} {self.err.read_text()}"
                return None
            return found

        return list(waited(enough, what=f"{count} × {kind}", timeout_s=timeout_s))

    def ended(self, timeout_s: float = 15.0) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM and wait; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)
