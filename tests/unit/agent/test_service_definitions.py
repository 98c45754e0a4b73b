"""The agent's service as each manager is told; what launchd and Windows read is read by a parser here, not by them."""

import asyncio
import configparser
import os
import plistlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree as ET

import pytest

from signal_contract.errors import Conflict, ExitCode, NotFound
from signal_contract.supervision import needs_person
from subscriber_agent.service.definition import ManagerKind, Service, definition_of, manager_of
from subscriber_agent.service.installed import is_current, is_running, remove, write
from subscriber_agent.service.keeping import FIRST_PAUSE_S, LONGEST_PAUSE_S, keep, pause_after

_ALICE = Service(
    user="alice",
    python=PurePosixPath("/home/alice/own venv/bin/python"),
    config=PurePosixPath("/home/alice/.config/subscriber-agent/agent.yaml"),
    home=PurePosixPath("/home/alice"),
)
_ON_WINDOWS = Service(
    user="alice",
    python=PureWindowsPath(r"C:\Users\Alice B\venv\Scripts\python.exe"),
    config=PureWindowsPath(r"C:\Users\Alice B\AppData\Local\subscriber-agent\agent.yaml"),
    home=PureWindowsPath(r"C:\Users\Alice B"),
    account="ALICE-PC\\Alice B",
)
_TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def _unit(definition):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(definition.content.decode())
    return parser


def test_systemd_runs_the_agent_by_its_own_python_and_by_its_config():
    definition = definition_of(_ALICE, ManagerKind.SYSTEMD)
    assert str(definition.path) == "/home/alice/.config/systemd/user/subscriber-agent-alice.service"
    service = _unit(definition)["Service"]
    assert service["ExecStart"] == (
        '"/home/alice/own venv/bin/python" -P -m subscriber_agent run '
        "--config /home/alice/.config/subscriber-agent/agent.yaml"
    )
    assert service["Type"] == "notify"
    assert service["RestartPreventExitStatus"] == " ".join(map(str, needs_person()))
    assert definition.begin[1] == "systemctl --user enable --now subscriber-agent-alice"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_nothing_to_complain_about(tmp_path):
    service = replace(_ALICE, python=Path(sys.executable), home=tmp_path)
    definition = definition_of(service, ManagerKind.SYSTEMD)
    write(definition, may_replace=False)
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(definition.path)],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_launchd_begins_the_keeper_at_log_in_and_again_only_after_a_crash():
    definition = definition_of(_ALICE, ManagerKind.LAUNCHD)
    assert str(definition.path) == "/home/alice/Library/LaunchAgents/org.catalyst-signals.subscriber-agent-alice.plist"
    plist = plistlib.loads(definition.content)
    assert plist["Label"] == "org.catalyst-signals.subscriber-agent-alice"
    assert plist["ProgramArguments"] == list(_ALICE.command("service", "keep"))
    assert plist["RunAtLoad"] is True
    assert plist["KeepAlive"] == {"Crashed": True}
    assert plist["Umask"] == 0o077
    assert plist["HardResourceLimits"] == {"Core": 0}


def test_windows_begins_the_keeper_at_log_on_without_a_time_limit_or_higher_rights():
    definition = definition_of(_ON_WINDOWS, ManagerKind.WINDOWS)
    assert definition.content.startswith(b"\xff\xfe"), "schtasks reads UTF-16 with its mark"
    text = definition.content.decode("utf-16")
    root = ET.fromstring(text.split("?>", 1)[1])
    order = [each.tag.removeprefix(_TASK) for each in root]
    assert order == ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]
    found = {each.tag.removeprefix(_TASK): each.text for each in root.iter()}
    assert found["Command"] == str(_ON_WINDOWS.python)
    assert found["Arguments"] == f'-P -m subscriber_agent service keep --config "{_ON_WINDOWS.config}"'
    assert (found["ExecutionTimeLimit"], found["RunLevel"]) == ("PT0S", "LeastPrivilege")
    assert (found["MultipleInstancesPolicy"], found["StopIfGoingOnBatteries"]) == ("IgnoreNew", "false")
    assert {each.text for each in root.iter(f"{_TASK}UserId")} == {_ON_WINDOWS.account}


@pytest.mark.parametrize("manager", list(ManagerKind))
def test_no_definition_opens_the_gate_to_real_money(manager):
    definition = definition_of(_ALICE, manager)
    assert b"LIVE" not in definition.content.replace(b"\0", b"")


