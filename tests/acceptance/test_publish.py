"""`catalyst publish` as a process against `catalyst up` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from publisher.entry import Counts
from publisher.outbox import Outbox
from signal_contract.resources import resource_path

_RESEARCH = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "catalyst_bot_signals.jsonl"
_SAMPLE = "config/samples/catalyst_bot_signals.jsonl"


@pytest.fixture(name="bare")
def _bare(data_dir: Path, start_up: Callable[..., Any]) -> Iterator[Any]:
    """`catalyst up` that sends nothing by itself."""
    running = start_up(data_dir, None, "--no-relay")
    yield running
    running.stop()


def publish(up: Any, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit status and data of `catalyst publish … --json`."""
    done = up.run("publish", *map(str, arguments), "--json", timeout_s=100)
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode, done.stderr
    return done.returncode, answer


def sample_lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in resource_path(_SAMPLE).read_text(encoding="utf-8").splitlines()]


def many_records(path: Path, count: int) -> Path:
    """A file of `count` different buy records."""
    record = sample_lines()[0]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            record["news_item"]["id"] = f"item-{number}"
            file.write(json.dumps(record) + "\n")
    return path


def pending(up: Any, name: str) -> int:
    """How many messages wait for a user, as `catalyst user list` tells."""
    done = up.run("user", "list", "--json")
    (row,) = [each for each in json.loads(done.stdout)["data"]["users"] if each["name"] == name]
    return int(row["pending"])


def test_research_file_publishes_151_and_drops_75(up: Any) -> None:
    if not _RESEARCH.exists():
        pytest.skip("the research data is not beside this checkout")
    up.add_user("alice", ["signals.>"])
    code, answer = publish(up, _RESEARCH)
    data = answer["data"]
    with _RESEARCH.open(encoding="utf-8") as file:
        reasons = Counter(json.loads(line)["no_signal_reason"] for line in file)
    reasons.pop(None)
    assert (code, data["published"], data["duplicates"], data["refused"]) == (0, 151, 0, [])
    assert data["dropped"] == {"total": 75, "by_reason": dict(reasons.most_common())}
    assert pending(up, "alice") == 151


def test_second_publish_adds_nothing(up: Any) -> None:
    up.add_user("alice", ["signals.>"])
    _, first = publish(up, resource_path(_SAMPLE))
    code, second = publish(up, resource_path(_SAMPLE))
    assert first["data"]["published"] == 25
    assert (code, second["data"]["published"], second["data"]["duplicates"]) == (0, 0, 25)
    assert pending(up, "alice") == 25


def test_bad_lines_are_named_and_do_not_hold_up_the_others(up: Any, tmp_path: Path) -> None:
    good, other, naive, wildcard, negative = (sample_lines()[n] for n in (0, 1, 2, 3, 5))
    naive["trading_signal"]["timestamp"] = "2026-03-02T14:25:00"
    wildcard["trading_signal"]["ticker"] = "A >"
    negative["trading_signal"]["current_price"] = "-1"
    own = json.loads(resource_path("config/samples/signal.v1.json").read_bytes()) | {"catalyst": "fdaa"}
    text = [json.dumps(each) for each in (good, naive, wildcard, negative, own)]
    lines = [*(line.encode() for line in text), b"", b"{oops", b'{"a": NaN}', b'{"a": "\xff"}', b"x" * 1_200_000]
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"\n".join([*lines, json.dumps(other).encode()]))
    code, answer = publish(up, bad)
    assert code == 3
    assert answer["status"] == "partial"
    assert answer["data"]["published"] == 2
    assert {each["line"]: each["code"] for each in answer["data"]["refused"]} == {
        2: "TIME_NAIVE",
        3: "TICKER_INVALID",
        4: "PRICE_INVALID",
        5: "CATALYST_UNKNOWN",
        7: "NOT_JSON",
        8: "NOT_JSON",
        9: "NOT_UTF8",
        10: "LINE_TOO_LONG",
    }
    said = up.run("publish", str(bad))
    assert said.returncode == 3
    assert "line 2: TIME_NAIVE" in said.stdout
    assert "did you mean 'fda'?" in said.stdout
    assert "LINES_REFUSED" in said.stderr


def test_array_file_is_refused_with_a_way_out(up: Any, tmp_path: Path) -> None:
    array = tmp_path / "array.json"
    array.write_text(json.dumps(sample_lines()), encoding="utf-8")
    code, answer = publish(up, array)
    assert code == 5
    assert "jq" in answer["errors"][0]["hint"]


