"""The restore drill, with the installed commands and a real agent: nothing lost up to the backup, nothing twice."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import (
    Agents,
    a_signal,
    assert_once_each,
    durable_state,
    envelope,
    journal_of,
    publish,
    refusal,
    run_command,
)

from signal_contract.codec import encode
from signal_contract.errors import ExitCode
from signal_contract.model import Signal


@pytest.fixture
def agents() -> Iterator[Agents]:
    with Agents() as started:
        yield started


def _batch(name: str, count: int) -> list[Signal]:
    return [a_signal(f"T{number}", news=f"{name}-{number}") for number in range(count)]


def _backup(up, path: Path, *more: str, **environment) -> dict:
    done = run_command("catalyst", "backup", "--to", path, "--data", up.data, "--json", *more, **environment)
    return envelope(done)["data"]


def _restored(file: Path, data: Path) -> dict:
    return envelope(run_command("catalyst", "restore", file, "--data", data, "--json"))["data"]


def test_an_agent_goes_on_after_a_restore_as_if_nothing_had_happened(up, start_up, agents, tmp_path):
    config = up.add_user("alice", ["signals.*.*"])
    online = agents.online(config)
    taken = publish(up, *_batch("before", 20))
    online.codes(20)
    online.until(lambda: durable_state(up, "alice") == (0, 0), "all of them acknowledged")
    assert online.stop() == 0
    waiting = publish(up, *_batch("waiting", 30))
    file = tmp_path / "wire.backup"
    facts = _backup(up, file, "--plain")
    assert facts["streams"]["SIGNALS"]["last_sequence"] == 50
    assert {each["level"] for each in facts["findings"]} == {"OK"}
    late = publish(up, *_batch("late", 3))
    assert up.stop() == 0

    place = tmp_path / "elsewhere"
    assert _restored(file, place)["ack_floors"] == {"sub_alice": 20}
    again = start_up(place, up.port)
    try:
        assert durable_state(again, "alice") == (30, 0)
        back = agents(config)
        back.codes(30)
        back.until(lambda: durable_state(again, "alice") == (0, 0), "all of them acknowledged")
        assert_once_each(config, [*taken, *waiting])
        # What the backup lacks comes again from its source; what it has is known, also to the restored stream.
        assert publish(again, *late) == late
        back.codes(33)
        answer = envelope(run_command("catalyst", "publish", _lines(again), "--data", place, "--json"))["data"]
        assert (answer["published"], answer["duplicates"]) == (0, 3)
        assert back.stop() == 0
        assert_once_each(config, [*taken, *waiting, *late])
        assert envelope(run_command("catalyst", "verify", "--data", place, "--json"))["status"] == "ok"
    finally:
        again.stop()


def _lines(up) -> Path:
    return up.data.parent / "signals.jsonl"


def test_an_agent_that_was_ahead_of_the_backup_acts_on_nothing_twice(up, start_up, agents, tmp_path):
    config = up.add_user("alice", ["signals.*.*"])
    online = agents.online(config)
    first = publish(up, *_batch("before", 4))
    online.codes(4)
    file = tmp_path / "wire.backup"
    _backup(up, file, "--plain")
    second = publish(up, *_batch("after", 4))
    online.codes(8)
    online.until(lambda: durable_state(up, "alice") == (0, 0), "all of them acknowledged")
    assert up.stop() == 0

    # The agent keeps running, as a friend's would.
    place = tmp_path / "elsewhere"
    _restored(file, place)
    again = start_up(place, up.port)
    try:
        # A new signal takes a place in the stream that the agent has seen another one at; then the old ones come again.
        fresh = publish(again, a_signal("NEW", news="fresh"))
        publish(again, *second)
        online.until(lambda: durable_state(again, "alice") == (0, 0), "the restored durable is served", 60)
        online.codes(9)
        assert online.stop() == 0
    finally:
        again.stop()
    with journal_of(config) as journal:
        rows = journal.signals(100)
        assert sorted(row.signal_id for row in rows) == sorted(each.signal_id for each in [*first, *second, *fresh])
        orders = [order.intent.order_id for row in rows for order in journal.orders_of(row.signal_id)]
        assert len(set(orders)) == len(orders)
        assert all(len(journal.orders_of(row.signal_id)) <= 1 for row in rows)


def test_what_waited_in_the_outbox_goes_out_after_the_restore(up, start_up, tmp_path):
    publish(up, *_batch("sent", 2))
    assert up.stop() == 0
    path = tmp_path / "more.jsonl"
    path.write_bytes(b"".join(encode(each) + b"\n" for each in _batch("waits", 3)))
    run_command("catalyst", "publish", path, "--data", up.data, "--timeout", "1")
    file, place = tmp_path / "wire.backup", tmp_path / "elsewhere"
    assert _backup(up, file, "--plain")["waiting_in_outbox"] == 3
    _restored(file, place)
    again = start_up(place, up.port)
    try:
        done = envelope(run_command("catalyst", "publish", path, "--data", place, "--json"))["data"]
        assert (done["published"], done["duplicates"], done["waiting"]) == (0, 3, 0)
        answer = envelope(run_command("catalyst", "verify", "--data", place, "--json"))
        assert any("all 5 confirmed signals" in each["text"] for each in answer["data"]["findings"])
    finally:
        again.stop()


def test_a_backup_under_a_passphrase_opens_with_it_alone(up, tmp_path, monkeypatch):
    file = tmp_path / "wire.backup"
    monkeypatch.setenv("CATALYST_BACKUP_PASSPHRASE", "correct horse battery")
    assert _backup(up, file)["checked"] is True
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["key.age", "content.age"]
    assert b"SIGNALS" not in file.read_bytes()
    monkeypatch.setenv("CATALYST_BACKUP_PASSPHRASE", "wrong horse battery")
    refusal(ExitCode.CREDS, "CREDS_INVALID", "catalyst", "verify", "--backup", file)
    monkeypatch.delenv("CATALYST_BACKUP_PASSPHRASE")
    refusal(ExitCode.CREDS, "CREDS_INVALID", "catalyst", "backup", "--to", tmp_path / "x", "--data", up.data)


def test_a_restore_refuses_a_running_wire_and_a_directory_that_is_not_empty(up, tmp_path):
    file, place = tmp_path / "wire.backup", tmp_path / "elsewhere"
    _backup(up, file, "--plain", "--no-check")
    refusal(ExitCode.CONFLICT, "CONFLICT", "catalyst", "backup", "--plain", "--to", file, "--data", up.data)
    refusal(ExitCode.ALREADY_RUNNING, "ALREADY_RUNNING", "catalyst", "restore", file, "--data", place)
    assert not place.exists()
    assert up.stop() == 0
    refusal(ExitCode.CONFLICT, "CONFLICT", "catalyst", "restore", file, "--data", up.data)
