"""A damaged outbox: moved aside, named, begun anew with what can be read and proven; a full disk leaves it whole."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from publisher.entry import Counts, Entry, Receipt, Replaced, Submitted, entry_from
from publisher.outbox import Outbox
from signal_contract.codec import signal_id_from
from signal_contract.errors import ExitCode, StorageFailed
from signal_contract.model import Signal
from signal_contract.resources import resource_path
from signal_contract.signing import Signer

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
SIGNER = Signer.generate()
PAGE = 4096


def entry(number: int) -> Entry:
    """A real signed entry."""
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    news = {**document["news"], "id": f"news-{number}"}
    signal = Signal.model_validate_json(json.dumps({**document, "news": news}))
    own_id = signal_id_from(f"news-{number}", signal.ticker, signal.action)
    return entry_from(signal.model_copy(update={"signal_id": own_id}), SIGNER)


def filled(path: Path, count: int, stored: int = 0) -> list[Entry]:
    """An outbox with `count` entries, the first `stored` of them in the stream; closed."""
    entries = [entry(number) for number in range(count)]
    with Outbox.open(path) as outbox:
        outbox.submit_many(entries, now=NOW)
        for number, each in enumerate(entries[:stored]):
            outbox.confirm(Receipt(each.message_id, number + 1, is_duplicate=False), now=NOW)
    return entries


def overwritten(path: Path, offset: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(what)


def leaf_page_of(path: Path, needle: bytes) -> int:
    """The offset of the page that holds a text."""
    return path.read_bytes().index(needle) // PAGE * PAGE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "publisher" / "outbox.sqlite"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: overwritten(path, 0, b"my diary, not a database\n" * 8),
        lambda path: path.write_bytes(b"my diary, not a database\n" * 100),
        lambda path: path.write_bytes(path.read_bytes()[: PAGE * 5]),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        lambda path: overwritten(path, leaf_page_of(path, b"news-20"), b"\xff" * PAGE),
    ],
    ids=["header", "another file", "truncated", "cut in the first page", "emptied", "a page in the middle"],
)
def test_damaged_file_is_moved_aside_and_a_new_one_begun(path: Path, damage: Callable[[Path], None]) -> None:
    filled(path, 40)
    damage(path)
    before = path.read_bytes()
    with Outbox.open(path) as outbox:
        (replaced,) = outbox.replaced
        assert replaced.kept_as.name.startswith("outbox.sqlite.damaged-2")
        assert replaced.kept_as.read_bytes() == before
        assert outbox.submit(entry(99), now=NOW).is_new
        assert outbox.pending(100)[-1] == entry(99)
    assert replaced.error.exit_code is ExitCode.PARTIAL
    assert str(replaced.kept_as) in replaced.error.message
    with Outbox.open(path) as again:
        assert again.replaced == []
        assert again.pending(100)[-1] == entry(99)


def test_what_can_be_read_is_carried_over_in_its_order(path: Path) -> None:
    entries = filled(path, 40, stored=5)
    overwritten(path, leaf_page_of(path, b"news-20"), b"\xff" * PAGE)
    with Outbox.open(path) as outbox:
        (replaced,) = outbox.replaced
        carried = outbox.pending(100)
        assert replaced.salvaged == len(carried) + 5
        assert (replaced.pending, replaced.dropped) == (len(carried), 0)
        assert len(carried) >= 25
        assert [each for each in entries if each in carried] == list(carried)
        assert outbox.counts() == Counts(len(carried), 5)
        assert outbox.receipt(entries[3].message_id) == Receipt(entries[3].message_id, 4, is_duplicate=False)


def test_row_that_was_changed_on_the_disk_is_never_carried_over(path: Path) -> None:
    entries = filled(path, 4)
    connection = sqlite3.connect(path)
    forged = entries[1].payload.replace(b'"buy"', b'"sell"')
    connection.execute("UPDATE outbox SET payload = ? WHERE message_id = ?", (forged, entries[1].message_id))
    connection.execute(
        "UPDATE outbox SET message_id = 'x' || message_id WHERE message_id = ?", (entries[2].message_id,)
    )
    connection.commit()
    connection.close()
    with Outbox.open(path) as outbox:
        outbox.condemn("said so")
        assert outbox.pending(10) == (entries[0], entries[3])
        assert (outbox.replaced[0].dropped, outbox.replaced[0].reason) == (2, "said so")


def test_damage_found_while_it_is_open_loses_no_submit(path: Path) -> None:
    entries = filled(path, 40)
    with Outbox.open(path) as outbox:
        overwritten(path, PAGE, b"\xff" * PAGE * 60)
        path.write_bytes(path.read_bytes()[:PAGE])
        assert outbox.submit(entry(99), now=NOW) == Submitted(entry(99).message_id, is_new=True)
        assert len(outbox.replaced) == 1
    with Outbox.open(path) as outbox:
        assert outbox.pending(100)[-1] == entry(99)
        assert set(outbox.pending(100)) <= {*entries, entry(99)}


def test_another_process_that_moved_the_file_is_followed(path: Path) -> None:
    filled(path, 3)
    with Outbox.open(path) as one, Outbox.open(path) as other:
        one.condemn("damage that one has found")
        assert other.submit(entry(50), now=NOW).is_new
        assert other.replaced == []
        assert one.pending(10)[-1] == entry(50)
        assert len(one.pending(10)) == 4
    assert len(list(path.parent.glob("*.damaged-*Z"))) == 1


def test_file_that_vanished_is_made_again(path: Path) -> None:
    with Outbox.open(path) as outbox:
        for each in path.parent.glob("outbox.sqlite*"):
            each.unlink()
        outbox.submit(entry(1), now=NOW)
    with Outbox.open(path) as outbox:
        assert outbox.pending(10) == (entry(1),)


def test_two_processes_that_open_a_damaged_file_move_it_once(path: Path) -> None:
    filled(path, 5)
    overwritten(path, 0, b"\x00" * 100)
    program = (
        "import sys; from pathlib import Path; from publisher.outbox import Outbox\n"
        "with Outbox.open(Path(sys.argv[1])) as outbox: print(len(outbox.replaced))\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    moved = [int(each.communicate(timeout=60)[0]) for each in processes]
    assert sorted(moved) == [0, 0, 1]
    assert len(list(path.parent.glob("outbox.sqlite.damaged-*Z"))) == 1


def test_newer_versions_file_is_left_alone(path: Path) -> None:
    filled(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageFailed, match="newer"):
        Outbox.open(path)
    assert list(path.parent.glob("*.damaged-*")) == []


def test_full_disk_at_the_replacement_leaves_the_damage_to_be_found_again(path: Path) -> None:
    filled(path, 40)
    overwritten(path, leaf_page_of(path, b"news-20"), b"\xff" * PAGE)
    with pytest.raises(StorageFailed, match="full"):
        Outbox.open(path, max_bytes=30_000)
    with Outbox.open(path) as outbox:
        assert outbox.replaced[0].pending >= 25


def test_full_disk_at_a_replacement_while_it_is_open_is_got_over(path: Path) -> None:
    entries = filled(path, 40)
    with Outbox.open(path) as outbox:
        outbox._max_bytes = 30_000
        with pytest.raises(StorageFailed, match="full"):
            outbox.condemn("damage")
        outbox._max_bytes = None
        assert outbox.pending(100) == tuple(entries)
        assert list(path.parent.glob("*.damaged-*")) == []


def test_really_full_disk_refuses_clearly_and_works_again_with_space(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs a mount of its own")
    program = (
        "import sys, subprocess; from datetime import UTC, datetime; from pathlib import Path\n"
        "from publisher.entry import Entry; from publisher.outbox import Outbox; from signal_contract.errors import *\n"
        "root = Path(sys.argv[1]); subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=512k', 'none', root])\n"
        "def entry(n, size): return Entry(f'id{n}.1', 's', b'x' * size, 'c2ln')\n"
        "now = datetime.now(UTC); outbox = Outbox.open(root / 'outbox.sqlite'); outbox.submit(entry(0, 10), now=now)\n"
        "ballast = root / 'ballast'; ballast.write_bytes(b'x' * 100_000)\n"
        "try: outbox.submit_many([entry(n, 50_000) for n in range(1, 20)], now=now)\n"
        "except StorageFailed as error: assert 'nothing was half written' in error.message, error.message\n"
        "else: raise SystemExit('it should have been full')\n"
        "assert [e.message_id for e in outbox.pending(99)] == ['id0.1']; ballast.unlink()\n"
        "assert outbox.submit(entry(1, 1000), now=now).is_new; outbox.close()\n"
        "with Outbox.open(root / 'outbox.sqlite') as again:\n"
        "    assert [e.message_id for e in again.pending(99)] == ['id0.1', 'id1.1'] and not again.replaced\n"
    )
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("this system allows no mount of its own")
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Rows that stay, and what is found among them ------------------------------------------------------------------


def test_first_versions_file_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE,"
        " subject TEXT NOT NULL, payload BLOB NOT NULL, signature TEXT NOT NULL, submitted_at TEXT NOT NULL,"
        " state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'stored')), sequence INTEGER,"
        " is_duplicate INTEGER, stored_at TEXT, CHECK ((state = 'stored') = (sequence IS NOT NULL))) STRICT"
    )
    connection.execute("CREATE INDEX outbox_pending ON outbox (position) WHERE state = 'pending'")
    old = entry(1)
    connection.execute(
        "INSERT INTO outbox (message_id, subject, payload, signature, submitted_at) VALUES (?, ?, ?, ?, ?)",
        (old.message_id, old.subject, old.payload, old.signature, NOW.isoformat()),
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    with Outbox.open(path) as outbox:
        assert outbox.pending(10) == (replace(old, signed_by=""),)
        assert len(outbox.revisions(old.message_id[:6])) == 1
        assert outbox.submit(entry(2), now=NOW).is_new
        assert outbox.replaced == []


def test_revisions_are_found_by_the_beginning_of_the_id(path: Path) -> None:
    first, other = entry(1), entry(2)
    second = replace(first, message_id=first.message_id.replace(".1", ".2"))
    with Outbox.open(path) as outbox:
        outbox.submit_many([second, first, other], now=NOW)
        found = outbox.revisions(first.message_id[:8])
        assert [each.entry for each in found] == [first, second]
        assert outbox.revisions("zz") == ()
        latest = outbox.latest(since=NOW, limit=10)
        assert [each.entry for each in latest] == [other, second]
        assert outbox.latest(since=NOW + timedelta(seconds=1), limit=10) == ()


def test_only_what_is_old_and_has_left_the_stream_is_pruned(path: Path) -> None:
    entries = filled(path, 4, stored=3)
    with Outbox.open(path) as outbox:
        assert outbox.prune(before=NOW, first_sequence=100) == 0
        assert outbox.prune(before=NOW + timedelta(days=1), first_sequence=2) == 1
        assert outbox.submit(entries[0], now=NOW).is_new
        assert not outbox.submit(entries[1], now=NOW).is_new
        assert outbox.prune(before=NOW + timedelta(days=1), first_sequence=100) == 2
        assert outbox.pending(10) == (entries[3], entries[0])


def test_replacement_is_said_with_what_to_do_next() -> None:
    error = Replaced(Path("outbox.sqlite.damaged-x"), "its table is gone", 7, 3, 2).error
    assert error.code == "OUTBOX_REPLACED"
    assert all(part in error.message for part in ("its table is gone", "7 of its signals", "3 of them", "2 could not"))
    assert "Publish the source" in error.hint
