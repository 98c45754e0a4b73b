"""Blocking SDKs: one thread, one call at a time, and no order that waited too long is placed late."""

import asyncio
import threading

import pytest
from plugin_samples import FILLED, a_plan

from subscriber_agent.engines.plugin.loading import problems_of
from subscriber_agent.engines.plugin.threaded import OneThread, SyncEngine, ThreadedEngine
from subscriber_agent.risk.market import Capabilities


class Blocking(SyncEngine):
    name = "blocking"
    is_paper = True

    def __init__(self):
        self.gate = threading.Event()
        self.began = threading.Event()
        self.calls = []

    def capabilities(self):
        return Capabilities(concurrent=True)

    def start(self):
        self.calls.append(("start", threading.current_thread().name))

    def close(self):
        self.calls.append(("close", ""))

    def submit(self, plan, client_order_id):
        self.calls.append(("submit", client_order_id))
        return FILLED

    def lookup(self, client_order_id):
        self.began.set()
        assert self.gate.wait(10)
        return None

    def account(self):
        raise ConnectionError("the broker is away")


@pytest.fixture
async def blocking():
    inner = Blocking()
    yield inner
    inner.gate.set()


async def _begun(inner):
    assert await asyncio.to_thread(inner.began.wait, 5)


async def test_it_is_an_engine():
    assert list(problems_of(ThreadedEngine(Blocking()))) == []


async def test_one_thread_is_asked_in_turn_whatever_the_inner_engine_says():
    assert not ThreadedEngine(Blocking()).capabilities().concurrent


async def test_calls_run_in_a_thread_of_their_own(blocking):
    engine = ThreadedEngine(blocking)
    await engine.start()
    assert blocking.calls == [("start", "engine-blocking")]
    await engine.close()


async def test_the_agent_does_not_stand_while_a_call_blocks(blocking):
    engine = ThreadedEngine(blocking)
    task = asyncio.create_task(engine.lookup("a"))
    await _begun(blocking)
    assert not task.done()
    blocking.gate.set()
    assert await task is None
    await engine.close()


async def test_an_order_that_waited_too_long_for_the_thread_is_never_placed(blocking):
    engine = ThreadedEngine(blocking)
    task = asyncio.create_task(engine.lookup("a"))
    await _begun(blocking)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await engine.submit(a_plan(), "late")
    blocking.gate.set()
    await task
    assert await engine.submit(a_plan(), "next") == FILLED
    assert [order_id for name, order_id in blocking.calls if name == "submit"] == ["next"]
    await engine.close()


async def test_what_it_raises_reaches_the_caller_and_the_thread_goes_on(blocking):
    engine = ThreadedEngine(blocking)
    with pytest.raises(ConnectionError, match="away"):
        await engine.account()
    assert await engine.submit(a_plan(), "a") == FILLED
    await engine.close()


async def test_a_closed_engine_takes_no_calls(blocking):
    engine = ThreadedEngine(blocking)
    await engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        await engine.submit(a_plan(), "a")


async def test_the_thread_of_a_hanging_engine_does_not_hold_up_the_end():
    thread = OneThread("hanging")
    gate = threading.Event()
    task = asyncio.create_task(thread.run(gate.wait, 10))
    await asyncio.sleep(0)
    found = [each for each in threading.enumerate() if each.name == "hanging"]
    assert [each.daemon for each in found] == [True]
    thread.close()
    gate.set()
    assert await task is True


async def test_it_tells_no_events(blocking):
    assert [each async for each in ThreadedEngine(blocking).events()] == []
