"""A growing file through rotation, truncation and restarts: every whole line once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from publisher.following import Candidate, Place, Route, Turn, place_bytes, place_from, route_from
from publisher.intake.follow import Tail, outcome_of, place_path
from publisher.intake.lines import MAX_LINE_BYTES, Line
from publisher.intake.outcome import Draft, Refused
from publisher.intake.record import Intake
from publisher.intake.watched import Watched
from signal_contract.errors import AlreadyRunning, ConfigInvalid, InputError
from signal_contract.model import Action

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


class Followed:
    """A file, its tail, and what the tail gave; `restart` is a new process after kill -9."""

    def __init__(self, folder: Path, **how: bool) -> None:
        self.path, self.memory = folder / "items.jsonl", folder / "memory" / "place.json"
        self.tail = Tail(self.path, self.memory, **how)
        self.turns: list[Turn] = []

    def write(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def read(self, *, is_remembered: bool = True) -> list[bytes | Refused]:
        """All that is there."""
        found = []
        for _ in range(20):
            batch = self.tail.next()
            if batch.turn:
                self.turns.append(batch.turn)
            found += [line.content for line in batch.lines]
            if is_remembered and batch.lines:
                self.tail.remember(batch.place)
        return found

    def restart(self, **how: bool) -> None:
        self.tail.close()
        self.tail = Tail(self.path, self.memory, **how)


@pytest.fixture
def followed(tmp_path: Path):
    one = Followed(tmp_path)
    yield one
    one.tail.close()


def test_a_partial_last_line_waits_for_its_newline(followed: Followed):
    followed.write('{"a": 1}\n{"b"')
    assert followed.read() == [b'{"a": 1}']
    followed.write(": 2}")
    assert followed.read() == []
    followed.write("\n")
    assert followed.read() == [b'{"b": 2}']


def test_a_file_that_is_not_there_yet_is_waited_for(followed: Followed):
    assert followed.read() == []
    followed.write("one\n")
    assert followed.read() == [b"one"]


def test_rotation_reads_the_old_file_to_its_end_and_then_the_new_one(followed: Followed):
    followed.write("one\n")
    assert followed.read() == [b"one"]
    rotated = followed.path.rename(followed.path.with_name("items.jsonl.1"))
    with rotated.open("a", encoding="utf-8") as file:
        file.write("two\n")
    assert followed.read() == [b"two"]
    with rotated.open("a", encoding="utf-8") as file:
        file.write("three\nfour")
    followed.write("five\n")
    assert followed.read() == [b"three", b"four", b"five"]
    assert followed.turns == [Turn.ROTATED]


def test_truncation_begins_at_the_beginning_also_when_it_has_grown_past_the_place(followed: Followed):
    followed.write("one\ntwo\n")
    assert followed.read() == [b"one", b"two"]
    followed.path.write_text("a\n")
    assert followed.read() == [b"a"]
    followed.path.write_text("a longer one\nanother\n")
    assert followed.read() == [b"a longer one", b"another"]
    assert followed.turns == [Turn.TRUNCATED, Turn.TRUNCATED]


def test_after_a_restart_it_goes_on_where_it_was_remembered(followed: Followed):
    followed.write("one\n")
    assert followed.read() == [b"one"]
    followed.write("two\n")
    assert followed.read(is_remembered=False) == [b"two"]
    followed.restart()
    followed.write("three\n")
    assert followed.read() == [b"two", b"three"]


def test_two_rotations_between_two_looks_lose_nothing(followed: Followed):
    followed.write("one\n")
    assert followed.read() == [b"one"]
    for number, line in ((1, "two\n"), (2, "three\n"), (3, "four\n")):
        followed.path.rename(followed.path.with_name(f"items.jsonl.{number}"))
        followed.write(line)
    followed.path.rename(followed.path.with_name("items.jsonl.4"))
    assert followed.read() == [b"two", b"three", b"four"]
    followed.write("five\n")
    assert followed.read() == [b"five"]


def test_rotations_while_nobody_followed_are_read_in_their_order(followed: Followed):
    followed.write("one\n")
    assert followed.read() == [b"one"]
    followed.tail.close()
    followed.write("two\n")
    followed.path.rename(followed.path.with_name("items.jsonl.2"))
    followed.write("three\n")
    followed.path.rename(followed.path.with_name("items.jsonl.1"))
    followed.write("four\n")
    followed.restart()
    assert followed.read() == [b"two", b"three", b"four"]
    assert followed.turns[0] is Turn.ROTATED


def test_a_file_that_is_gone_is_told_and_the_current_one_read_from_its_beginning(followed: Followed):
    followed.write("one\ntwo\n")
    followed.read()
    followed.tail.close()
    # Not unlinked before the other one exists: its inode must not come back.
    other = followed.path.with_name("other")
    other.write_text("three\nfour\nfive\n")
    other.replace(followed.path)
    followed.restart()
    assert followed.read() == [b"three", b"four", b"five"]
    assert followed.turns == [Turn.LOST]


def test_another_file_under_the_same_inode_is_noticed(followed: Followed):
    followed.write("one\n")
    followed.read()
    followed.tail.close()
    followed.path.write_text("uno\nduo\n")  # same inode, same length of the first line
    followed.restart()
    assert followed.read() == [b"uno", b"duo"]


def test_from_the_end_only_what_comes_is_read_and_a_partial_line_is_not_lost(tmp_path: Path):
    followed = Followed(tmp_path)
    followed.write("one\ntw")
    followed.restart(from_end=True)
    assert followed.read() == []
    followed.write("o\n")
    assert followed.read() == [b"two"]
    followed.restart(from_start=True)
    assert followed.read() == [b"one", b"two"]
    followed.tail.close()


def test_an_endless_line_is_refused_and_the_next_one_read(followed: Followed):
    followed.write("x" * (2 * MAX_LINE_BYTES))
    assert followed.read() == []
    followed.write("xx\nnext\n")
    (refused, following) = followed.read()
    assert isinstance(refused, Refused)
    assert refused.code == "LINE_TOO_LONG"
    assert following == b"next"


class Story:
    """What is done to a followed file, and which lines must have come."""

    def __init__(self, folder: Path) -> None:
        self.followed = Followed(folder)
        self.written: list[str] = []
        self.seen: list[bytes | Refused] = []
        self.rotations = 0
        self.is_open = False

    def line(self) -> None:
        self.part()
        self.end()

    def part(self) -> None:
        if not self.is_open:
            self.written.append(f"l{len(self.written)}")
            self.followed.write(self.written[-1])
            self.is_open = True

    def end(self) -> None:
        if self.is_open:
            self.followed.write("\n")
            self.is_open = False

    def blank(self) -> None:
        if not self.is_open:
            self.followed.write("\n \n")

    def rotate(self) -> None:
        if not self.is_open and self.followed.path.exists():
            self.rotations += 1
            self.followed.path.rename(self.followed.path.with_name(f"items.jsonl.{self.rotations}"))
            self.read()  # it takes what is there before the next one

    def read(self) -> None:
        self.seen += self.followed.read()

    def restart(self) -> None:
        self.followed.restart()


STEPS = st.lists(st.sampled_from(["line", "part", "end", "rotate", "read", "restart", "blank"]), max_size=40)


@settings(max_examples=40)
@example(["rotate", "line", "rotate"])
@given(STEPS)
def test_whatever_happens_each_line_comes_once_and_in_order(tmp_path_factory: pytest.TempPathFactory, steps: list[str]):
    story = Story(tmp_path_factory.mktemp("followed"))
    for step in ["line", "read", *steps, "end", "line", "read"]:
        getattr(story, step)()
    story.followed.tail.close()
    assert [each.decode() for each in story.seen] == story.written


def test_places_survive_their_file_and_damaged_ones_are_refused():
    place = Place(3, 20, 10, "ab")
    assert place_from(place_bytes(place, "x"), "x") == place
    for wrong in (b"", b"{}", b"[]", b'{"inode":1,"offset":-1,"line_at":0,"digest":""}', b"\xff"):
        with pytest.raises(ConfigInvalid):
            place_from(wrong, "x")


def test_the_route_without_any_file_waits():
    assert route_from(Place(1, 5, 0, "x"), None, []) == Route((), 0, Turn.LOST)
    assert route_from(Place(1, 5, 0, "x"), Candidate("f", 1, 3, 0), []).turn is Turn.TRUNCATED


def watched_lines(watched: Watched) -> list[str]:
    found = []
    for _ in range(5):
        for tail, batch in watched.next():
            tail.remember(batch.place)
            found += [line.content.decode() for line in batch.lines if isinstance(line.content, bytes)]
    return found


def test_a_directory_takes_every_file_that_appears_also_while_nobody_watched(tmp_path: Path):
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "old.jsonl").write_text("old\n")
    with Watched(folder, tmp_path / "memory") as watched:
        assert watched_lines(watched) == []
        (folder / "a.jsonl").write_text("a1\na2\n")
        (folder / "no.txt").write_text("no\n")
        assert watched_lines(watched) == ["a1", "a2"]
    (folder / "b.jsonl").write_text("b1\n")
    with (folder / "old.jsonl").open("a") as old:
        old.write("new\n")
    with Watched(folder, tmp_path / "memory") as watched:
        assert watched_lines(watched) == ["b1", "new"]


def test_a_dropped_file_without_a_last_newline_is_taken_once_it_is_still(tmp_path: Path):
    now = [0.0]
    with Watched(tmp_path, tmp_path / "memory", clock=lambda: now[0]) as watched:
        (tmp_path / "a.jsonl").write_text('{"a": 1}')
        (tmp_path / "b.jsonl").write_text('{"a": ')
        assert watched_lines(watched) == []
        now[0] = 3.0
        assert watched_lines(watched) == ['{"a": 1}']


def test_two_processes_do_not_follow_the_same_file(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    with Watched(path, tmp_path / "memory"), pytest.raises(AlreadyRunning), Watched(path, tmp_path / "memory"):
        pass
    with pytest.raises(InputError):
        Watched(tmp_path / "none" / "a.jsonl", tmp_path / "memory")
    assert place_path(tmp_path, path) != place_path(tmp_path, tmp_path)


def test_a_line_of_an_old_events_file_is_an_accepted_item_with_its_news_time():
    event = {
        "id": "a" * 40,
        "source": "prnewswire",
        "title": "Acme wins",
        "link": "https://example.com/a",
        "ts": "2026-03-02T14:00:00+00:00",
        "ticker": "ACME",
        "cls": {"sentiment": 0.4, "keywords": ["fda"], "score": 1.2},
        "price": 3.2,
    }
    content = json.dumps(event).encode()
    outcome = outcome_of(Line(1, content, len(content)), Intake(NOW))
    assert isinstance(outcome, Draft)
    signal = outcome.signal
    assert (signal.news.id, signal.action, signal.meta["shape"]) == ("a" * 40, Action.WATCH, "events")
    assert signal.news.published_at == datetime(2026, 3, 2, 14, tzinfo=UTC)


@given(st.binary(max_size=60))
def test_no_line_makes_it_raise(content: bytes):
    outcome_of(Line(1, content, len(content)), Intake(NOW))
