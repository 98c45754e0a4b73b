"""The command engine against a program that misbehaves: each fault with its stated outcome, and none orders twice.

A call that raises makes an order's end UNKNOWN in the hand-over, which looks it up: what `lookup` says is the outcome.
"""

import asyncio
import logging
import os
import signal
import time
from decimal import Decimal as D

import pytest
from command_samples import (
    ENTRY,
    a_plan,
    a_rude_engine,
    lines_of,
    lives,
    started,
    until,
    until_up_again,
)

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.command.child import ProgramFault
from subscriber_agent.engines.engine import OutcomeState, order_id_from
from subscriber_agent.engines.wire import AnswerInvalid, EngineFailed


async def _fails_then_is_looked_up(engine, tmp_path, *, fault=ProgramFault, match):
    """Submit raises; the program comes back as another process; the order was handed over once. Its lookup."""
    async with started(engine):
        before = engine.pid
        with pytest.raises(fault, match=match):
            await engine.submit(a_plan(), ENTRY)
        await until_up_again(engine, before)
        found = await engine.lookup(ENTRY)
        assert lines_of(tmp_path / "submits.log") == [ENTRY]
        assert not lives(before)
    return found


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("dies_after_taking", "ended with status 3"),
        ("closes_its_output", "closed its output"),
        ("leaves_a_child", "ended with status 4"),
        ("closes_its_input", "closed its input"),
        ("says_only_nonsense", "nonsense"),
        ("floods_its_output", "floods"),
    ],
)
async def test_an_order_under_way_when_the_program_goes_is_looked_up_and_never_sent_again(tmp_path, fault, words):
    found = await _fails_then_is_looked_up(a_rude_engine(tmp_path, fault), tmp_path, match=words)
    assert (found.state, found.quantity, found.price) == (OutcomeState.FILLED, D(100), D("5.00"))


async def test_a_program_that_dies_before_it_took_the_order_is_certain_that_it_never_saw_it(tmp_path):
    engine = a_rude_engine(tmp_path, "dies_before_taking")
    assert await _fails_then_is_looked_up(engine, tmp_path, match="ended with status 3") is None


async def test_what_a_program_started_goes_with_it(tmp_path):
    async with started(a_rude_engine(tmp_path, "leaves_a_child")) as engine:
        with pytest.raises(ProgramFault):
            await engine.submit(a_plan(), ENTRY)
        child = int((tmp_path / "child.pid").read_text())
        await until(lambda: not lives(child))


async def test_a_program_that_hangs_times_out_is_ended_and_looked_up(tmp_path):
    found = await _fails_then_is_looked_up(
        a_rude_engine(tmp_path, "hangs", timeout_s=1), tmp_path, match="did not answer submit"
    )
    assert found.state is OutcomeState.FILLED


async def test_a_program_that_hangs_and_ignores_the_request_to_end_is_killed(tmp_path):
    engine = a_rude_engine(tmp_path, "hangs_and_will_not_end", timeout_s=1)
    found = await _fails_then_is_looked_up(engine, tmp_path, match="did not answer submit within 1 s")
    assert found.state is OutcomeState.FILLED


async def test_a_program_that_stops_reading_is_started_again(tmp_path):
    async with started(a_rude_engine(tmp_path, "stops_reading", timeout_s=1)) as engine:
        before = engine.pid
        with pytest.raises(ProgramFault, match="did not answer account"):
            await engine.account()
        await until_up_again(engine, before)
        assert (await engine.account()).cash == D(1000)


async def test_a_request_under_way_fails_at_once_when_the_program_ends(tmp_path):
    async with started(a_rude_engine(tmp_path, "dies_after_taking")) as engine:
        began = time.monotonic()
        with pytest.raises(ProgramFault):
            await engine.submit(a_plan(), ENTRY)
        assert time.monotonic() - began < 5


async def test_calls_while_the_program_is_down_raise_at_once_and_say_when_it_is_tried_again(tmp_path):
    async with started(a_rude_engine(tmp_path, "never_says_hello_again", start_timeout_s=3)) as engine:
        before = engine.pid
        await engine.submit(a_plan(), ENTRY)
        _end(before)
        await until(lambda: engine.pid is None)
        with pytest.raises(ProgramFault, match=r"ended by signal 9; it is (started|being started) again"):
            await engine.submit(a_plan(), order_id_from("s2", "alice", Leg.ENTRY))
        await until(lambda: len(lines_of(tmp_path / "runs.log")) >= 2)
        assert lines_of(tmp_path / "submits.log") == [ENTRY]


async def test_a_late_answer_is_ignored_and_a_program_that_is_well_is_left_alone(tmp_path):
    async with started(a_rude_engine(tmp_path, "answers_late", timeout_s=1)) as engine:
        before = engine.pid
        with pytest.raises(ProgramFault, match="did not answer submit"):
            await engine.submit(a_plan(), ENTRY)
        await until(lambda: engine.strays == 1)
        found = await engine.lookup(ENTRY)
        assert (found.state, engine.pid) == (OutcomeState.FILLED, before)
        assert lines_of(tmp_path / "submits.log") == [ENTRY]