@pytest.mark.parametrize("manager", list(ManagerKind))
def test_two_identities_on_one_machine_do_not_meet(manager):
    bob = replace(_ALICE, user="bob")
    one, other = definition_of(_ALICE, manager), definition_of(bob, manager)
    assert one.path != other.path
    assert not set(one.begin[1:]) & set(other.begin[1:2])


def test_a_path_with_a_line_break_is_no_path_of_a_service():
    with pytest.raises(ValueError, match="control character"):
        definition_of(replace(_ALICE, config=PurePosixPath("/home/a\nExecStartPre=/bin/sh")), ManagerKind.SYSTEMD)


@pytest.mark.parametrize(
    ("platform", "manager"),
    [("linux", ManagerKind.SYSTEMD), ("darwin", ManagerKind.LAUNCHD), ("win32", ManagerKind.WINDOWS)],
)
def test_each_system_has_its_manager(platform, manager):
    assert manager_of(platform) is manager


def test_a_file_that_says_something_else_is_not_replaced_unasked(tmp_path):
    definition = definition_of(replace(_ALICE, home=tmp_path), ManagerKind.SYSTEMD)
    assert is_current(definition) is None
    assert write(definition, may_replace=False)
    assert not write(definition, may_replace=False)
    Path(definition.path).write_text("[Service]\n")
    with pytest.raises(Conflict, match="something else"):
        write(definition, may_replace=False)
    assert write(definition, may_replace=True)
    remove(definition)
    with pytest.raises(NotFound):
        remove(definition)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, None),
        ("LoadState=loaded\nActiveState=active\nSubState=running\nStatusText=LIVE: signals flow", True),
        ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart", True),
        ("LoadState=not-found\nActiveState=inactive\nSubState=dead", False),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed", False),
        ('{\n\t"Label" = "x";\n\t"PID" = 71;\n};', True),
        ('{\n\t"LastExitStatus" = 0;\n};', False),
    ],
    ids=["nobody", "systemd runs", "systemd restarts", "systemd none", "systemd failed", "launchd runs", "launchd not"],
)
def test_what_the_manager_answers(answer, expected):
    assert is_running(answer) is expected


def test_pauses_grow_to_a_minute_and_begin_anew_after_good_work():
    pauses, pause_s = [], 0.0
    for _ in range(6):
        pause_s = pause_after(pause_s, 1)
        pauses.append(pause_s)
    assert pauses == [5, 10, 20, 40, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert pause_after(LONGEST_PAUSE_S, 601) == FIRST_PAUSE_S


def _ending(tmp_path, *statuses):
    """A program that ends with one status after the other, and counts its runs."""
    runs = tmp_path / "runs"
    body = f"""
import pathlib, sys
runs = pathlib.Path({str(runs)!r})
done = len(runs.read_text()) if runs.exists() else 0
runs.write_text("x" * (done + 1))
sys.exit({list(statuses)!r}[done])
"""
    return runs, [sys.executable, "-I", "-S", "-c", body]


@pytest.mark.parametrize(
    ("statuses", "runs"),
    [
        ([ExitCode.UNREACHABLE, ExitCode.UNEXPECTED, ExitCode.OK], 3),
        ([ExitCode.REVOKED, ExitCode.OK], 1),
        ([ExitCode.NOT_LIVE, ExitCode.ALREADY_RUNNING, ExitCode.OK], 2),
    ],
    ids=["mends itself", "revoked", "another copy"],
)
async def test_it_is_begun_again_until_it_is_done_or_a_person_must_look(tmp_path, statuses, runs):
    counted, command = _ending(tmp_path, *map(int, statuses))
    said = []
    status = await keep(command, asyncio.Event(), said.append, pauses=0.001)
    assert (status, len(counted.read_text())) == (statuses[runs - 1], runs)
    assert len(said) == (runs - 1) + (statuses[runs - 1] is not ExitCode.OK)


async def test_a_stop_reaches_the_agent_and_nothing_is_begun_again(tmp_path):
    started = tmp_path / "started"
    body = f"""
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path({str(started)!r}).touch()
time.sleep(60)
"""
    stop = asyncio.Event()
    keeping = asyncio.create_task(keep([sys.executable, "-I", "-S", "-c", body], stop, lambda line: None))
    async with asyncio.timeout(20):
        while not started.exists():  # noqa: ASYNC110  # another process's file
            await asyncio.sleep(0.01)
        stop.set()
        assert await keeping == 0
