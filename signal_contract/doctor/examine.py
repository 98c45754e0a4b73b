"""Runs an examination: each check within its time, in order, and none whose ground is missing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from signal_contract.doctor.checks import checks_of, with_needs
from signal_contract.doctor.finding import Check, Finding, Grade, Side, Verdict, fail, skipped
from signal_contract.errors import CatalystError

T = TypeVar("T")
Probe = Callable[[], Awaitable[Verdict]]

TOTAL_S = 14.0
# In a skipped finding's facts: the check that it all began with.
BECAUSE_OF = "because_of"
_GROUNDLESS = (Grade.FAIL, Grade.SKIPPED)


@dataclass(frozen=True, slots=True)
class Step:
    """How a check is made: `probe` measures and judges, within `limit_s` seconds."""

    probe: Probe
    limit_s: float = 3.0


async def examine(
    side: Side,
    steps: Mapping[str, Step],
    *,
    only: frozenset[str] = frozenset(),
    total_s: float = TOTAL_S,
    tell: Callable[[Check], None] = lambda check: None,
) -> tuple[Finding, ...]:
    """Make the checks of a side that have a step, in the registry's order; `tell` is called before each.

    With `only` it is those and what they need; of the latter only what is not well is shown. After `total_s` seconds
    the rest is skipped. Errors of our tree and of the system become FAIL; anything else is a fault of the program.
    """
    clock = asyncio.get_running_loop().time
    wanted = with_needs(only, side) if only else None
    deadline = clock() + total_s
    found: dict[str, Finding] = {}
    for check in checks_of(side):
        step = steps.get(check.id)
        if step is None or (wanted is not None and check.id not in wanted):
            continue
        tell(check)
        started = clock()
        verdict = _groundless(check, side, found) or await _made(step, min(step.limit_s, deadline - started))
        found[check.id] = _finding(check, side, verdict, clock() - started)
    shown = (each for each in found.values() if not only or each.check.id in only or each.grade is not Grade.OK)
    return tuple(shown)


def _groundless(check: Check, side: Side, found: Mapping[str, Finding]) -> Verdict | None:
    """Why a check cannot be made, or None: what it needs failed or was skipped itself."""
    missing = next(
        (found[each] for each in check.needs_of(side) if each in found and found[each].grade in _GROUNDLESS), None
    )
    if missing is None:
        return None
    because = str(missing.facts.get(BECAUSE_OF, missing.check.id))
    root = found[because]
    how = "failed" if root.grade is Grade.FAIL else "could not be looked at"
    return skipped(f"{because} ({root.check.title}) {how}", because_of=because)


async def _made(step: Step, limit_s: float) -> Verdict:
    if limit_s <= 0:
        return skipped("no time was left for it")
    try:
        async with asyncio.timeout(limit_s):
            return await step.probe()
    except TimeoutError:
        return fail(f"no answer within {limit_s:.1f} s")
    except CatalystError as error:
        return fail(error.message, error.hint, code=error.code)
    except OSError as error:
        return fail(error.strerror or str(error) or error.__class__.__name__)


def _finding(check: Check, side: Side, verdict: Verdict, took_s: float) -> Finding:
    cure = verdict.cure
    if not cure and verdict.grade in (Grade.WARN, Grade.FAIL):
        cure = check.cure_for(side)
    return Finding(check, verdict.grade, verdict.message, cure, verdict.facts, took_s)


async def aside(work: Callable[[], T]) -> T:
    """Run blocking work in a thread that nobody waits for at the end: a hanging lookup must not hold up the answer."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except (CatalystError, OSError, ValueError) as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="doctor-aside", daemon=True).start()
    return await done
