"""Questions to an engine that order nothing: each with a time limit, at once where the engine takes that.

What fails is an EngineSilent with the reason; whether it counts is for whoever asked to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from signal_contract.errors import CatalystError
from subscriber_agent.engines.engine import EngineSilent

ASK_TIMEOUT_S = 10.0
# What a decision asks: account, positions, quote and symbol. No engine is asked for more at once.
MOST_AT_ONCE = 4

_Answer = TypeVar("_Answer")
_Checked = TypeVar("_Checked")
_Item = TypeVar("_Item")
# Called, not awaited yet: a question that is never asked must leave no coroutine behind.
Question = Callable[[], Awaitable[_Answer]]


async def answered(
    question: Question[_Answer], checked: Callable[[_Answer], _Checked], *, timeout_s: float = ASK_TIMEOUT_S
) -> _Checked:
    """The answer, in time and checked. Raises EngineSilent, and CatalystError as it is."""
    try:
        async with asyncio.timeout(timeout_s):
            return checked(await question())
    except CatalystError:
        raise  # our own trouble, or an engine that can never work: it stops whoever asked
    except Exception as error:
        # Whatever a broker's library throws is a fault of the engine: nothing was ordered, it can be asked again.
        raise EngineSilent(fault_text(error, timeout_s)) from error


def asking(question: Question[_Answer], checked: Callable[[_Answer], _Checked]) -> Question[_Checked]:
    """`answered`, to be asked later."""
    return partial(answered, question, checked)


async def all_answered(questions: Sequence[Question[Any]], *, is_at_once: bool) -> list[Any]:
    """The answers in the order of the questions; an EngineSilent where there is none.

    At once: all of them are asked, and none is still under way when this ends, however it ends. In turn: the first
    silence is the last answer, for whoever is silent once keeps the next question waiting too.
    """
    if is_at_once:
        found = await asyncio.gather(*(each() for each in questions), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, EngineSilent):
                raise each
        return found
    answers: list[Any] = []
    for question in questions:
        try:
            answers.append(await question())
        except EngineSilent as silent:
            return [*answers, silent]
    return answers


def groups(items: Sequence[_Item], *, is_at_once: bool) -> Iterator[Sequence[_Item]]:
    """Items to ask about, as many as may be asked about at once."""
    size = MOST_AT_ONCE if is_at_once else 1
    return (items[start : start + size] for start in range(0, len(items), size))


def silence_in(answers: Sequence[object]) -> EngineSilent | None:
    """The first of the answers that is none."""
    return next((each for each in answers if isinstance(each, EngineSilent)), None)


def fault_text(error: Exception, timeout_s: float) -> str:
    """What an engine failed over, for people."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.0f} s"
    return f"{type(error).__name__}: {error}"[:200]
