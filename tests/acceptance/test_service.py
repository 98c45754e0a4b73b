"""`subscriber-agent service` on this machine: written, shown, removed; never started by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from agent_process import answer
from processes import command_path, run_command, with_settings

from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="user units are of Linux")


@pytest.fixture
def config(up, tmp_path, monkeypatch):
    """Alice's config, in a home of her own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [each for each in os.environ if each.startswith("SUBSCRIBER_AGENT")]:
        monkeypatch.delenv(name)
    return up.add_user("alice", ["signals.*.*"])


def test_a_service_is_written_shown_and_removed_and_never_started(config, tmp_path):
    path = tmp_path / "home/.config/systemd/user/subscriber-agent-alice.service"
    dry = answer("service", "install", "--config", config, "--dry-run")["data"]
    assert (dry["path"], dry["changed"], path.exists()) == (str(path), False, False)
    done = answer("service", "install", "--config", config)["data"]
    assert done["changed"]
    assert "systemctl --user enable --now subscriber-agent-alice" in done["begin"]
    assert path.read_text() == answer("service", "show", "--config", config)["data"]["content"]
    assert str(config) in path.read_text()
    found = answer("service", "status", "--config", config)["data"]
    assert (found["is_installed"], found["is_current"], found["is_running"]) == (True, True, None)
    assert answer("service", "install", "--config", config)["data"]["changed"] is False
    path.write_text("[Service]\n")
    answer("service", "install", "--config", config, status=ExitCode.CONFLICT)
    assert answer("service", "install", "--config", config, "--replace")["data"]["changed"]
    assert answer("service", "uninstall", "--config", config)["data"]["changed"]
    assert not path.exists()
    answer("service", "uninstall", "--config", config, status=ExitCode.NOT_FOUND)


@pytest.mark.parametrize("manager", ["launchd", "windows"])
def test_the_other_systems_are_shown_here_and_written_there(config, manager):
    data = answer("service", "show", "--for", manager, "--config", config)["data"]
    assert "alice" in data["content"]
    assert data["manager"] == manager


def test_what_this_terminal_says_is_not_taken_over_and_that_is_said(config):
    done = answer("service", "install", "--config", config, "--dry-run", SUBSCRIBER_AGENT__RISK__MAX_OPEN_POSITIONS="5")
    assert any("SUBSCRIBER_AGENT__RISK__MAX_OPEN_POSITIONS" in each for each in done["data"]["notes"])
    shown = answer("service", "show", "--config", config, SUBSCRIBER_AGENT__RISK__MAX_OPEN_POSITIONS="5")["data"][
        "content"
    ]
    assert "MAX_OPEN_POSITIONS" not in shown


def test_mode_live_is_told_what_it_still_needs_and_nothing_gives_it(config):
    with_settings(config, mode="live")
    done = answer("service", "install", "--config", config, SUBSCRIBER_AGENT_LIVE="yes")["data"]
    assert any("SUBSCRIBER_AGENT_LIVE=yes" in each for each in done["notes"])
    shown = answer("service", "show", "--config", config, SUBSCRIBER_AGENT_LIVE="yes")["data"]["content"]
    assert "SUBSCRIBER_AGENT_LIVE" not in shown


def test_what_is_kept_ends_where_a_person_must_look(config):
    with_settings(config, mode="yes please")
    done = run_command("subscriber-agent", "service", "keep", "--config", config)
    assert done.returncode == ExitCode.CONFIG
    assert "not started again" in done.stderr


def test_what_is_kept_stops_in_order(config):
    command = [command_path("subscriber-agent"), "service", "keep", "--config", str(config)]
    keeper = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert keeper.stderr is not None
        for line in keeper.stderr:
            if "LIVE" in line or "connected" in line:
                break
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(30) == ExitCode.OK
    finally:
        keeper.kill()
        keeper.wait(10)
        if keeper.stderr is not None:
            keeper.stderr.close()


def test_the_answer_is_one_json_document(config):
    done = run_command("subscriber-agent", "service", "status", "--config", config, "--json")
    assert json.loads(done.stdout)["command"] == "subscriber-agent service status"
