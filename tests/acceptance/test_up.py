"""`catalyst up` and `catalyst user` as installed commands."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from signal_admin.server.orphan import orphan_of
from signal_contract.errors import ExitCode
from signal_contract.resources import resource_path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


def test_up_answers_with_one_json_line_and_stops_cleanly(up):
    assert up.ready["status"] == "ok"
    assert up.ready["data"]["url"] == up.url
    assert up.ready["data"]["pid"] == up.pid
    assert up.stop() == ExitCode.OK
    assert not (up.data / "server.json").exists()
    assert orphan_of(up.data / "nats-server.pid", up.data / "server.conf") is None


def test_ctrl_c_stops_in_order(up):
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(15) == ExitCode.OK


def test_a_second_ctrl_c_kills_a_server_that_hangs(up):
    os.kill(up.ready["data"]["nats_pid"], signal.SIGSTOP)
    stderr = up.data.parent / f"up-{up.port}.stderr"
    up.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 5
    while "Ctrl-C again" not in stderr.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(8) == ExitCode.INTERRUPTED
    assert orphan_of(up.data / "nats-server.pid", up.data / "server.conf") is None


def test_a_server_that_is_killed_is_back_under_the_same_address(up):
    os.kill(up.ready["data"]["nats_pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    record = up.data / "server.json"
    while json.loads(record.read_text())["nats_pid"] == up.ready["data"]["nats_pid"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert up.run("user", "add", "alice", "--catalysts", "fda", "--json").returncode == ExitCode.OK
    assert json.loads(record.read_text())["url"] == up.url


def test_a_user_is_added_and_listed(up):
    done = up.run("user", "add", "alice", "--catalysts", "fda,M&A", "--expires", "90d", "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)["data"]
    assert answer["filters"] == ["signals.acquisition.*", "signals.fda.*", "signals.merger.*"]
    assert answer["durable"] == "ready"
    listed = json.loads(up.run("user", "list", "--json").stdout)["data"]["users"]
    assert [(each["name"], each["online"], each["pending"]) for each in listed] == [("alice", False, 0)]
    text = up.run("user", "list").stdout
    assert "alice" in text
    assert "offline" in text


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["alice"], "SUBJECT_INVALID", ExitCode.INPUT),
        (["Alice", "--catalysts", "fda"], "NAME_INVALID", ExitCode.INPUT),
        (["alice", "--catalysts", "fdaa"], "CATALYST_UNKNOWN", ExitCode.INPUT),
        (["alice", "--filter", "signals.>", "--expires", "soon"], "INPUT_INVALID", ExitCode.INPUT),
        (["alice", "--filter", "$JS.>"], "SUBJECT_INVALID", ExitCode.INPUT),
    ],
)
def test_a_user_that_cannot_be_is_refused_with_a_code(up, arguments, code, status):
    done = up.run("user", "add", *arguments, "--json")
    answer = json.loads(done.stdout)
    assert (answer["errors"][0]["code"], done.returncode) == (code, status)
    assert answer["errors"][0]["hint"]
    assert not list((up.data / "users").iterdir())


def test_the_same_name_twice_is_a_conflict(up):
    up.add_user("alice", ["signals.fda.*"])
    assert up.run("user", "add", "alice", "--catalysts", "fda").returncode == ExitCode.CONFLICT


def test_a_second_up_names_the_first(up):
    done = up.run("up", "--port", "-1", "--json")
    assert done.returncode == ExitCode.ALREADY_RUNNING
    assert str(up.pid) in json.loads(done.stdout)["errors"][0]["message"]


def test_after_kill_9_of_up_the_next_one_stops_the_orphan_and_goes_on(up, start_up):
    up.add_user("alice", ["signals.fda.*"])
    up.kill()
    orphan = orphan_of(up.data / "nats-server.pid", up.data / "server.conf")
    assert orphan is not None
    again = start_up(up.data, up.port)
    try:
        said = (up.data.parent / f"up-{up.port}.stderr").read_text()
        assert f"still running (pid {orphan}); stopping it" in said
        assert again.ready["data"]["nats_pid"] != orphan
        assert "alice" in again.run("user", "list").stdout
    finally:
        assert again.stop() == ExitCode.OK


def test_commands_without_a_data_directory_say_what_to_do(tmp_path):
    command = [sys.executable, "-c", "from signal_admin.cli import main; main()", "user", "list"]
    done = subprocess.run([*command, "--data", str(tmp_path), "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.NOT_FOUND
    assert "catalyst up" in json.loads(done.stdout)["errors"][0]["hint"]


def test_what_waits_in_the_outbox_goes_out_with_the_server_unless_it_shall_not(up, start_up):
    up.add_user("alice", ["signals.*.*"])
    assert up.stop() == ExitCode.OK
    sample = resource_path("config/samples/catalyst_bot_signals.jsonl")
    assert up.run("publish", str(sample), "--timeout", "1").returncode != ExitCode.OK
    silent = start_up(up.data, up.port, "--no-relay")
    assert _waiting(silent) == 0
    assert silent.stop() == ExitCode.OK
    again = start_up(up.data, up.port)
    try:
        deadline = time.monotonic() + 15
        while _waiting(again) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _waiting(again) > 0
    finally:
        assert again.stop() == ExitCode.OK


def _waiting(up) -> int:
    (alice,) = json.loads(up.run("user", "list", "--json").stdout)["data"]["users"]
    return int(alice["pending"])


def test_catalysts_are_listed(tmp_path):
    command = [sys.executable, "-c", "from signal_admin.cli import main; main()", "catalysts", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["data"]["catalysts"]
    assert {"name": "fda", "stance": "buy", "aliases": ["fda_approval"]} in rows
