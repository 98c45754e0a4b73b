"""`catalyst publish --follow`, `--approve` and `catalyst intake serve` as processes against `catalyst up`."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from processes import a_signal, command_path, envelope, refusal, run_command, with_link

from publisher.outbox import Outbox
from signal_contract.codec import encode
from signal_contract.link import Link
from signal_contract.model import Signal

Line = dict[str, Any]
TITLE = "Acme Pharma wins approval of its new drug for rare disease"


class Lines:
    """A command that reports JSON lines, as a process; a thread collects them."""

    def __init__(self, up: Any, *words: object, **environment: str) -> None:
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self.stderr = up.data.parent / "lines.stderr"
        command = [command_path("catalyst"), *map(str, words), "--json", "--data", str(up.data)]
        with self.stderr.open("a", encoding="utf-8") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | environment
            )
        self._reader = threading.Thread(target=self._read, name="lines", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                with self._changed:
                    self.lines.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def until(self, kind: str, count: int = 1, **facts: object) -> list[Line]:
        """Wait for this many lines of a type with these facts."""

        def found() -> list[Line]:
            return [each for each in list(self.lines) if {"type": kind, **facts}.items() <= each.items()]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= count or not self._reader.is_alive(), 30)
        said = self.stderr.read_text(encoding="utf-8")[-2000:]
        assert len(found()) >= count, f"not within 30 s: {count} × {kind} {facts}: {self.lines[-5:]} {said}"
        return found()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        status = self.process.wait(30)
        self._reader.join(30)
        assert "Traceback" not in self.stderr.read_text(encoding="utf-8")
        return status


@pytest.fixture
def lines_of() -> Iterator[Callable[..., Lines]]:
    started: list[Lines] = []

    def start(up: Any, *words: object, **environment: str) -> Lines:
        started.append(Lines(up, *words, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.ended()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bot"
    made.mkdir()
    return made


def append(path: Path, *signals: Signal) -> None:
    with path.open("ab") as file:
        file.write(b"".join(encode(each) + b"\n" for each in signals))


def stored(up: Any) -> int:
    async def ask(link: Link) -> int:
        return int((await link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["messages"])

    return int(with_link(up, "admin", ask))


def kept(up: Any) -> int:
    with Outbox.open(up.data / "publisher" / "outbox.sqlite") as outbox:
        counts = outbox.counts()
        return counts.pending + counts.stored


def several(count: int, start: int = 0) -> list[Signal]:
    return [a_signal(f"T{n}", news=f"news {n}") for n in range(start, start + count)]


def with_source(one: Signal, source: str) -> Signal:
    return one.model_copy(update={"news": one.news.model_copy(update={"source": source, "title": TITLE})})


# Following -----------------------------------------------------------------------------------------------------


def test_what_is_appended_goes_out_over_rotation_and_truncation(up: Any, folder: Path, lines_of: Any) -> None:
    items = folder / "accepted_items.jsonl"
    append(items, *several(1))
    following = lines_of(up, "publish", "--follow", items)
    following.until("following")
    append(items, *several(2, 1))
    with items.open("ab") as file:
        file.write(b"{oops\n")
    following.until("signal", 2, code="ACCEPTED")
    following.until("refused", code="NOT_JSON")
    items.rename(folder / "accepted_items.jsonl.1")
    append(items, *several(2, 3))
    following.until("turn", turn="rotated")
    following.until("signal", 4, code="ACCEPTED")
    items.write_bytes(encode(several(1, 5)[0]) + b"\n")
    following.until("turn", turn="truncated")
    following.until("signal", 5, code="ACCEPTED")
    assert following.stop() == 0
    (stopped,) = following.until("stopped")
    assert (stopped["counts"], stored(up)) == ({"ACCEPTED": 5, "refused": 1}, 5)


def test_from_start_takes_what_is_there_and_a_second_run_adds_nothing(up: Any, folder: Path, lines_of: Any) -> None:
    items = folder / "items.jsonl"
    append(items, *several(3))
    for code in ("ACCEPTED", "DUPLICATE"):
        following = lines_of(up, "publish", "--follow", items, "--from-start")
        following.until("signal", 3, code=code)
        assert following.stop() == 0
    assert kept(up) == 3


@pytest.mark.parametrize("edge", ["outbox.uncommitted", "outbox.committed", "follow.submitted"])
def test_killed_at_any_edge_it_neither_loses_nor_doubles(up: Any, folder: Path, lines_of: Any, edge: str) -> None:
    items = folder / "items.jsonl"
    items.touch()
    first = lines_of(up, "publish", "--follow", items, CATALYST_STOP_AT=f"{edge}:2")
    first.until("following")
    append(items, *several(2))
    first.until("signal", 2)
    append(items, *several(3, 2))
    assert first.ended() == -signal.SIGKILL
    append(items, *several(2, 5))
    second = lines_of(up, "publish", "--follow", items)
    second.until("signal", 5)
    assert second.stop() == 0
    assert (kept(up), stored(up)) == (7, 7)


def test_every_file_that_appears_in_a_directory_goes_out(up: Any, folder: Path, lines_of: Any) -> None:
    following = lines_of(up, "publish", "--follow", folder)
    following.until("following")
    append(folder / "a.jsonl", *several(1))
    append(folder / "b.jsonl", *several(1, 1))
    following.until("signal", 2, code="ACCEPTED")
    busy = refusal(17, "ALREADY_RUNNING", "catalyst", "publish", "--follow", folder, "--data", up.data)
    assert "another process" in busy
    assert following.stop() == 0


def test_the_cap_holds_for_live_sources_of_two_processes_and_spares_exits(up: Any, folder: Path, lines_of: Any) -> None:
    (up.data / "publisher" / "guard.json").write_text('{"max_per_minute": 3}')
    paths = [folder / "a.jsonl", folder / "b.jsonl"]
    both = [lines_of(up, "publish", "--follow", path) for path in paths]
    for each in both:
        each.until("following")
    append(paths[0], *several(2))
    both[0].until("signal", 2, code="ACCEPTED")
    append(paths[1], *several(3, 2), a_signal("EXIT", action="close", news="exit"))
    assert [each["code"] for each in both[1].until("signal", 4)] == [
        "ACCEPTED",
        "RATE_CAPPED",
        "RATE_CAPPED",
        "ACCEPTED",
    ]
    assert [each.stop() for each in both] == [0, 0]


def test_wrong_limits_stop_it_with_every_mistake(up: Any, folder: Path) -> None:
    (up.data / "publisher" / "guard.json").write_text('{"max_per_minute": 0, "cap": 1}')
    said = refusal(4, "CONFIG_INVALID", "catalyst", "publish", "--follow", folder, "--data", up.data)
    assert "max_per_minute" in said
    assert "cap" in said


# publish -------------------------------------------------------------------------------------------------------


def test_the_same_news_of_two_sources_goes_out_once(up: Any, folder: Path) -> None:
    first = with_source(a_signal(news="one"), "prnewswire")
    later = with_source(a_signal(news="two"), "globenewswire")
    append(folder / "items.jsonl", first, later)
    for published, duplicates in ((1, 0), (0, 1)):
        answer = envelope(run_command("catalyst", "publish", folder / "items.jsonl", "--data", up.data, "--json"))
        data = answer["data"]
        assert (answer["exit_code"], data["published"], data["duplicates"]) == (0, published, duplicates)
        assert [(each["line"], each["code"]) for each in data["kept_back"]] == [(2, "MERGED")]
    shown = envelope(run_command("catalyst", "signal", "show", first.signal_id, "--data", up.data, "--json"))
    assert shown["data"]["revisions"][0]["signal"]["meta"]["also_from"] == "globenewswire"


def test_a_pipe_over_the_cap_is_partial_and_named(up: Any) -> None:
    (up.data / "publisher" / "guard.json").write_text('{"max_per_minute": 2}')
    text = b"".join(encode(each) + b"\n" for each in several(3)).decode()
    done = run_command("catalyst", "publish", "-", "--data", up.data, "--json", input=text)
    answer = envelope(done)
    assert (answer["exit_code"], answer["data"]["published"], answer["errors"][0]["code"]) == (3, 2, "RATE_CAPPED")


def test_held_signals_go_out_on_approval_only(up: Any, folder: Path) -> None:
    items = folder / "items.jsonl"
    yes, no, other = several(3)
    append(items, yes, no, other)
    publish = ("catalyst", "publish", items, "--approve", "--data", up.data, "--json")
    answer = envelope(run_command(*publish))
    assert [each["code"] for each in answer["data"]["kept_back"]] == ["HELD"] * 3
    assert stored(up) == 0
    home = ("--data", up.data, "--json")
    waiting = envelope(run_command("catalyst", "held", *home))["data"]["held"]
    assert {each["signal_id"] for each in waiting} == {yes.signal_id, no.signal_id, other.signal_id}
    approved = envelope(run_command("catalyst", "approve", yes.signal_id[:12], *home))["data"]["approved"]
    assert (approved[0]["is_new"], approved[0]["is_waiting"], stored(up)) == (True, False, 1)
    assert envelope(run_command("catalyst", "reject", no.signal_id, *home))["data"]["rejected"]
    again = envelope(run_command(*publish))
    codes = {each["signal_id"]: each["code"] for each in again["data"]["kept_back"]}
    assert codes == {no.signal_id: "REJECTED", other.signal_id: "HELD"}
    assert (again["data"]["published"], again["data"]["duplicates"]) == (0, 1)
    assert len(envelope(run_command("catalyst", "held", *home))["data"]["held"]) == 1
    assert "is held" in refusal(6, "NOT_FOUND", "catalyst", "approve", yes.signal_id, "--data", up.data)
    (file,) = (up.data / "publisher" / "held").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_held_signal_expires_unsent(up: Any, folder: Path) -> None:
    old = a_signal(news="old", age_s=3 * 3600)
    append(folder / "items.jsonl", old)
    run_command("catalyst", "publish", folder / "items.jsonl", "--approve", "--data", up.data)
    assert "has expired" in refusal(7, "CONFLICT", "catalyst", "approve", old.signal_id, "--data", up.data)
    answer = envelope(run_command("catalyst", "held", "--data", up.data, "--json"))["data"]
    assert ([each["signal_id"] for each in answer["expired"]], answer["held"]) == ([old.signal_id], [])
    assert stored(up) == 0


# HTTP ----------------------------------------------------------------------------------------------------------


def post(port: int, token: str, body: bytes) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/signals", body, {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_signals_over_http_are_answered_one_by_one_and_reach_the_stream(up: Any, lines_of: Any) -> None:
    serving = lines_of(up, "intake", "serve", "--port", "0")
    port = serving.until("serving")[0]["port"]
    token_file = up.data / "publisher" / "intake.token"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    token = token_file.read_text().strip()
    one, two = several(2)
    status, answer = post(port, token, b"\n".join([encode(one), b"{oops", encode(two)]))
    assert (status, [each["code"] for each in answer["results"]]) == (200, ["ACCEPTED", "NOT_JSON", "ACCEPTED"])
    assert post(port, token, encode(one))[1]["results"][0]["code"] == "DUPLICATE"
    assert post(port, "wrong", encode(one))[0] == 401
    assert serving.stop() == 0
    serving.until("stopped")
    assert stored(up) == 2


# Views ---------------------------------------------------------------------------------------------------------


def test_tail_shows_what_goes_out_and_folds_heartbeats(up: Any, folder: Path, lines_of: Any) -> None:
    tail = lines_of(up, "tail", "--filter", "signals.fda.*")
    tail.until("status", state="up")
    fda = a_signal("FDAA", news="fda", catalyst="fda", catalysts=["fda"])
    other = a_signal("OTHR", news="other", catalyst="uplisting", catalysts=["uplisting"])
    append(folder / "items.jsonl", other, fda)
    run_command("catalyst", "publish", folder / "items.jsonl", "--data", up.data)
    (shown,) = tail.until("signal")
    assert (shown["ticker"], shown["signal_id"]) == ("FDAA", fda.signal_id)
    run_command("catalyst", "control", "halt", "--reason", "a test", "--data", up.data)
    tail.until("control", verb="halt")
    assert tail.stop() == 0
    assert "not a filter" in refusal(5, "SUBJECT_INVALID", "catalyst", "tail", "--filter", "x", "--data", up.data)


def test_tail_shows_nothing_that_the_publisher_has_not_signed(up: Any, lines_of: Any) -> None:
    tail = lines_of(up, "tail")
    tail.until("status")
    forged = a_signal("EVIL")

    async def forge(link: Link) -> None:
        await link.publish(forged.subject, encode(forged), headers={"Catalyst-Signature": "bm8="})
        await link.flush()

    with_link(up, "publisher", forge)
    assert tail.until("untrusted")[0]["code"] == "SIGNATURE_INVALID"
    assert tail.stop() == 0
    assert not [each for each in tail.lines if each["type"] == "signal"]


def test_stats_count_the_outbox_and_draw_it(up: Any, folder: Path) -> None:
    append(folder / "items.jsonl", *several(3), a_signal("X", news="x", action="close"))
    run_command("catalyst", "publish", folder / "items.jsonl", "--data", up.data)
    png = folder / "stats.png"
    data = envelope(run_command("catalyst", "stats", "--png", png, "--data", up.data, "--json"))["data"]
    assert (data["total"], sum(data["by_hour_utc"]), data["by_action"]) == (4, 4, {"buy": 3, "close": 1})
    assert png.read_bytes().startswith(b"\x89PNG")
    text = run_command("catalyst", "stats", "--since", "1d", "--data", up.data).stdout
    assert "4 signals in the last 1d" in text
    assert "█" in text
