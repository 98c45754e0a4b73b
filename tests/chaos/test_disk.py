"""The disk is full, on either side: a clear error and exit status 21; with room again nothing is lost or doubled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_ledger import ledger_of, stream_faults
from chaos_load import signals_of, written
from chaos_process import Crew
from chaos_wire import Wire

from signal_contract.errors import ExitCode

_SIZE_KB = 16 * 1024


class SmallDisk:
    """A file system of its own, of 16 MB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, *, leave_kb: int) -> None:
        """Use up what is free but for so many kB."""
        free = shutil.disk_usage(self.folder).free
        self._filler.write_bytes(b"\0" * max(0, free - leave_kb * 1024))

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small tmpfs, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_KB}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here: that needs root, or a user namespace")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_full_at_the_agent(wire: Wire, crew: Crew, chaos: Any, disk: SmallDisk, report: Any) -> None:
    data = disk.folder / "agent"
    alice = wire.friend("alice", data=str(data))
    wire.hurry("alice")
    agent = crew.agent(alice)
    agent.wait_for("caught_up")
    signals = signals_of("disk", chaos.pick(200, 400))
    disk.fill(leave_kb=64)
    assert (
        crew("catalyst", "publish", written(wire.data.parent / "in.jsonl", signals), "--data", wire.data).ended() == 0
    )
    status = agent.ended()
    said = agent.out.read_text() + agent.err.read_text()
    assert status == ExitCode.STORAGE, agent.said
    assert "disk space" in said, said
    assert "Traceback" not in said, said
    disk.free()
    crew.drained(alice)
    stream = wire.stream()
    ledger, faults = ledger_of(data / "journal.sqlite", stream), stream_faults(stream, signals)
    report.add(ended=f"status {status}", **faults, **ledger.as_dict())
    assert ledger.is_right, ledger
    assert wire.lag("alice") == (0, 0)


def test_disk_full_at_the_publisher(wire: Wire, crew: Crew, disk: SmallDisk, report: Any) -> None:
    data = disk.folder / "bot"
    shutil.copytree(wire.data / "publisher", data / "publisher", ignore=shutil.ignore_patterns("outbox*"))
    first, rest = signals_of("first", 20), signals_of("rest", 200)
    assert crew("catalyst", "publish", written(wire.data.parent / "a.jsonl", first), "--data", data).ended() == 0
    disk.fill(leave_kb=96)
    words = ("catalyst", "publish", written(wire.data.parent / "b.jsonl", rest), "--data", data)
    full = crew(*words)
    status = full.ended()
    said = full.out.read_text() + full.err.read_text()
    assert status == ExitCode.STORAGE, full.said
    assert "disk space" in said, said
    assert "Traceback" not in said, said
    before = len(wire.stream())
    disk.free()
    again = crew(*words)
    assert again.ended() == 0, again.said
    faults = stream_faults(wire.stream(), [*first, *rest])
    report.add(
        ended=f"status {status}", stored_while_full=before - len(first), signals=len(first) + len(rest), **faults
    )
    assert faults == {"missing": 0, "doubled": 0, "out_of_order": 0}
