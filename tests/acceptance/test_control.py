"""`catalyst control`, `catalyst user repair` and `catalyst feedback` as installed commands."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


def answer(up, *arguments, code=ExitCode.OK) -> dict:
    done = up.run(*arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_halt_is_sent_without_a_question_and_shown_until_it_is_taken_back(up):
    up.add_user("alice", ["signals.fda.*"])
    halt = answer(up, "control", "halt", "--reason", "wrong tickers")["data"]
    assert (halt["verb"], halt["sequence"], halt["user"], halt["before"]) == ("halt", 1, None, None)
    answer(up, "control", "reduce", "--user", "alice", "--reason", "as agreed")
    standing = answer(up, "control", "status")["data"]
    assert (standing["all"]["verb"], standing["all"]["reason"]) == ("halt", "wrong tickers")
    assert standing["users"]["alice"]["sequence"] == 2
    text = up.run("control", "status").stdout
    assert "wrong tickers" in text
    assert "alice" in text

    refused = answer(up, "control", "resume", code=ExitCode.INPUT)
    assert "--yes" in refused["errors"][0]["hint"]
    assert answer(up, "control", "status")["data"]["all"]["verb"] == "halt"
    done = up.run("control", "resume", "--yes")
    assert "resume sent to everybody, sequence 3" in done.stdout
    assert "before: halt" in done.stdout
    assert answer(up, "control", "status")["data"]["all"]["verb"] == "resume"
    audit = answer(up, "audit", "--action", "control")["data"]["entries"]
    assert [each["action"] for each in audit] == ["control halt", "control reduce", "control resume"]


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(up):
    data = answer(up, "control", "halt", "--dry-run")["data"]
    assert (data["dry_run"], data["sequence"], data["subject"]) == (True, None, "control.all.halt")
    assert answer(up, "control", "resume", "--dry-run")["status"] == "ok"
    assert answer(up, "control", "status")["data"] == {"all": None, "users": {}}


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["notice"], "INPUT_INVALID", ExitCode.INPUT),
        (["halt", "--user", "nobody"], "NOT_FOUND", ExitCode.NOT_FOUND),
        (["halt", "--user", "No Body"], "NAME_INVALID", ExitCode.INPUT),
        (["halt", "--reason", "a\x1b[2J"], "INPUT_INVALID", ExitCode.INPUT),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_code(up, arguments, code, status):
    refused = answer(up, "control", *arguments, code=status)
    assert refused["errors"][0]["code"] == code
    assert refused["errors"][0]["hint"]


def test_with_the_server_away_it_says_that_nothing_was_sent(up):
    assert up.stop() == ExitCode.OK
    refused = answer(up, "control", "halt", code=ExitCode.UNREACHABLE)["errors"][0]
    assert "NOTHING was sent and agents keep trading" in refused["message"]
    assert "subscriber-agent halt" in refused["hint"]
    assert answer(up, "control", "status")["data"]["all"] is None


def test_with_a_server_that_hangs_it_gives_up_in_time(up):
    os.kill(up.ready["data"]["nats_pid"], signal.SIGSTOP)
    started = time.monotonic()
    try:
        refused = answer(up, "control", "halt", "--timeout", "1", code=ExitCode.UNREACHABLE)
    finally:
        os.kill(up.ready["data"]["nats_pid"], signal.SIGCONT)
    assert time.monotonic() - started < 10
    assert "agents keep trading" in refused["errors"][0]["message"]


def test_a_friend_who_joins_during_a_halt_gets_it_with_his_place(up):
    answer(up, "control", "halt")
    up.add_user("alice", ["signals.fda.*"])
    assert answer(up, "control", "status")["data"]["all"]["sequence"] == 2
    (alice,) = answer(up, "user", "list")["data"]["users"]
    assert alice["pending"] == 1
    assert [each["action"] for each in answer(up, "audit", "--action", "control")["data"]["entries"]] == [
        "control halt",
        "control repeat",
    ]


def test_a_place_that_is_there_is_moved_only_when_that_is_confirmed(up):
    up.add_user("alice", ["signals.fda.*"])
    for _ in range(3):
        answer(up, "control", "notice", "--reason", "hello")
    there = answer(up, "user", "repair", "alice")["data"]
    assert (there["was_there"], there["start_sequence"], there["done"]) == (True, None, False)
    assert "all is well" in up.run("user", "repair", "alice").stdout
    refused = answer(up, "user", "repair", "alice", "--from", "2", code=ExitCode.INPUT)
    assert "--yes" in refused["errors"][0]["hint"]
    assert answer(up, "user", "repair", "alice", "--from", "2", "--dry-run")["data"]["done"] is False
    assert answer(up, "user", "list")["data"]["users"][0]["pending"] == 3
    moved = answer(up, "user", "repair", "alice", "--from", "2", "--yes")["data"]
    assert (moved["start_sequence"], moved["done"]) == (3, True)
    assert answer(up, "user", "list")["data"]["users"][0]["pending"] == 1


def test_reports_of_nobody_are_an_empty_answer(up):
    assert answer(up, "feedback")["data"] == {"reports": [], "unreadable": 0, "is_cut": False}
    assert "no reports" in up.run("feedback", "--kind", "fill").stdout
    assert answer(up, "feedback", "--kind", "fills", code=ExitCode.INPUT)["errors"][0]["code"] == "INPUT_INVALID"
    assert answer(up, "feedback", "--limit", "0", code=ExitCode.INPUT)["errors"][0]["code"] == "INPUT_INVALID"


def test_a_new_friend_may_begin_in_the_past(up, tmp_path):
    for _ in range(3):
        answer(up, "control", "notice", "--reason", "hello")
    invite = ("--catalysts", "fda", "-o", str(tmp_path / "a.invite"))
    made = answer(up, "user", "invite", "alice", *invite, "--history", "7d")["data"]
    assert made["start_sequence"] == 1
    added = up.run("user", "add", "bob", "--catalysts", "fda", "--history", "all")
    assert "from sequence 1 on" in added.stdout
    assert answer(up, "user", "add", "carol", "--catalysts", "fda")["data"]["start_sequence"] == 4
    waiting = {each["name"]: each["pending"] for each in answer(up, "user", "list")["data"]["users"]}
    assert waiting == {"alice": 3, "bob": 3, "carol": 0}
    refused = answer(up, "user", "add", "dave", "--catalysts", "fda", "--history", "soon", code=ExitCode.INPUT)
    assert refused["errors"][0]["code"] == "INPUT_INVALID"


@pytest.mark.parametrize("command", [["control", "halt"], ["feedback"], ["user", "repair"]])
def test_help_comes_with_an_example(command):
    catalyst = str(Path(sys.executable).with_name("catalyst"))
    done = subprocess.run([catalyst, *command, "--help"], capture_output=True, text=True, check=True)
    assert "Example" in done.stdout
