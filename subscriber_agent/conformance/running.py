"""Runs cases against an engine, one after the other, and closes what each of them opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection

from signal_contract.errors import CatalystError
from subscriber_agent.conformance.bench import Bench, EngineFactory, Failed, Rig, Skipped
from subscriber_agent.conformance.case import Case, CaseResult, Need, Result, missing
from subscriber_agent.conformance.cases import CASES

_log = logging.getLogger("catalyst.agent")
TIDY = "tidy"
TIMES = "times"


async def run_cases(
    factory: EngineFactory, rig: Rig, chosen: Collection[str] | None = None
) -> AsyncIterator[CaseResult]:
    """Results as they come; `chosen` are ids of cases, None is all.

    The last two are the slowest calls, and whether everything that was opened is closed again. Raises EngineUnusable
    when the engine cannot be made or started; each case's own trouble is its result.
    """
    bench = await Bench.open(factory, rig)
    try:
        taken = await _taken(bench) if rig.may_trade else None
        for case in CASES:
            if chosen is None or case.id in chosen:
                yield await _tried(case, bench, taken)
        if rig.may_trade and taken is None:
            yield await _tidied(bench)
    finally:
        await _closed(bench)
    yield CaseResult(TIMES, "every call answers within the agent's limit", Result.PASS, _slowest(bench), 0.0)


async def _taken(bench: Bench) -> str | None:
    """Why nothing may be ordered here: what the friend holds himself is not touched."""
    try:
        held = await bench.held()
    except Exception as error:  # noqa: BLE001
        # As in `_tried`: an engine under test may throw anything.
        return f"its positions cannot be asked: {_text(error)}"
    return f"{held:f} {bench.rig.ticker} are held already: choose another ticker" if held else None


async def _tried(case: Case, bench: Bench, taken: str | None) -> CaseResult:
    loop = asyncio.get_running_loop()
    began = loop.time()
    reason = missing(case, bench.engine.capabilities(), bench.rig)
    if reason is None and Need.TRADE in case.needs:
        reason = taken
    if reason is not None:
        return CaseResult(case.id, case.title, Result.SKIP, reason, 0.0)
    try:
        result, text = await _outcome(case, bench)
    except asyncio.CancelledError:
        # Ctrl-C in the middle of a case: what it opened is closed all the same, or said.
        left = await _left(bench)
        if left:
            _log.warning("interrupted: %s", left)
        raise
    left = await _left(bench)
    if left:
        result, text = Result.FAIL, "; ".join(filter(None, (text, left)))
    return CaseResult(case.id, case.title, result, text, loop.time() - began)


async def _outcome(case: Case, bench: Bench) -> tuple[Result, str]:
    try:
        return Result.PASS, await case.run(bench) or ""
    except Skipped as error:
        return Result.SKIP, str(error)
    except Failed as error:
        return Result.FAIL, str(error)
    except Exception as error:  # noqa: BLE001
        # A stranger's engine may throw anything: here it is the finding, and the next case goes on.
        return Result.FAIL, _text(error)


async def _left(bench: Bench) -> str | None:
    try:
        return await bench.tidy()
    except Exception as error:  # noqa: BLE001
        # As above; what is left open has to be said, whatever stood in the way.
        return f"what it opened could not be closed: {_text(error)}"


async def _tidied(bench: Bench) -> CaseResult:
    title = "everything that was opened is closed"
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        held = await bench.held()
        orders = [each.order_id for each in await bench.timed("orders", bench.engine.orders())]
    except Exception as error:  # noqa: BLE001
        # As above.
        return CaseResult(TIDY, title, Result.FAIL, f"it cannot be asked: {_text(error)}", loop.time() - began)
    working = [each for each in orders if each in bench.handed]
    left = [f"{held:f} {bench.rig.ticker}"] * bool(held) + working
    text = f"left open, close it yourself: {', '.join(left)}" if left else ""
    return CaseResult(TIDY, title, Result.FAIL if left else Result.PASS, text, loop.time() - began)


async def _closed(bench: Bench) -> None:
    try:
        await bench.close()
    except CatalystError:
        raise
    except Exception:  # noqa: BLE001
        # As above: the results are in, and the process ends after this.
        return


def _slowest(bench: Bench) -> str:
    return ", ".join(f"{name} {took * 1000:.0f} ms" for name, took in sorted(bench.slowest_s.items()))


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
