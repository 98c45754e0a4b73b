"""Server, relay and agent as systemd starts them: ready when they work, alive while it is proven, stopping in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from agent_process import Running, waited
from notify_socket import Listener
from processes import command_path

from signal_admin.server.orphan import orphan_of
from signal_contract.errors import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="systemd is of Linux")

_ALIVE = "WATCHDOG=1"


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.close()


@pytest.fixture
def managed_up(listener, start_up, data_dir):
    """`catalyst up` as a service, with a watchdog of 2 s."""
    with listener.managing(watchdog_s=2):
        running = start_up(data_dir)
    yield running
    running.stop()
    if (pid := orphan_of(data_dir / "nats-server.pid", data_dir / "server.conf")) is not None:
        os.kill(pid, signal.SIGKILL)


def _health(up, *more):
    return up.run("health", "--json", *more)


def test_the_server_is_ready_after_a_round_trip_and_stops_in_order(listener, managed_up):
    listener.until("READY=1\nSTATUS=serving, stream at 0")
    listener.until(_ALIVE)
    done = waited(lambda: (found := _health(managed_up)).returncode == 0 and found, what="healthy")
    assert json.loads(done.stdout)["data"]["age_s"] < 10
    assert managed_up.stop() == ExitCode.OK
    listener.until("STOPPING=1")
    assert _health(managed_up).returncode == ExitCode.NOT_FOUND


def test_a_server_that_hangs_is_not_called_alive(listener, managed_up):
    listener.until(_ALIVE)
    nats_pid = managed_up.ready["data"]["nats_pid"]
    os.kill(nats_pid, signal.SIGSTOP)
    try:
        listener.until_silent(_ALIVE, for_s=2)
        assert _health(managed_up, "--max-age", "1").returncode == ExitCode.UNREACHABLE
    finally:
        os.kill(nats_pid, signal.SIGCONT)
    listener.until(_ALIVE)


def test_without_a_manager_the_server_is_proven_only_when_that_is_asked_for(up, start_up):
    assert _health(up).returncode == ExitCode.NOT_FOUND
    assert up.stop() == ExitCode.OK
    again = start_up(up.data, up.port, "--health")
    try:
        waited(lambda: _health(again).returncode == 0, what="healthy")
    finally:
        assert again.stop() == ExitCode.OK


def test_the_agent_is_ready_when_connected_and_alive_while_signals_would_come(listener, up, tmp_path):
    config = up.add_user("alice", ["signals.*.*"])
    with listener.managing(watchdog_s=1):
        agent = Running.start(config, tmp_path)
    try:
        listener.until("READY=1\nSTATUS=connected as alice")
        listener.until("STATUS=LIVE: signals flow")
        listener.until(_ALIVE)
        assert agent.stop() == ExitCode.OK
        listener.until("STOPPING=1")
    finally:
        agent.process.kill()


def test_an_absent_server_is_no_reason_to_end_the_agent_and_a_deaf_one_is(listener, up, tmp_path):
    config = up.add_user("alice", ["signals.*.*"])
    with listener.managing(watchdog_s=1):
        agent = Running.start(config, tmp_path)
    try:
        listener.until(_ALIVE)
        assert up.stop() == ExitCode.OK
        listener.until("STATUS=CUT: no connection to the server")
        # Nobody takes a connection: a restart would mend nothing, and stop what looks after positions.
        listener.until(_ALIVE)
        with socket.create_server(("127.0.0.1", up.port)):
            # Now somebody does, and says nothing: it may be us.
            listener.until_silent(_ALIVE, for_s=3)
        listener.until(_ALIVE)
    finally:
        agent.process.kill()
        agent.process.wait(10)


def test_the_relay_is_alive_with_the_server_and_without_it(listener, up, start_up):
    assert up.stop() == ExitCode.OK
    silent = start_up(up.data, up.port, "--no-relay")
    try:
        with listener.managing(watchdog_s=1):
            relay = subprocess.Popen([command_path("catalyst"), "relay", "--data", str(up.data)])
        try:
            listener.until("READY=1")
            listener.until("STATUS=publisher up")
            listener.until(_ALIVE)
            relay.terminate()
            assert relay.wait(20) == ExitCode.OK
            listener.until("STOPPING=1")
        finally:
            relay.kill()
    finally:
        silent.stop()
