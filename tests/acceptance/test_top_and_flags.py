"""`catalyst top`, `user list` and `flag …` as installed commands."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


def console_script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def answer(up, *arguments, code=ExitCode.OK) -> dict:
    done = up.run(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_top_shows_everybody_once_and_again_and_again(up):
    up.add_user("alice", ["signals.fda.*"])
    data = answer(up, "top", "--once")["data"]
    assert ([each["name"] for each in data["users"]], data["online"], data["gaps"]) == (["alice"], 0, [])
    assert data["wire"]["messages"] == 0
    text = up.run("top", "--once").stdout
    assert "0 of 1 friends online" in text
    assert "alice" in text

    (listed,) = answer(up, "user", "list")["data"]["users"]
    assert (listed["online"], listed["link"], listed["connections"]) == (False, "offline", [])

    command = [console_script("catalyst"), "top", "--json", "--interval", "0.5", "--data", str(up.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as live:
        looks = [json.loads(live.stdout.readline()) for _ in range(2)]
        live.send_signal(signal.SIGINT)
        assert live.wait(10) == 0
    assert looks[0]["users"][0]["feedback_per_s"] is None
    assert looks[1]["users"][0]["feedback_per_s"] == 0.0
    assert looks[0]["at"] < looks[1]["at"]


def test_flags_are_set_listed_and_cleared_and_loosening_asks(up):
    for name in ("alice", "bob"):
        up.add_user(name, ["signals.fda.*"])
    assert answer(up, "flag", "list")["data"] == {"issued_at": None, "flags": []}

    dry = answer(up, "flag", "set", "entries_percent", "50", "--dry-run")["data"]
    assert (dry["held_back"], dry["dry_run"], dry["loosens"]) == (["alice"], True, False)
    assert answer(up, "flag", "list")["data"]["flags"] == []

    assert answer(up, "flag", "set", "entries_percent", "50")["data"]["held_back"] == ["alice"]
    answer(up, "flag", "set", "mode_floor", "approve")
    flags = {each["flag"]: each for each in answer(up, "flag", "list")["data"]["flags"]}
    assert (flags["entries_percent"]["value"], flags["entries_percent"]["held_back"]) == ("50", ["alice"])
    assert flags["mode_floor"]["held_back"] == ["alice", "bob"]
    assert "1 of 2" in up.run("flag", "list").stdout
    assert answer(up, "flag", "list", "--user", "bob")["data"]["flags"][0]["held_back"] == []

    refused = answer(up, "flag", "set", "entries_percent", "60", code=ExitCode.INPUT)
    assert "--yes" in refused["errors"][0]["hint"]
    assert answer(up, "flag", "set", "entries_percent", "60", "--yes")["data"]["loosens"]
    answer(up, "flag", "clear", "mode_floor", code=ExitCode.INPUT)
    answer(up, "flag", "clear", "mode_floor", "--yes")
    answer(up, "flag", "clear", "mode_floor", "--yes", code=ExitCode.NOT_FOUND)
    answer(up, "flag", "set", "no_such_flag", "1", code=ExitCode.INPUT)
    assert [each["flag"] for each in answer(up, "flag", "list")["data"]["flags"]] == ["entries_percent"]
