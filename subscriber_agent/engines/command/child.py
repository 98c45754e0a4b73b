"""One run of the friend's program: its lines in and out, its answers by their number, its end.

    spawn ──▶ talking ──▶ gone (ended, closed its pipes, too much nonsense, given up) ──▶ end: nothing of it is left

`gone` fails all that waits for an answer, at once. Whether and when it is started again is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
from collections.abc import Callable
from typing import Any, Self, cast

import orjson

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines import wire
from subscriber_agent.engines.command.lines import MAX_LINE, Chatter, Flood, Lines, printable
from subscriber_agent.engines.command.program import Program
from subscriber_agent.engines.engine import EngineEvent

_log = logging.getLogger("catalyst.engine")

# A program that prints a traceback or a library's greeting is forgiven; one that does nothing else is not.
MAX_GARBAGE = 20
# How long the rest of its output may take to arrive once it has ended: a grandchild may hold the pipe open.
_LAST_WORDS_S = 0.5
_TERM_GRACE_S = 2.0
_KILL_GRACE_S = 1.0


class ProgramFault(Exception):
    """The program did not answer this time: it took too long, ended, or is not running. Its text says which."""


class Child(asyncio.SubprocessProtocol):
    """A running program. Make it with `spawn`; every way out leads through `end`."""

    def __init__(self, title: str, on_event: Callable[[EngineEvent], None]) -> None:
        self._title = title
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._lines = Lines()
        self._words = Lines(max_bytes=10_000)
        self._chatter = Chatter()
        self._flood = Flood()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._exited = asyncio.Event()
        self._stir = asyncio.Event()
        self._garbage = 0
        self._is_mute = False
        self._is_doubted = False
        self._is_ending = False
        self.gone = ""
        self.strays = 0
        self.heard_at = self._loop.time()

    @classmethod
    async def spawn(cls, program: Program, on_event: Callable[[EngineEvent], None]) -> Self:
        """Start the program in a session of its own; Ctrl-C reaches the agent, which then stops it in order.

        Raises EngineUnusable when the system cannot run it.
        """
        loop = asyncio.get_running_loop()
        try:
            _, child = await loop.subprocess_exec(
                lambda: cls(program.title, on_event),
                *program.argv,
                cwd=program.cwd,
                env=dict(program.env),
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise EngineUnusable(f"{program.argv[0]} cannot be run: {error.strerror or error}") from error
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    async def ask(self, op: wire.Op, timeout_s: float, **arguments: Any) -> Any:
        """The result of one request. Raises ProgramFault without an answer, and what `wire` raises for a bad one."""
        if self.gone:
            raise ProgramFault(self.gone)
        if self._stdin.get_write_buffer_size() > MAX_LINE:
            raise ProgramFault("the program does not read what it is asked")
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            self._stdin.write(wire.request_bytes(op, number, **arguments) + b"\n")
            async with asyncio.timeout(timeout_s):
                raw = await answer
        except TimeoutError as error:
            raise ProgramFault(f"the program did not answer {op} within {timeout_s:g} s") from error
        finally:
            del self._waiting[number]
            if answer.cancelled():  # by its time limit, or because the agent waits no longer: does it still live?
                self._is_doubted = True
                self._stir.set()
        return wire.parse_answer(raw, number)

    async def settle(self, idle_s: float) -> bool:
        """Wait until its health is worth a question: a request found no answer, or `idle_s` went by without a word.

        False: it is gone.
        """
        while not self.gone and not self._is_doubted:
            left_s = self.heard_at + idle_s - self._loop.time()
            if left_s <= 0:
                break
            self._stir.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._stir.wait()
        self._is_doubted = False
        return not self.gone

    def give_up(self, reason: str) -> None:
        """Count it as gone: what waits for an answer fails now, and nothing more is asked."""
        if self.gone:
            return
        self.gone = reason
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ProgramFault(reason))
        self._stir.set()

    async def farewell(self, wait_s: float) -> None:
        """Say `bye`, close its input and leave it `wait_s` to end by itself."""
        if not self.gone:
            self._stdin.write(wire.request_bytes("bye", next(self._numbers)) + b"\n")
        self.give_up("the engine is being closed")
        self._stdin.close()
        await self._ended_within(wait_s)

    async def end(self, grace_s: float = _TERM_GRACE_S) -> None:
        """End it and all that it started in its session: asked first, killed after `grace_s`."""
        self.give_up("the program is being ended")
        self._is_ending = True
        try:
            if not self._exited.is_set():
                self._signal(signal.SIGTERM)
                await self._ended_within(grace_s)
        finally:
            if not self._exited.is_set():  # once it has ended its number may be another's
                self._kill()
        if not await self._ended_within(_KILL_GRACE_S):
            _log.error("%s: process %d does not end, not even when killed", self._title, self.pid)
        self._transport.close()

    async def _ended_within(self, wait_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._exited.wait()
        return self._exited.is_set()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                # Its session's group has its own number for as long as one member lives, so nobody else is hit.
                os.killpg(self.pid, number)
            else:
                self._transport.send_signal(number)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self._said(self._lines.fed(data))
        else:
            for line in self._words.fed(data):
                for text in self._chatter.heard(line, self._loop.time()):
                    _log.info("%s: %s", self._title, text)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._is_mute = True
        if fd != 2:
            self._lost()

    def process_exited(self) -> None:
        self._exited.set()
        self._kill()  # what it started and left behind: it would hold pipes, and perhaps trade on
        self._lost()
        if self._is_ending:
            self._loop.call_soon(self._transport.close)

    def _lost(self) -> None:
        """One sign of its end is there; the others follow within moments, and say more together."""
        if self._is_mute and self._exited.is_set():
            self._conclude()
        else:
            self._loop.call_later(_LAST_WORDS_S, self._conclude)

    def _conclude(self) -> None:
        status = self._transport.get_returncode()
        if status is None:
            self.give_up(f"the program closed its {'output' if self._is_mute else 'input'}")
        elif status < 0:
            self.give_up(f"the program was ended by signal {-status}")
        else:
            self.give_up(f"the program ended with status {status}")

    def _said(self, lines: list[bytes | None]) -> None:
        if self._flood.is_seen(len(lines), self._loop.time()):
            self.give_up("the program floods its output")
        for line in lines:
            self._line(line)

    def _line(self, raw: bytes | None) -> None:
        if self.gone or (raw is not None and not raw.strip()):
            return
        document = _document(raw)
        if document is None or not self._is_taken(cast(bytes, raw), document):
            self._nonsense(raw)
        else:
            self._garbage = 0
            self.heard_at = self._loop.time()

    def _is_taken(self, raw: bytes, document: dict[str, Any]) -> bool:
        if "event" in document:
            try:
                event = wire.event_from(raw)
            except wire.AnswerInvalid:
                return False
            if event is not None:
                self._on_event(event)
            return True
        number = document.get("id")
        if not isinstance(number, int) or isinstance(number, bool):
            return False
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            self._stray(number)
        else:
            answer.set_result(raw)
        return True

    def _stray(self, number: int) -> None:
        self.strays += 1
        if self.strays == 1:
            _log.warning(
                "%s: answer %d came too late, twice, or to no question; it is ignored, and so are others like it",
                self._title,
                number,
            )

    def _nonsense(self, raw: bytes | None) -> None:
        self._garbage += 1
        if self._garbage == 1:
            shown = f"more than {MAX_LINE} bytes" if raw is None else printable(raw, 120)
            _log.warning("%s: a line on its stdout is no answer and no event: %s", self._title, shown)
        if self._garbage > MAX_GARBAGE:
            self.give_up(f"the program wrote {self._garbage} lines of nonsense in a row")


def _document(raw: bytes | None) -> dict[str, Any] | None:
    try:
        found = None if raw is None else orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