def test_pipe_is_published_line_by_line(up: Any) -> None:
    up.add_user("alice", ["signals.>"])
    command = [str(Path(sys.executable).with_name("catalyst")), "publish", "-", "--data", str(up.data), "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(sample_lines()[0]) + "\n")
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while pending(up, "alice") == 0:  # it is there although the pipe is still open
            assert time.monotonic() < deadline
        process.stdin.write(json.dumps(sample_lines()[1]) + "\n")
        output, _ = process.communicate(timeout=30)
    assert json.loads(output)["data"]["published"] == 2


def test_drill_goes_out_beside_the_real_signals(up: Any) -> None:
    up.add_user("alice", ["signals.>"])
    publish(up, resource_path(_SAMPLE))
    code, answer = publish(up, resource_path(_SAMPLE), "--drill")
    assert (code, answer["data"]["published"], answer["data"]["drill"]) == (0, 25, True)
    assert pending(up, "alice") == 50


def test_dry_run_sends_and_keeps_nothing(up: Any) -> None:
    up.add_user("alice", ["signals.>"])
    code, answer = publish(up, resource_path(_SAMPLE), "--dry-run")
    assert (code, answer["data"]["would_publish"], len(answer["data"]["signals"])) == (0, 25, 25)
    assert pending(up, "alice") == 0
    with Outbox.open(up.data / "publisher" / "outbox.sqlite") as outbox:
        assert outbox.counts() == Counts(0, 0)


def _outbox_stored(up: Any) -> int:
    import sqlite3

    path = up.data / "publisher" / "outbox.sqlite"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return int(connection.execute("SELECT count(*) FROM outbox WHERE state = 'stored'").fetchone()[0])
    except sqlite3.OperationalError:  # the table is not there yet
        return 0
    finally:
        connection.close()


def test_killed_publish_is_finished_by_the_next_one(bare: Any, tmp_path: Path) -> None:
    up = bare  # nothing but publish sends here
    up.add_user("alice", ["signals.>"])
    file = many_records(tmp_path / "many.jsonl", 1500)
    command = [str(Path(sys.executable).with_name("catalyst")), "publish", str(file), "--data", str(up.data)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while _outbox_stored(up) < 50:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait(10)
    before = pending(up, "alice")
    assert 50 <= before < 1500
    code, answer = publish(up, file)
    assert (code, answer["data"]["waiting"]) == (0, 0)
    assert answer["data"]["published"] + answer["data"]["duplicates"] == 1500
    assert answer["data"]["published"] == 1500 - before
    assert pending(up, "alice") == 1500


@pytest.mark.parametrize(("edge", "kept"), [("outbox.uncommitted", 0), ("outbox.committed", 25)])
def test_killed_at_an_edge_of_submit_keeps_all_or_nothing(bare: Any, edge: str, kept: int) -> None:
    command = [str(Path(sys.executable).with_name("catalyst")), "publish", str(resource_path(_SAMPLE))]
    environment = os.environ | {"CATALYST_STOP_AT": edge, "CATALYST_DATA": str(bare.data)}
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == -signal.SIGKILL
    with Outbox.open(bare.data / "publisher" / "outbox.sqlite") as outbox:
        assert outbox.counts() == Counts(kept, 0)
        assert outbox.replaced == []
    code, answer = publish(bare, resource_path(_SAMPLE))
    assert (code, answer["data"]["waiting"]) == (0, 0)
    with Outbox.open(bare.data / "publisher" / "outbox.sqlite") as outbox:
        assert outbox.counts() == Counts(0, 25)


def test_server_away_keeps_signals_for_the_next_publish(bare: Any, tmp_path: Path) -> None:
    bare.add_user("alice", ["signals.>"])
    bare.stop()
    code, answer = publish(bare, resource_path(_SAMPLE), "--timeout", "1")
    assert (code, answer["data"]["waiting"], answer["data"]["published"]) == (10, 25, 0)
    assert "25 signals are safe in the outbox and go out at the next publish" in answer["errors"][0]["message"]
    again = type(bare).start(bare.data, bare.port, "--no-relay")
    try:
        empty = tmp_path / "empty.jsonl"
        empty.touch()
        code, answer = publish(again, empty)
        assert (code, answer["data"]["from_earlier"], answer["data"]["waiting"]) == (0, 25, 0)
        assert pending(again, "alice") == 25
    finally:
        again.stop()


def test_what_waits_goes_out_by_itself_when_the_server_is_back(up: Any) -> None:
    up.add_user("alice", ["signals.>"])
    up.stop()
    publish(up, resource_path(_SAMPLE), "--timeout", "0.5")
    again = type(up).start(up.data, up.port)
    try:
        deadline = time.monotonic() + 30
        while pending(again, "alice") < 25:
            assert time.monotonic() < deadline
    finally:
        again.stop()


def test_directory_without_up_says_what_to_run_first(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("catalyst")), "publish", str(resource_path(_SAMPLE))]
    done = subprocess.run([*command, "--data", str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 6
    assert "catalyst up" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file_is_named(up: Any, tmp_path: Path) -> None:
    code, answer = publish(up, tmp_path / "nowhere.jsonl")
    assert code == 6
    assert "nowhere.jsonl" in answer["errors"][0]["message"]
