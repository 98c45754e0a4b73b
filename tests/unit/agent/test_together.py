"""Tasks that live and die together."""

from __future__ import annotations

import asyncio

import pytest

from subscriber_agent.together import paused, run_together, unless_stopped


async def _heeding(stop):
    await stop.wait()


async def _for_ever():
    await asyncio.Event().wait()


async def _failing():
    raise ValueError("broken")


async def _stopping(stop):
    stop.set()


async def test_works_end_after_stop_and_attendants_are_ended_then():
    stop = asyncio.Event()
    async with asyncio.timeout(1):
        await run_together(stop, [_heeding(stop), _stopping(stop)], [_for_ever()], drain_s=5)


@pytest.mark.parametrize("is_work", [True, False])
async def test_one_failure_ends_all_and_is_raised(is_work):
    stop = asyncio.Event()
    works, attendants = ([_heeding(stop), _failing()], []) if is_work else ([_heeding(stop)], [_failing()])
    async with asyncio.timeout(1):
        with pytest.raises(ValueError, match="broken"):
            await run_together(stop, works, attendants, drain_s=5)


async def _cancelled_from_within():
    raise asyncio.CancelledError


@pytest.mark.parametrize("is_work", [True, False])
async def test_a_part_that_is_cancelled_from_within_is_no_wished_for_end(is_work):
    stop = asyncio.Event()
    stray = _cancelled_from_within()
    works, attendants = ([_heeding(stop), stray], []) if is_work else ([_heeding(stop)], [stray])
    async with asyncio.timeout(1):
        with pytest.raises(RuntimeError, match="cancelled from within"):
            await run_together(stop, works, attendants, drain_s=5)


async def test_an_attendant_that_is_done_ends_nothing():
    stop = asyncio.Event()
    running = asyncio.create_task(run_together(stop, [_heeding(stop)], [asyncio.sleep(0)], drain_s=5))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done()
    stop.set()
    await running


async def test_a_work_that_does_not_heed_the_stop_is_ended_after_the_drain():
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(1):
        await run_together(stop, [_for_ever()], [], drain_s=0.01)


async def test_a_stop_ends_what_waits_and_an_answer_or_a_failure_is_passed_on():
    stop = asyncio.Event()
    assert await unless_stopped(stop, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="broken"):
        await unless_stopped(stop, _failing())
    stop.set()
    async with asyncio.timeout(1):
        assert await unless_stopped(stop, _for_ever()) is None


async def test_a_pause_ends_with_the_stop():
    stop = asyncio.Event()
    await paused(stop, 0.001)
    stop.set()
    async with asyncio.timeout(1):
        await paused(stop, 60)
