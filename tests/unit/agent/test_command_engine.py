"""The command engine's pure parts: settings, what is run and what it may see, lines, log, hints, pauses."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.command.backoff import FIRST_S, STEADY_S, failures_after, pause_s
from subscriber_agent.engines.command.engine import make
from subscriber_agent.engines.command.hints import Hints
from subscriber_agent.engines.command.lines import Chatter, Flood, Lines, printable
from subscriber_agent.engines.command.program import program_from
from subscriber_agent.engines.command.settings import CommandSettings
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import EngineEvent


def _settings(**changes) -> CommandSettings:
    return CommandSettings.model_validate(changes)


def _context(home: Path, **environ: str) -> EngineContext:
    return EngineContext(data=home, home=home, user="alice", environ=environ)


def _a_program(path: Path, mode: int = 0o700) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


# Settings


def test_an_engine_counts_as_real_money_until_said_otherwise():
    assert not _settings().is_paper


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": "python3 my_engine.py"},
        {"argv": ["a", 1]},
        {"argv": [" "]},
        {"argv": ["a\x00b"]},
        {"argv": ["a"] * 101},
        {"env_pass": ["A=B"]},
        {"env_pass": [""]},
        {"env_pass": "A"},
        {"timeout_s": "0"},
        {"timeout_s": "26"},
        {"start_timeout_s": "nan"},
        {"restart_max_s": "0.1"},
        {"is_paper": "maybe"},
        {"shell": "true"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        _settings(**wrong)


def test_every_setting_says_what_it_means():
    assert all(field.description for field in CommandSettings.model_fields.values())
    assert CommandSettings.model_json_schema()["properties"]["argv"]


# What is run


def test_no_program_at_all_is_unusable(tmp_path):
    with pytest.raises(EngineUnusable, match="names no program"):
        make(_settings(), _context(tmp_path))


def test_a_name_is_found_on_path_before_the_folder_of_the_config(tmp_path):
    (tmp_path / "bin").mkdir()
    found = _a_program(tmp_path / "bin" / "mine")
    _a_program(tmp_path / "mine")
    program = program_from(_settings(argv=["mine", "-x"]), _context(tmp_path, PATH=str(tmp_path / "bin")))
    assert program.argv == (str(found), "-x")


@pytest.mark.parametrize("name", ["mine", "./mine", "sub/../mine"])
def test_a_file_beside_the_config_is_found(tmp_path, name):
    (tmp_path / "sub").mkdir()
    found = _a_program(tmp_path / "mine")
    program = program_from(_settings(argv=[name]), _context(tmp_path, PATH="/nowhere"))
    assert Path(program.argv[0]).samefile(found)


@pytest.mark.parametrize("name", ["mine", "./mine", "/nowhere/mine"])
def test_a_program_that_is_not_there_is_unusable_and_named(tmp_path, name):
    with pytest.raises(EngineUnusable, match="there is no program"):
        program_from(_settings(argv=[name]), _context(tmp_path, PATH="/nowhere"))


def test_a_script_that_may_not_be_executed_is_told_how(tmp_path):
    _a_program(tmp_path / "mine.py", 0o600)
    with pytest.raises(EngineUnusable) as raised:
        program_from(_settings(argv=["./mine.py"]), _context(tmp_path))
    assert "chmod u+x" in raised.value.hint


def test_it_runs_in_the_folder_of_the_config_unless_another_is_named(tmp_path):
    _a_program(tmp_path / "mine")
    (tmp_path / "there").mkdir()
    context = _context(tmp_path)
    assert program_from(_settings(argv=["./mine"]), context).cwd == tmp_path
    assert program_from(_settings(argv=["./mine"], cwd="there"), context).cwd == tmp_path / "there"
    with pytest.raises(EngineUnusable, match="is not a folder"):
        program_from(_settings(argv=["./mine"], cwd="nowhere"), context)


def test_it_sees_three_variables_and_those_that_were_named_and_shows_none_of_them(tmp_path):
    _a_program(tmp_path / "mine")
    context = _context(tmp_path, PATH="/bin", HOME="/h", LANG="C", KEY="s3cret", SUBSCRIBER_AGENT_CREDS="x")
    program = program_from(_settings(argv=["./mine"], env_pass=["KEY"]), context)
    assert program.env == {"PATH": "/bin", "HOME": "/h", "LANG": "C", "KEY": "s3cret"}
    assert "s3cret" not in repr(program)


def test_a_variable_that_is_not_set_is_unusable_and_named(tmp_path):
    _a_program(tmp_path / "mine")
    with pytest.raises(EngineUnusable, match="KEY_FILE not set"):
        program_from(_settings(argv=["./mine"], env_pass=["KEY_FILE"]), _context(tmp_path))


# Lines and the log


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 7))
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines, size):
    stream = b"".join(line + b"\n" for line in lines)
    cutter = Lines()
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [line for part in parts for line in cutter.fed(part)] == lines


@given(st.integers(1, 40))
def test_a_line_that_is_too_long_is_none_once_and_the_next_one_is_whole(size):
    stream = b"x" * 25 + b"\nok\n"
    cutter = Lines(max_bytes=10)
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [line for part in parts for line in cutter.fed(part)] == [None, b"ok"]


@given(st.binary())
def test_a_programs_words_can_neither_forge_nor_hide_a_log_line(raw):
    assert all(each == " " or each.isprintable() for each in printable(raw))


def test_words_are_cut_to_length():
    assert printable(b"x" * 900, 10) == "x" * 10 + "…"


def test_a_program_that_talks_too_much_is_passed_on_in_part_and_counted():
    chatter = Chatter(most=2, window_s=10)
    told = [chatter.heard(b"a", now) for now in (0, 1, 2, 3, 11)]
    assert told == [["a"], ["a"], [], [], ["(2 more lines were left out)", "a"]]


def test_lines_are_a_flood_when_there_are_too_many_within_a_second():
    flood = Flood(most=10, window_s=1.0)
    assert [flood.is_seen(6, now) for now in (5.0, 6.0, 6.9, 7.1)] == [False, False, True, False]


# Hints


async def test_the_same_order_twice_is_one_hint_and_a_gap_comes_first():
    hints = Hints()
    for order_id in ("a", "b", "a"):
        hints.add(EngineEvent(order_id))
    hints.gap("restarted")
    hints.gap("restarted")
    hints.close()
    assert [event async for event in hints.read()] == []
    hints = Hints()
    for order_id in ("a", "b", "a"):
        hints.add(EngineEvent(order_id))
    hints.gap("restarted")
    events = hints.read()
    told = [await anext(events) for _ in range(3)]
    assert [(each.order_id, each.is_gap) for each in told] == [("", True), ("a", False), ("b", False)]


async def test_more_hints_than_can_be_kept_become_a_gap():
    hints = Hints()
    for number in range(1500):
        hints.add(EngineEvent(str(number)))
    events = hints.read()
    told = [await anext(events) for _ in range(1001)]
    assert told[0].is_gap
    assert len({each.order_id for each in told[1:]}) == 1000


async def test_who_waits_for_hints_is_woken_by_one_and_let_go_at_the_end():
    hints = Hints()
    events = hints.read()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    hints.add(EngineEvent("a"))
    assert (await waiting).order_id == "a"
    waiting = asyncio.ensure_future(anext(events, None))
    await asyncio.sleep(0)
    hints.close()
    assert await waiting is None


# Pauses


@given(st.integers(1, 10_000), st.floats(1, 3600), st.floats(0, 1))
def test_a_pause_is_never_longer_than_the_longest_nor_shorter_than_half_the_first(failures, longest_s, dice):
    assert FIRST_S / 2 <= pause_s(failures, longest_s, dice) <= longest_s


def test_pauses_double_and_begin_anew_after_a_long_life():
    assert [pause_s(each, 60, 0.0) for each in (1, 2, 3, 20)] == [0.2, 0.4, 0.8, 60]
    assert (failures_after(7, STEADY_S), failures_after(7, 1.0)) == (1, 8)
