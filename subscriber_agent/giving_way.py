"""Lets a live signal, which cannot wait, break off the questions of looking after what is open, which can.

Only questions are broken off, between two writes: what was answered before is on disk, and the next round asks again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from subscriber_agent.engines.engine import EngineSilent
from subscriber_agent.together import unless_stopped

_Answer = TypeVar("_Answer")


class GaveWay(EngineSilent):
    """Nobody was silent: the question was broken off, and is to be asked again."""


class GivingWay:
    """For one engine. What is asked inside `allowed` may be broken off by `ask`."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._is_allowed = False

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Questions inside the block may be broken off; to be left by the exception that says so."""
        self._asked.clear()
        self._is_allowed = True
        try:
            yield
        finally:
            self._is_allowed = False

    def ask(self) -> bool:
        """Break off what is asked now, and what would be asked next; False where that is not allowed."""
        if self._is_allowed:
            self._asked.set()
        return self._is_allowed

    async def unless_asked(self, question: Coroutine[Any, Any, list[_Answer]]) -> list[_Answer]:
        """The answers. Raises GaveWay; then none of the questions is under way any more."""
        if not self._is_allowed:
            return await question
        answers = await unless_stopped(self._asked, question)
        if answers is None:
            raise GaveWay("broken off for a signal")
        return answers
