"""Where a call to the journal runs: at once, as long as nobody waits longer for it than for the thread."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from subscriber_agent.disk import Disk

SLOW_S, QUICK_S = 0.05, 0.001


class Bench:
    """A disk with a thread, on a clock that only the calls move on."""

    def __init__(self):
        self.now = 0.0
        self.disk = Disk(ThreadPoolExecutor(1), lambda: self.now)
        self.order = []
        self.close = self.disk.close

    def takes(self, seconds):
        """A call that takes so long; whether it ran in the caller's thread."""
        self.now += seconds
        return threading.current_thread() is threading.main_thread()

    async def brief(self, seconds):
        return await self.disk.brief(self.takes, seconds)

    def held_up(self):
        """A call that is under way in the thread until `go` is set."""
        began, go = threading.Event(), threading.Event()

        def call():
            began.set()
            assert go.wait(20)
            self.order.append("held up")
            return "done"

        return asyncio.ensure_future(self.disk.run(call)), began, go


@pytest.fixture
def bench():
    with closing(Bench()) as made:
        yield made


def _fails():
    raise ValueError("as it is")


async def test_what_is_brief_is_done_at_once_and_the_rest_in_the_thread(bench):
    assert await bench.brief(QUICK_S)
    assert not await bench.disk.run(bench.takes, QUICK_S)
    assert await bench.brief(QUICK_S)


async def test_a_slow_call_sends_the_next_ones_to_the_thread_until_the_disk_is_quick_again(bench):
    assert await bench.brief(SLOW_S)
    until = bench.now + 20 * SLOW_S
    while bench.now < until:
        assert not await bench.brief(QUICK_S)
    assert await bench.brief(QUICK_S)


async def test_quick_calls_do_not_make_a_slow_disk_look_quick(bench):
    await bench.brief(SLOW_S)
    assert [await bench.brief(0.0) for _ in range(1000)] == [False] * 1000


async def test_a_disk_that_stays_slow_is_never_waited_for(bench):
    await bench.brief(SLOW_S)
    assert [await bench.brief(SLOW_S) for _ in range(60)] == [False] * 60


async def test_a_slow_call_that_fails_counts_as_slow(bench):
    def fails_late():
        bench.takes(SLOW_S)
        _fails()

    with pytest.raises(ValueError, match="as it is"):
        await bench.disk.brief(fails_late)
    assert not await bench.brief(QUICK_S)


async def test_nothing_overtakes_what_is_under_way(bench, until):
    running, began, go = bench.held_up()
    await until(began.is_set, what="the call has begun")
    behind = [asyncio.ensure_future(bench.disk.brief(bench.order.append, each)) for each in ("first", "second")]
    await asyncio.sleep(0)
    assert bench.order == []
    go.set()
    assert await running == "done"
    await asyncio.gather(*behind)
    assert bench.order == ["held up", "first", "second"]
    assert await bench.brief(QUICK_S)


async def test_nothing_overtakes_a_call_whose_caller_was_cancelled(bench, until):
    running, began, go = bench.held_up()
    await until(began.is_set, what="the call has begun")
    running.cancel()
    await asyncio.wait([running])
    behind = asyncio.ensure_future(bench.disk.brief(bench.order.append, "behind"))
    await asyncio.sleep(0)
    assert bench.order == []
    go.set()
    await behind
    assert bench.order == ["held up", "behind"]
    assert await bench.brief(QUICK_S)


async def test_a_call_that_was_cancelled_before_its_turn_never_runs_and_holds_nobody_up(bench, until):
    running, began, go = bench.held_up()
    await until(began.is_set, what="the call has begun")
    waiting = asyncio.ensure_future(bench.disk.brief(bench.order.append, "never"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    go.set()
    await running
    assert await bench.brief(QUICK_S)
    assert bench.order == ["held up"]


@pytest.mark.parametrize("way", ["run", "brief"])
@pytest.mark.parametrize("make", [Disk.threaded, Disk.inline])
async def test_what_a_call_raises_passes_and_the_next_one_runs(make, way):
    with closing(make()) as disk:
        with pytest.raises(ValueError, match="as it is"):
            await getattr(disk, way)(_fails)
        assert await getattr(disk, way)(lambda *each: each, 1, "two") == (1, "two")


async def test_a_disk_without_a_thread_does_everything_at_once_however_slow():
    now = [0.0]

    def takes(seconds):
        now[0] += seconds
        return threading.current_thread() is threading.main_thread()

    disk = Disk(None, lambda: now[0])
    assert [await disk.brief(takes, SLOW_S) for _ in range(3)] == [True] * 3
    assert await disk.run(takes, SLOW_S)
    disk.close()
