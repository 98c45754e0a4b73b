"""What cannot be used is refused with a code, a hint and an exit status, as text and as JSON, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import (
    Agents,
    a_signal,
    envelope,
    refusal,
    run_command,
    with_link,
    with_settings,
)

from signal_admin.server.binary import find_binary
from signal_contract.codec import encode
from signal_contract.errors import ExitCode

AGENT = ("subscriber-agent", "run", "--config")


@pytest.fixture(name="agents")
def _agents() -> Iterator[Agents]:
    """`agents(config)` starts an agent; whatever still runs is ended with the test."""
    with Agents() as started:
        yield started


# What is published --------------------------------------------------------------------------------------------------

BAD_LINES = {
    "NOT_JSON": lambda text: text[:-20],
    "SCHEMA_TOO_NEW": lambda text: text.replace('"schema_version":1', '"schema_version":2'),
    "SHAPE_UNKNOWN": lambda text: '{"hello": "world"}',
    "NOT_AN_OBJECT": lambda text: "[1, 2]",
}
BAD_FIELDS: list[dict[str, Any]] = [
    {"ticker": "AA PL"},
    {"ticker": ">"},
    {"ticker": "aapl"},
    {"confidence": "NaN"},
    {"confidence": "1.01"},
    {"published_at": "2026-01-02T14:30:00"},
    {"reference_price": "-5.00"},
    {"reference_price": "1e999999999"},
    {"reference_price": 5.0},
    {"expires_at": None},
    {"bypass": True},
]


def test_each_bad_line_is_named_by_number_and_code_and_the_good_one_goes_out(up: Any, tmp_path: Path) -> None:
    good = encode(a_signal()).decode()
    document = json.loads(good)
    lines = [
        *(spoil(good) for spoil in BAD_LINES.values()),
        *(json.dumps(document | fields) for fields in BAD_FIELDS),
        json.dumps(document | {"catalyst": "fad"}),
        json.dumps(document | {"score": float("nan")}),
        good,
    ]
    expected = [*BAD_LINES, *["SCHEMA_INVALID"] * len(BAD_FIELDS), "CATALYST_UNKNOWN", "NOT_JSON"]
    file = tmp_path / "bad.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    answer = envelope(run_command("catalyst", "publish", file, "--data", up.data, "--json"))
    assert answer["exit_code"] == ExitCode.PARTIAL
    assert answer["data"]["published"] == 1
    assert [each["code"] for each in answer["data"]["refused"]] == expected
    assert [each["line"] for each in answer["data"]["refused"]] == list(range(1, len(lines)))
    assert answer["errors"][0]["code"] == "LINES_REFUSED"
    assert answer["errors"][0]["hint"]
    as_text = run_command("catalyst", "publish", file, "--data", up.data)
    assert as_text.returncode == ExitCode.PARTIAL
    for number, code in enumerate(expected, start=1):
        assert f"line {number}: {code}" in as_text.stdout


# The agent's config -------------------------------------------------------------------------------------------------


def _config(folder: Path, text: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_misspelt_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    config = _config(tmp_path, run_command("subscriber-agent", "config", "example").stdout + "  min_confidense: 0.8\n")
    for words in (("run",), ("config", "check")):
        message = refusal(ExitCode.CONFIG, "CONFIG_INVALID", "subscriber-agent", *words, "--config", config)
        assert "risk.min_confidense: is not a setting; did you mean 'min_confidence'?" in message


def test_all_mistakes_of_a_config_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        'servers: ["nats://198.51.100.7:4222"]\n'
        "creds: alice.creds\n"
        "publisher_key: secret\n"
        "mode: fast\n"
        "colour: red\n"
        "risk:\n"
        "  min_confidence: 1.5\n"
        "  max_open_positions: many\n"
        "  fixed_usd: .nan\n",
    )
    message = refusal(ExitCode.CONFIG, "CONFIG_INVALID", "subscriber-agent", "config", "check", "--config", config)
    assert "has 7 mistakes" in message
    named = {int(line.split(":")[1]): line for line in message.splitlines()[1:]}
    assert sorted(named) == [1, 3, 4, 5, 7, 8, 9]
    assert "clear text" in named[1]
    assert "colour" in named[5]
    assert "0 to 1" in named[7]


@pytest.mark.parametrize(("text", "said"), [("servers: [", "line 1"), ("- a list\n", ""), ("a: 1\na: 2\n", "a")])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str, said: str) -> None:
    config = _config(tmp_path, text)
    message = refusal(ExitCode.CONFIG, "CONFIG_INVALID", "subscriber-agent", "config", "check", "--config", config)
    assert said in message or f"{config}:" in message


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refusal(ExitCode.NOT_FOUND, "NOT_FOUND", *AGENT, tmp_path / "nowhere.yaml")
    assert "nowhere.yaml" in message


# Credentials --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="file modes are as on POSIX")
def test_creds_that_are_missing_readable_by_others_or_of_another_role_are_refused(up: Any) -> None:
    alice = up.add_user("alice", ["signals.*.*"])
    creds = alice.with_suffix(".creds")
    creds.chmod(0o644)
    assert "can be read by others" in refusal(ExitCode.CREDS, "CREDS_INVALID", *AGENT, alice)
    creds.chmod(0o600)
    publisher = up.data / "publisher" / "publisher.creds"
    message = refusal(ExitCode.CREDS, "CREDS_INVALID", *AGENT, alice, "--creds", publisher)
    assert "publisher" in message
    assert "subscriber credentials are needed" in message
    creds.write_text(creds.read_text(encoding="utf-8")[:-200], encoding="utf-8")
    assert "not a creds file" in refusal(ExitCode.CREDS, "CREDS_INVALID", *AGENT, alice)
    creds.unlink()
    assert "does not exist" in refusal(ExitCode.CREDS, "CREDS_INVALID", *AGENT, alice)


def test_creds_of_another_operator_are_denied(up: Any, start_up: Any, tmp_path: Path) -> None:
    alice = up.add_user("alice", ["signals.*.*"])
    (tmp_path / "other").mkdir()
    other = start_up(tmp_path / "other" / "data")
    try:
        stranger = other.add_user("alice", ["signals.*.*"]).with_suffix(".creds")
        before = time.monotonic()
        refusal(ExitCode.DENIED, "DENIED", *AGENT, alice, "--creds", stranger, "--connect-timeout", "60")
        assert time.monotonic() - before < 40, "a refusal is known at once, it is not tried for the whole time-out"
    finally:
        other.stop()


# The server ---------------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_ends_it_within_the_time_allowed(up: Any) -> None:
    alice = up.add_user("alice", ["signals.*.*"])
    assert up.stop() == ExitCode.OK
    before = time.monotonic()
    message = refusal(ExitCode.UNREACHABLE, "SERVER_UNREACHABLE", *AGENT, alice, "--connect-timeout", "1")
    assert time.monotonic() - before < 15  # two runs, on a busy machine
    assert up.url in message


def test_a_durable_that_was_deleted_is_named(up: Any) -> None:
    alice = up.add_user("alice", ["signals.*.*"])

    async def delete(link: Any) -> None:
        await link.api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")

    with_link(up, "admin", delete)
    refusal(ExitCode.DURABLE_MISSING, "DURABLE_MISSING", *AGENT, alice)


def test_a_durable_that_is_deleted_while_it_runs_ends_it_with_its_own_status(up: Any, agents: Any) -> None:
    agent = agents.online(up.add_user("alice", ["signals.*.*"]))

    async def delete(link: Any) -> None:
        await link.api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")

    with_link(up, "admin", delete)
    assert agent.ended(30) == ExitCode.DURABLE_MISSING
    assert agent.lines[-1]["errors"][0]["code"] == "DURABLE_MISSING"


def test_a_server_without_the_stream_is_told_from_one_that_is_away(up: Any, tmp_path: Path) -> None:
    """The port now belongs to some other nats-server: it answers, but has no stream and no durable."""
    alice = up.add_user("alice", ["signals.*.*"])
    file = tmp_path / "one.jsonl"
    file.write_bytes(encode(a_signal()) + b"\n")
    assert up.stop() == ExitCode.OK
    log = tmp_path / "plain.log"
    command = [str(find_binary(None)), "-a", "127.0.0.1", "-p", str(up.port), "-l", str(log)]
    with subprocess.Popen(command) as plain:
        try:
            _wait_for_text(log, "Server is ready")
            message = refusal(ExitCode.STREAM_MISSING, "STREAM_MISSING", "catalyst", "publish", file, "--data", up.data)
            assert "safe in the outbox" in message
            refusal(ExitCode.STREAM_MISSING, "STREAM_MISSING", *AGENT, alice)
        finally:
            plain.terminate()


def _wait_for_text(path: Path, text: str) -> None:
    deadline = time.monotonic() + 10
    while not (path.exists() and text in path.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline


def test_a_config_that_pins_another_publisher_acts_on_nothing(up: Any, agents: Any) -> None:
    alice = up.add_user("alice", ["signals.*.*"])
    with_settings(alice, publisher_key=f"ed25519:{'A' * 43}")
    file = alice.with_name("one.jsonl")
    file.write_bytes(encode(a_signal()) + b"\n")
    assert up.run("publish", str(file)).returncode == 0
    agent = agents(alice, "--until-drained")
    assert agent.ended() == ExitCode.OK
    assert [line["code"] for line in agent.of("parked")] == ["SIGNATURE_INVALID"]
    assert agent.of("decision") == []


def test_a_place_that_cannot_hold_a_journal_is_named(up: Any, tmp_path: Path) -> None:
    alice = up.add_user("alice", ["signals.*.*"])
    (tmp_path / "file").touch()
    with_settings(alice, data=str(tmp_path / "file" / "data"))
    assert "cannot use" in refusal(ExitCode.STORAGE, "STORAGE_FAILED", *AGENT, alice)


def test_a_journal_that_is_no_journal_is_kept_and_named(up: Any) -> None:
    alice = up.add_user("alice", ["signals.*.*"])
    data = alice.with_name("alice-data")
    data.mkdir()
    (data / "journal.sqlite").write_bytes(b"these are not the bytes of a journal" * 100)
    refusal(ExitCode.STORAGE, "STORAGE_FAILED", *AGENT, alice)
    refusal(ExitCode.STORAGE, "STORAGE_FAILED", "subscriber-agent", "status", "--config", alice)
    assert (data / "journal.sqlite").read_bytes().startswith(b"these are not")


# The command line ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("subscriber-agent", "runn"),
        ("subscriber-agent", "explain"),
        ("subscriber-agent", "signals", "--limit", "none"),
        ("catalyst", "publsh"),
        ("catalyst", "publish"),
        ("catalyst", "user", "add"),
    ],
)
def test_a_command_line_that_is_not_understood_ends_with_2(words: tuple[str, ...]) -> None:
    as_text = run_command(*words)
    assert as_text.returncode == ExitCode.USAGE
    assert as_text.stdout == ""
    assert "Usage: " in as_text.stderr
    answer = envelope(run_command(*words, "--json"))
    assert answer["exit_code"] == ExitCode.USAGE
    assert answer["errors"][0]["code"] == "USAGE"
    assert answer["errors"][0]["hint"]


def test_an_error_names_the_command_and_not_its_arguments(tmp_path: Path) -> None:
    done = run_command("subscriber-agent", "explain", "3f9a", "--config", tmp_path / "none.yaml", "--json")
    assert envelope(done)["command"] == "subscriber-agent explain"
    done = run_command("catalyst", "user", "list", "--data", tmp_path, "--json")
    assert envelope(done)["command"] == "catalyst user list"
