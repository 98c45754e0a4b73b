"""`catalyst plan` and `catalyst cluster` as an operator runs them."""

from __future__ import annotations

import json
import random
import socket
import subprocess

import pytest
from processes import command_path


def catalyst(*words, timeout_s=60):
    """Run the command; what it answered, and its exit status."""
    done = subprocess.run(
        [command_path("catalyst"), *map(str, words)], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return done


def answer(*words):
    done = catalyst(*words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["data"]


def first_of(count):
    """A port with `count` free ones from it on, and as many behind for the routes."""
    for _ in range(50):
        # Below the range that the system gives to outgoing connections: those come and go all the time.
        first = random.randrange(20_000, 29_000)
        if all(_is_free(first + offset) for offset in range(2 * count)):
            return first
    pytest.fail("no free ports")


def _is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_planner_answers_for_people_and_machines():
    found = answer("plan", "--users", 200, "--signals-per-day", 500)
    assert (found["tier"], found["nodes"], found["consumers"]) == ("100 to 1000", 3, "memory")
    text = catalyst("plan", "--users", 5, "--signals-per-day", 50).stdout
    assert "estimate" in text
    assert "measured" in text
    assert catalyst("plan", "--users", 5000).returncode == 5


def test_three_nodes_run_and_their_streams_are_copied_by_one_command(tmp_path, up_process):
    up = up_process("cluster", "up", "--port", first_of(3), "--data", tmp_path / "data", "--json")
    ready = json.loads(up.stdout.readline())["data"]
    assert list(ready["nodes"]) == ["n1", "n2", "n3"]
    assert len(ready["public"]) == 3
    dry = answer("cluster", "migrate", "--replicas", 1, "--dry-run", "--data", tmp_path / "data")
    assert "SIGNALS" in dry["due"]
    for replicas in (1, 3):
        done = answer("cluster", "migrate", "--replicas", replicas, "--data", tmp_path / "data")
        assert {each["replicas"] for each in done["streams"]} == {replicas}
    assert catalyst("cluster", "migrate", "--replicas", 5, "--data", tmp_path / "data").returncode == 5
    chosen = answer("cluster", "consumers", "--memory-above", 100, "--data", tmp_path / "data")
    assert chosen == {"memory_consumers_above": 100, "users": 0, "in_memory": False}
    up.terminate()
    assert up.wait(30) == 0


def test_folders_for_three_machines_are_written(tmp_path):
    found = answer("cluster", "config", "--hosts", "a.example.org,b.example.org,c.example.org",
                   "-o", tmp_path / "nodes", "--data", tmp_path / "data")  # fmt: skip
    assert found["public"] == ["tls://a.example.org:4222", "tls://b.example.org:4222", "tls://c.example.org:4222"]
    assert (tmp_path / "nodes" / "b.example.org" / "server.conf").exists()


@pytest.fixture
def up_process():
    """Start a long-running command; ended at the test's end."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [command_path("catalyst"), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        process.stdout.close()
