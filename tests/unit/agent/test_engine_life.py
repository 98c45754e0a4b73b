"""An engine's start, its hints and its end: what may end the agent, and what may not."""

from __future__ import annotations

import asyncio

import pytest

from signal_contract.errors import EngineUnusable
from subscriber_agent.engine_life import EngineLife
from subscriber_agent.engines.engine import EngineEvent
from subscriber_agent.risk.market import Capabilities


class Moody:
    """Fails to start and to speak as often as it is told to, then says its events and is silent."""

    name = "moody"

    def __init__(self, *, failures=(), streams=(), can=None):
        self.failures, self.streams = list(failures), list(streams)
        self.can = can or Capabilities(events=True)
        self.started = self.closed = 0
        self.on_close = None

    def capabilities(self):
        return self.can

    async def start(self):
        self.started += 1
        if self.failures:
            raise self.failures.pop(0)

    async def close(self):
        self.closed += 1
        if self.on_close is not None:
            raise self.on_close

    async def events(self):
        for each in self.streams.pop(0) if self.streams else [None]:
            if each is None:
                await asyncio.Event().wait()
            if isinstance(each, Exception):
                raise each
            yield each


class Life:
    def __init__(self, engine):
        self.told, self.heard = [], []
        self.life = EngineLife(
            engine, lambda event, facts: self.told.append(event), self.heard.append, first_pause_s=0.01
        )

    async def attended(self, until, is_enough):
        """Attend until the condition holds, or until the attending ends."""
        task = asyncio.create_task(self.life.attend())
        try:
            await until(lambda: is_enough() or task.done(), what="the engine did what the test waits for", timeout_s=2)
        finally:
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()


async def test_an_engine_that_can_never_work_ends_the_agent_at_once():
    with pytest.raises(EngineUnusable):
        await Life(Moody(failures=[EngineUnusable("no keys")])).life.start()


async def test_a_start_that_fails_is_tried_again_until_it_works_and_told_once(until):
    engine = Moody(failures=[OSError("away"), TimeoutError(), OSError("away")], can=Capabilities(events=False))
    seen = Life(engine)
    assert not await seen.life.start()
    assert not seen.life.is_ready
    await seen.attended(until, lambda: seen.life.is_ready)
    assert (engine.started, seen.told) == (4, ["engine_not_ready", "engine_ready"])
    assert [each.is_gap for each in seen.heard] == [True]


async def test_a_later_start_that_can_never_work_ends_the_agent(until):
    seen = Life(Moody(failures=[OSError("away"), EngineUnusable("no keys")]))
    await seen.life.start()
    with pytest.raises(EngineUnusable):
        await seen.attended(until, lambda: False)


async def test_every_hint_is_passed_on(until):
    events = [EngineEvent("cs-1"), EngineEvent(is_gap=True), None]
    seen = Life(Moody(streams=[events]))
    await seen.life.start()
    await seen.attended(until, lambda: len(seen.heard) == 2)
    assert (seen.heard, seen.told) == (events[:2], [])


async def test_events_that_die_are_heard_again_as_a_gap_and_told_once(until):
    dying = [[ValueError("broken")], [EngineUnusable("also only a hint")], [], [EngineEvent("cs-1"), None]]
    seen = Life(Moody(streams=dying))
    await seen.life.start()
    await seen.attended(until, lambda: EngineEvent("cs-1") in seen.heard)
    assert [each.is_gap for each in seen.heard] == [True, True, True, False]
    assert seen.told == ["engine_deaf", "engine_heard"]


async def test_an_engine_without_events_is_not_asked_for_them(until):
    engine = Moody(streams=[[EngineEvent("cs-1")]], can=Capabilities(events=False))
    seen = Life(engine)
    await seen.life.start()
    await seen.attended(until, lambda: False)
    assert (seen.heard, len(engine.streams)) == ([], 1)


async def test_an_engine_that_fails_to_close_hides_nothing():
    engine = Moody()
    engine.on_close = RuntimeError("it hangs")
    await Life(engine).life.close()
    assert engine.closed == 1
