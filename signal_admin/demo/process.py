"""One of our commands as a process that reports in JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import orjson

from signal_contract.errors import DemoFailed

COMMANDS = {"catalyst": "signal_admin", "subscriber-agent": "subscriber_agent"}
_STOP_S = 10.0


class Command:
    """A running `catalyst …` or `subscriber-agent …`. Every JSON line of its stdout goes to `on_line`."""

    def __init__(self, words: tuple[str, ...], child: asyncio.subprocess.Process, folder: Path) -> None:
        self.words = words
        self._child = child
        self._stderr = folder / f"{'-'.join(words[:2]).replace('/', '_')}.{child.pid}.stderr"
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, *words: str, folder: Path, on_line: Callable[[dict[str, Any]], None]) -> Self:
        """Start it; `words` as a person would type them."""
        # -P keeps the current folder off the import path, as it is for the installed scripts.
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", COMMANDS[words[0]], *words[1:]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            limit=1 << 20,
            start_new_session=os.name == "posix",
        )
        command = cls(words, child, folder)
        command._tasks = [
            asyncio.create_task(command._read(on_line), name=f"{words[0]} stdout"),
            asyncio.create_task(command._keep_stderr(), name=f"{words[0]} stderr"),
        ]
        return command

    async def _read(self, on_line: Callable[[dict[str, Any]], None]) -> None:
        stdout = self._child.stdout
        while stdout is not None and (line := await stdout.readline()):
            with contextlib.suppress(orjson.JSONDecodeError):
                on_line(orjson.loads(line))

    async def _keep_stderr(self) -> None:
        stderr = self._child.stderr
        if stderr is not None:
            self._stderr.write_bytes(await stderr.read())

    async def write(self, line: bytes) -> None:
        """One line to its stdin."""
        if self._child.stdin is not None:
            self._child.stdin.write(line)
            await self._child.stdin.drain()

    async def ended(self, timeout_s: float) -> int:
        """Close its stdin, wait for its end, and return its exit status."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        status = await asyncio.wait_for(self._child.wait(), timeout_s)
        await asyncio.gather(*self._tasks)
        return status

    @property
    def has_ended(self) -> bool:
        return self._child.returncode is not None

    def complaint(self) -> str:
        """The last lines it wrote to stderr; known once it has ended."""
        with contextlib.suppress(OSError):
            return "\n".join(self._stderr.read_text(errors="replace").splitlines()[-8:])
        return ""

    async def stop(self) -> int:
        """Ask it to stop (as Ctrl-C or a service manager would), and return its exit status."""
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._child.terminate()
            else:
                self._child.send_signal(signal.SIGTERM)
        try:
            return await self.ended(_STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            return await self.ended(_STOP_S)


async def answer_of(*words: str, folder: Path, timeout_s: float = 20.0) -> dict[str, Any]:
    """Run a command with --json to its end and return the envelope's data; raises DemoFailed."""
    answers: list[dict[str, Any]] = []
    command = await Command.start(*words, "--json", folder=folder, on_line=answers.append)
    status = await command.ended(timeout_s)
    if status or not answers:
        errors = answers[-1].get("errors") if answers else None
        raise DemoFailed(f"`{' '.join(words)}` ended with {status}: {errors or command.complaint()}")
    return dict(answers[-1].get("data") or {})
