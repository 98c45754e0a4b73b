"""The life of the command engine's program: what it is given, and that nothing of it is left, whoever dies first."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from command_samples import ENTRY, a_plan, a_rude_engine, an_engine, lines_of, lives, started, until

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.command.child import ProgramFault
from subscriber_agent.engines.engine import OutcomeState
from subscriber_agent.risk.market import Capabilities

AGENT = Path(__file__).with_name("command_agent.py")


async def test_the_program_is_given_nothing_but_what_it_was_promised(tmp_path):
    given = {"PATH": os.environ["PATH"], "HOME": "/h", "LANG": "C.UTF-8", "BROKER": "x", "NATS_CREDS": "secret"}
    async with started(a_rude_engine(tmp_path, "none", environ=given, env_pass=["BROKER"])):
        seen = json.loads((tmp_path / "environment.json").read_text())
    # Python adds the last one by itself where the language is not set to another.
    assert set(seen) - {"LC_CTYPE"} == {"PATH", "HOME", "LANG", "BROKER"}


async def test_capabilities_are_nothing_before_the_start_and_the_programs_own_after(tmp_path):
    engine = a_rude_engine(tmp_path, "none")
    before = engine.capabilities()
    assert not before.can_protect
    assert not before.times_in_force
    async with started(engine):
        can = engine.capabilities()
    assert (can.brackets, can.shorts, can.quotes) == (True, False, False)
    assert can.times_in_force == Capabilities().times_in_force


async def test_an_order_handed_over_before_the_start_is_a_fault_and_goes_nowhere(tmp_path):
    engine = a_rude_engine(tmp_path, "none")
    with pytest.raises(ProgramFault, match="has not been started"):
        await engine.submit(a_plan(), ENTRY)
    assert lines_of(tmp_path / "submits.log") == []


async def test_close_says_bye_and_ends_the_events_and_every_later_call(tmp_path):
    engine = a_rude_engine(tmp_path, "none")
    await engine.start()
    pid, events = engine.pid, engine.events()
    reader = asyncio.ensure_future(anext(events, None))
    began = time.monotonic()
    await engine.close()
    assert time.monotonic() - began < 2
    assert not lives(pid)
    assert await reader is None
    with pytest.raises(ProgramFault, match="closed"):
        await engine.account()
    await engine.close()


async def test_close_takes_less_than_5_s_with_a_program_that_will_not_go(tmp_path):
    engine = a_rude_engine(tmp_path, "stays_after_bye")
    await engine.start()
    pid = engine.pid
    began = time.monotonic()
    await engine.close()
    assert time.monotonic() - began < 5
    assert not lives(pid)


async def test_a_close_that_is_cut_short_leaves_nothing_running(tmp_path):
    engine = a_rude_engine(tmp_path, "stays_after_bye")
    await engine.start()
    pid = engine.pid
    closing = asyncio.ensure_future(engine.close())
    await until(lambda: engine.pid is None)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await until(lambda: not lives(pid))


async def test_a_start_that_is_cut_short_leaves_nothing_running(tmp_path):
    engine = a_rude_engine(tmp_path, "never_says_hello", start_timeout_s=20)
    starting = asyncio.ensure_future(engine.start())
    await until(lambda: lines_of(tmp_path / "runs.log"))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    (pid,) = lines_of(tmp_path / "runs.log")
    await until(lambda: not lives(int(pid)))
    await engine.close()


async def test_close_while_the_program_is_down_starts_it_no_more(tmp_path):
    engine = a_rude_engine(tmp_path, "none")
    await engine.start()
    os.kill(engine.pid, signal.SIGKILL)
    await until(lambda: engine.pid is None)
    await engine.close()
    runs = lines_of(tmp_path / "runs.log")
    assert not any(lives(int(pid)) for pid in runs)


async def test_an_agent_killed_at_once_takes_its_program_with_it(tmp_path):
    agent = await asyncio.create_subprocess_exec(
        sys.executable, str(AGENT), str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(15):
        program = int(await agent.stdout.readline())
        assert lives(program)
        agent.kill()
        await agent.wait()
    await until(lambda: not lives(program))


async def test_a_program_that_dies_again_and_again_is_tried_ever_more_rarely(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "catalyst.engine")
    async with started(a_rude_engine(tmp_path, "none")) as engine:
        for _ in range(2):
            before = engine.pid
            os.kill(before, signal.SIGKILL)
            await until(lambda before=before: engine.pid not in (None, before))
    pauses = [each.message.rsplit("in ", 1)[1] for each in caplog.records if "started again in" in each.message]
    assert pauses == ["0.2 s", "0.4 s"]


async def test_what_it_knew_is_there_after_the_engine_was_closed_and_opened_again(tmp_path):
    async with started(a_rude_engine(tmp_path, "none")) as engine:
        await engine.submit(a_plan(), ENTRY)
    async with started(a_rude_engine(tmp_path, "none")) as engine:
        assert (await engine.lookup(ENTRY)).state is OutcomeState.FILLED


async def test_requests_side_by_side_get_their_own_answers(tmp_path):
    async with started(a_rude_engine(tmp_path, "none")) as engine:
        ids = [f"cs-{number:032x}-entry" for number in range(50)]
        plans = [a_plan(quantity=a_plan().quantity + number) for number in range(50)]
        outcomes = await asyncio.gather(*map(engine.submit, plans, ids))
    assert [each.quantity for each in outcomes] == [each.quantity for each in plans]


async def test_a_price_seen_is_told_no_more_to_a_program_that_does_not_want_it(tmp_path):
    plan = a_plan()
    async with started(a_rude_engine(tmp_path, "none")) as engine:
        for _ in range(2):
            assert await engine.observe("ABCD", plan.limit_price, plan.reference_price_at) == ()


async def test_a_file_that_is_no_program_stops_the_start(tmp_path):
    (tmp_path / "broken").write_bytes(b"\x00\x01")
    (tmp_path / "broken").chmod(0o700)
    engine = an_engine(tmp_path, ["./broken"])
    with pytest.raises(EngineUnusable, match="cannot be run"):
        await engine.start()
