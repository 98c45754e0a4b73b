"""An engine's life beside the deciding: started before anything is asked of it, its hints heard, closed at the end.

start()  EngineUnusable ends the agent; any other failure is told once and tried again, and until it has worked
         nothing is asked of the engine: signals are received, kept and wait
events() only hints: whoever hears one looks up. When they end they are heard again; they never end the agent
close()  five seconds, then the engine is left to the end of the process
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from signal_contract.errors import CatalystError
from subscriber_agent.engines.engine import Engine, EngineEvent

_log = logging.getLogger("catalyst.engine")

START_TIMEOUT_S, CLOSE_TIMEOUT_S = 30.0, 5.0
# Between two tries, doubling: a broker that is away for a night must not be asked every second.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
# Events that came for so long were no failed try.
_WORKED_FOR_S = 60.0


class EngineLife:
    """One engine from start to end. `tell` hears of failures, once each; `heard` of every hint, and must not wait.

    `check` is asked once the engine has started and before anything else is: what it raises ends the agent.
    """

    def __init__(
        self,
        engine: Engine,
        tell: Callable[[str, dict[str, Any]], None],
        heard: Callable[[EngineEvent], None],
        *,
        check: Callable[[], Awaitable[None]] | None = None,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._heard = heard
        self._check = check
        self._first_pause_s = first_pause_s
        self._is_told = False
        self.is_ready = False

    async def start(self) -> bool:
        """Start the engine; False when it failed and may be tried again. Raises EngineUnusable, StorageFailed."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._engine.start()
        except CatalystError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a broker's library throws is a fault of the engine
            self._failed("engine_not_ready", error, START_TIMEOUT_S)
            return False
        if self._check is not None:
            await self._check()
        if self._is_told:
            self._tell("engine_ready", {"engine": self._engine.name})
        self._is_told, self.is_ready = False, True
        return True

    async def attend(self) -> None:
        """Try to start until it works, then hear what the engine says, until cancelled. Raises as `start`."""
        pause_s = self._first_pause_s
        while not self.is_ready:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            if await self.start():
                # Whatever happened meanwhile was not heard.
                self._heard(EngineEvent(detail="the engine is ready", is_gap=True))
        if self._engine.capabilities().events:
            await self._hear_forever()

    async def close(self) -> None:
        """Let the engine go of what it holds. Never raises what the engine does, and never waits for long."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._engine.close()
        except CatalystError as error:
            _log.warning("the engine %s did not close: %s", self._engine.name, error.message)
        except Exception:  # noqa: BLE001  # the agent is ending: its own reason to end must not be hidden by this
            _log.warning("the engine %s did not close", self._engine.name, exc_info=True)

    async def _hear_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = self._first_pause_s
        while True:
            began = clock()
            await self._hear_once()
            has_worked = clock() - began > _WORKED_FOR_S
            pause_s = self._first_pause_s if has_worked else min(2 * pause_s, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)
            self._heard(EngineEvent(detail="its events ended and are heard again", is_gap=True))

    async def _hear_once(self) -> None:
        """Hear until the events end, one way or the other."""
        try:
            async for event in self._engine.events():
                self._over()
                self._heard(event)
        except Exception as error:  # noqa: BLE001  # hints only: nothing that an engine throws here may end the agent
            self._failed("engine_deaf", error, 0)
        else:
            self._failed("engine_deaf", RuntimeError("its events ended"), 0)

    def _failed(self, event: str, error: Exception, timeout_s: float) -> None:
        _log.warning("engine %s: %s", self._engine.name, event, exc_info=error)
        if self._is_told:
            return
        self._is_told = True
        late = f"no answer within {timeout_s:.0f} s"
        detail = late if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"[:200]
        self._tell(event, {"engine": self._engine.name, "detail": detail})

    def _over(self) -> None:
        if self._is_told:
            self._is_told = False
            self._tell("engine_heard", {"engine": self._engine.name})
