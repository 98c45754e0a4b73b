"""The durable queue: what is submitted once is there, in order, once."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from publisher.entry import Counts, Entry, Receipt, Submitted
from publisher.outbox import Outbox
from signal_contract.errors import StorageFailed

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)


def entry(number: int, size: int = 10) -> Entry:
    return Entry(f"id{number}.1", f"signals.fda.T{number}", b"x" * size, "c2ln")


def ids(outbox: Outbox) -> list[str]:
    return [each.message_id for each in outbox.pending(1000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "publisher" / "outbox.sqlite"


def test_submitted_entry_survives_reopening(path: Path) -> None:
    with Outbox.open(path) as outbox:
        assert outbox.submit(entry(1), now=NOW) == Submitted("id1.1", is_new=True)
    with Outbox.open(path) as outbox:
        assert outbox.pending(10) == (entry(1),)


def test_submitted_entry_survives_a_kill(path: Path) -> None:
    program = (
        "import os, sys; from datetime import UTC, datetime; from pathlib import Path;"
        "from publisher.outbox import Entry, Outbox;"
        "Outbox.open(Path(sys.argv[1])).submit(Entry('id1.1', 's', b'p', 'c2ln'), now=datetime.now(UTC));"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 9
    with Outbox.open(path) as outbox:
        assert ids(outbox) == ["id1.1"]


def test_known_message_id_is_kept_once(path: Path) -> None:
    with Outbox.open(path) as outbox:
        outbox.submit(entry(1), now=NOW)
        assert outbox.submit(entry(1, size=99), now=NOW) == Submitted("id1.1", is_new=False)
        assert outbox.pending(10) == (entry(1),)


def test_stored_message_id_stays_known(path: Path) -> None:
    with Outbox.open(path) as outbox:
        outbox.submit(entry(1), now=NOW)
        outbox.confirm(Receipt("id1.1", 7, is_duplicate=False), now=NOW)
        assert not outbox.submit(entry(1), now=NOW).is_new
        assert outbox.counts() == Counts(pending=0, stored=1)


def test_pending_keeps_the_order_of_submission(path: Path) -> None:
    with Outbox.open(path) as outbox:
        outbox.submit_many([entry(n) for n in (5, 3, 9)], now=NOW)
        outbox.submit(entry(1), now=NOW)
        outbox.confirm(Receipt("id3.1", 1, is_duplicate=False), now=NOW)
        assert ids(outbox) == ["id5.1", "id9.1", "id1.1"]
        assert len(outbox.pending(2)) == 2


def test_receipt_is_kept(path: Path) -> None:
    with Outbox.open(path) as outbox:
        outbox.submit(entry(1), now=NOW)
        assert outbox.receipt("id1.1") is None
        outbox.confirm(Receipt("id1.1", 42, is_duplicate=True), now=NOW)
        assert outbox.receipt("id1.1") == Receipt("id1.1", 42, is_duplicate=True)
        assert outbox.receipt("unknown.1") is None


def test_first_receipt_counts(path: Path) -> None:
    with Outbox.open(path) as outbox:
        outbox.submit(entry(1), now=NOW)
        outbox.confirm(Receipt("id1.1", 42, is_duplicate=False), now=NOW)
        outbox.confirm(Receipt("id1.1", 42, is_duplicate=True), now=NOW)
        assert outbox.receipt("id1.1") == Receipt("id1.1", 42, is_duplicate=False)


def test_file_is_for_its_owner_only(path: Path) -> None:
    with Outbox.open(path) as outbox:
        outbox.submit(entry(1), now=NOW)
        for each in path.parent.glob("outbox.sqlite*"):
            assert stat.S_IMODE(each.stat().st_mode) & 0o077 == 0, each


def test_commits_are_synced_to_disk(path: Path) -> None:
    with Outbox.open(path) as outbox:
        assert outbox._rows("PRAGMA journal_mode") == [("wal",)]
        assert outbox._rows("PRAGMA synchronous") == [(2,)]


def test_full_disk_keeps_all_of_a_batch_or_nothing(path: Path) -> None:
    with Outbox.open(path, max_bytes=64 * 1024) as outbox:
        outbox.submit(entry(1), now=NOW)
        with pytest.raises(StorageFailed, match="full") as caught:
            outbox.submit_many([entry(n, size=20_000) for n in range(2, 10)], now=NOW)
        assert "disk" in caught.value.hint.lower()
        assert ids(outbox) == ["id1.1"]
        assert outbox.submit(entry(2), now=NOW).is_new


def test_newer_schema_is_refused(path: Path) -> None:
    Outbox.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageFailed, match="newer"):
        Outbox.open(path)


def test_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StorageFailed):
        Outbox.open(path)


def test_several_processes_may_submit_at_once(path: Path) -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path;"
        "from publisher.outbox import Entry, Outbox\n"
        "with Outbox.open(Path(sys.argv[1])) as outbox:\n"
        "    for n in range(20): outbox.submit(Entry(f'id{n}.1', 's', b'p', 'c2ln'), now=datetime.now(UTC))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path)]) for _ in range(3)]
    assert [each.wait(60) for each in processes] == [0, 0, 0]
    with Outbox.open(path) as outbox:
        assert ids(outbox) == [f"id{n}.1" for n in range(20)]


def test_several_threads_may_submit_at_once(path: Path) -> None:
    with Outbox.open(path) as outbox, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: outbox.submit(entry(n), now=NOW), range(40)))
        assert sorted(ids(outbox)) == sorted(f"id{n}.1" for n in range(40))
