"""Keeps the friend's program running: says hello, asks after its health, starts it again when it ends or hangs.

    start ──▶ UP ──▶ gone, or silent when asked after its health ──▶ DOWN ──▶ pause ──▶ hello ──▶ UP
                                                                      ▲───────────── failed ─┘

Nothing is ever sent twice: what was under way when it ended has failed, and the agent looks it up.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from signal_contract import __version__
from signal_contract.errors import EngineUnusable
from subscriber_agent.engines import wire
from subscriber_agent.engines.command.backoff import failures_after, pause_s
from subscriber_agent.engines.command.child import Child, ProgramFault
from subscriber_agent.engines.command.hints import Hints
from subscriber_agent.engines.command.program import Program
from subscriber_agent.engines.command.settings import CommandSettings
from subscriber_agent.risk.market import Capabilities

_log = logging.getLogger("catalyst.engine")

AGENT = f"catalyst-signals {__version__}"
IDLE_S = 15.0
_BYE_S = 3.0
_BYE_TERM_S = 0.5
_CAN_NOTHING = Capabilities(
    shorts=False,
    brackets=False,
    limits=False,
    cancels=False,
    marks_positions=False,
    times_in_force=frozenset(),
)


class Keeper:
    """One program, started again for as long as the engine is open. `idle_s` without a word, and it is asked."""

    def __init__(
        self,
        program: Program,
        settings: CommandSettings,
        hints: Hints,
        *,
        idle_s: float = IDLE_S,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._program = program
        self._timeout_s = float(settings.timeout_s)
        self._start_timeout_s = float(settings.start_timeout_s)
        self._longest_pause_s = float(settings.restart_max_s)
        self._hints = hints
        self._idle_s = idle_s
        self._dice = dice
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._down = "the engine has not been started"
        self._is_paper = settings.is_paper
        self.can = _CAN_NOTHING
        self.starts = 0

    async def start(self) -> None:
        """Start the program and hear its hello. Raises EngineUnusable when that fails: nothing is running then."""
        child = await self._begun()
        self._task = asyncio.create_task(self._keep(child), name=f"engine program {self._program.title}")

    async def ask(self, op: wire.Op, **arguments: Any) -> Any:
        """The result of a request. Raises ProgramFault, at once while the program is down.

        What `wire` makes of a bad answer is passed on: AnswerInvalid, EngineFailed.
        """
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()  # a fault of our own: raised as it is, never hidden behind "down"
        if self._child is None:
            raise ProgramFault(self._down)
        return await self._child.ask(op, self._timeout_s, **arguments)

    @property
    def pid(self) -> int | None:
        """The program's process number, None while it is down."""
        return None if self._child is None else self._child.pid

    @property
    def strays(self) -> int:
        """Answers of the running program that nobody waited for."""
        return 0 if self._child is None else self._child.strays

    async def close(self) -> None:
        """Let the program go, within 5 s. It may be called twice."""
        child, self._child = self._child, None
        self._down = "the engine is closed"
        if self._task is not None and not self._task.done():
            self._task.cancel()
            # The task may be ending a hung program just now; that has limits of its own.
            await asyncio.wait({self._task})
        if child is not None:
            try:
                await child.farewell(_BYE_S)
            finally:
                await child.end(_BYE_TERM_S)

    async def _keep(self, child: Child) -> None:
        failures = 0
        while True:
            began_at = child.heard_at
            reason = await self._watched(child)
            lived_s = asyncio.get_running_loop().time() - began_at
            failures = failures_after(failures, lived_s)
            child, failures = await self._begun_again(reason, failures)

    async def _watched(self, child: Child) -> str:
        """Until it is gone or found silent; it is ended then. Returns what happened."""
        while await child.settle(self._idle_s):
            try:
                await child.ask("health", self._timeout_s)
            except ProgramFault as fault:
                child.give_up(str(fault))
            except (wire.AnswerInvalid, wire.EngineFailed) as error:
                # It lives, which is what was asked; that it is unwell shows in the answers to its orders.
                _log.warning("%s says of its health: %s", self._program.title, error)
        self._child, self._down = None, child.gone
        await child.end()
        return child.gone

    async def _begun_again(self, reason: str, failures: int) -> tuple[Child, int]:
        why = reason
        while True:
            pause = pause_s(failures, self._longest_pause_s, self._dice())
            self._down = f"{why}; it is started again in {pause:.1f} s"
            _log.warning("%s: %s", self._program.title, self._down)
            await asyncio.sleep(pause)
            self._down = f"{why}; it is being started again"
            try:
                child = await self._begun()
            except EngineUnusable as error:
                why, failures = error.message, failures + 1
            else:
                self._hints.gap(f"the engine's program was started again: {reason}")
                return child, failures

    async def _begun(self) -> Child:
        """A program that said hello; else none is left running. Raises EngineUnusable."""
        child = await Child.spawn(self._program, self._hints.add)
        try:
            hello = wire.hello_from(await child.ask("hello", self._start_timeout_s, agent=AGENT))
        except (ProgramFault, wire.AnswerInvalid, wire.EngineFailed) as error:
            await child.end()
            raise EngineUnusable(
                f"{self._program.title}: {error}",
                hint="It must answer `hello` first, in protocol version 1. What it wrote to stderr is in the log.",
            ) from error
        except BaseException:
            await child.end(0)
            raise
        if self._is_paper and hello.is_paper is False:
            await child.end()
            raise EngineUnusable(
                f"{self._program.title} says that real money is behind it, and engine.command.is_paper says paper",
                hint="Believe the program: set is_paper to false, or connect the program to a paper account.",
            )
        self._welcome(child, hello)
        return child

    def _welcome(self, child: Child, hello: wire.Hello) -> None:
        if self.starts and hello.capabilities != self.can:
            _log.warning("%s: it can do other things than before its restart", self._program.title)
        _log.info("%s: %s %s runs as process %d", self._program.title, hello.name, hello.version, child.pid)
        self.can = hello.capabilities
        self.starts += 1
        self._child = child