async def test_a_second_answer_changes_nothing(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "catalyst.engine")
    async with started(a_rude_engine(tmp_path, "answers_twice")) as engine:
        outcome = await engine.submit(a_plan(), ENTRY)
        await until(lambda: engine.strays == 2)
        assert outcome.state is OutcomeState.FILLED
        assert (await engine.lookup(ENTRY)).state is OutcomeState.FILLED
    assert len([each for each in caplog.records if "twice" in each.message]) == 1


@pytest.mark.parametrize("fault", ["says_nonsense_first", "writes_too_long_a_line"])
async def test_nonsense_before_the_answer_is_logged_and_fails_nothing(tmp_path, fault, caplog):
    caplog.set_level(logging.WARNING, "catalyst.engine")
    async with started(a_rude_engine(tmp_path, fault)) as engine:
        before = engine.pid
        assert (await engine.submit(a_plan(), ENTRY)).state is OutcomeState.FILLED
        assert engine.pid == before
    told = [each.message for each in caplog.records if "is no answer and no event" in each.message]
    assert len(told) == 1
    assert "\x1b" not in told[0]


async def test_more_than_was_asked_is_passed_on_as_it_is(tmp_path):
    async with started(a_rude_engine(tmp_path, "fills_more")) as engine:
        assert (await engine.submit(a_plan(), ENTRY)).quantity == D(200)


async def test_a_ticker_that_nobody_knows_is_passed_on_as_it_is(tmp_path):
    async with started(a_rude_engine(tmp_path, "holds_an_unknown_ticker")) as engine:
        (held,) = await engine.positions()
        assert (held.ticker, held.quantity) == ("NOBODYKNOWS", D(-7))


async def test_a_broker_lost_after_accepting_is_asked_until_it_is_back(tmp_path):
    async with started(a_rude_engine(tmp_path, "loses_its_broker")) as engine:
        assert (await engine.submit(a_plan(), ENTRY)).state is OutcomeState.ACCEPTED
        for _ in range(2):
            with pytest.raises(EngineFailed, match="broker_down: connection reset"):
                await engine.lookup(ENTRY)
        assert (await engine.lookup(ENTRY)).state is OutcomeState.FILLED
        assert lines_of(tmp_path / "submits.log") == [ENTRY]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("answers_in_floats", AnswerInvalid),
        ("answers_null", AnswerInvalid),
        ("speaks_another_version_later", AnswerInvalid),
        ("says_it_failed", EngineFailed),
    ],
)
async def test_an_answer_that_cannot_be_used_is_a_fault_and_the_order_is_looked_up(tmp_path, fault, error):
    async with started(a_rude_engine(tmp_path, fault)) as engine:
        with pytest.raises(error) as raised:
            await engine.submit(a_plan(), ENTRY)
        assert "\x1b" not in str(raised.value)
        assert (await engine.lookup(ENTRY)).state is OutcomeState.FILLED
        assert lines_of(tmp_path / "submits.log") == [ENTRY]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("ends_at_once", "ended with status 7"),
        ("never_says_hello", "did not answer hello within 1 s"),
        ("refuses_hello", "no_key: there is no key"),
        ("speaks_another_version", "another version"),
        ("is_real_money", "real money is behind it"),
    ],
)
async def test_a_program_that_cannot_begin_stops_the_start_and_is_not_left_running(tmp_path, fault, words):
    engine = a_rude_engine(tmp_path, fault, start_timeout_s=1 if fault == "never_says_hello" else 20)
    with pytest.raises(EngineUnusable, match=words):
        await engine.start()
    assert not any(lives(int(pid)) for pid in lines_of(tmp_path / "runs.log"))
    with pytest.raises(ProgramFault):
        await engine.account()
    await engine.close()


async def test_a_flood_on_stderr_reaches_the_log_in_part_and_without_control_characters(tmp_path, caplog):
    caplog.set_level(logging.INFO, "catalyst.engine")
    async with started(a_rude_engine(tmp_path, "floods_stderr")) as engine:
        await engine.account()
        await until(lambda: sum("line" in each.message for each in caplog.records) >= 20)
    told = [each.message for each in caplog.records]
    assert len(told) < 30
    assert not any("\x1b" in each for each in told)


async def test_a_restart_is_told_as_a_gap_and_an_order_by_its_id(tmp_path):
    async with started(a_rude_engine(tmp_path, "tells")) as engine:
        events = engine.events()
        await engine.submit(a_plan(), ENTRY)
        async with asyncio.timeout(5):
            assert (await anext(events)).order_id == ENTRY
            _end(engine.pid)
            gap = await anext(events)
        assert gap.is_gap
        assert "signal 9" in gap.detail


async def test_a_quiet_program_is_asked_how_it_is_and_replaced_when_it_is_not_well(tmp_path):
    async with started(a_rude_engine(tmp_path, "dies_when_asked_how_it_is", idle_s=0.05)) as engine:
        before = engine.pid
        await until_up_again(engine, before)
        assert (await engine.account()).cash == D(1000)


def _end(pid):
    os.kill(pid, signal.SIGKILL)
