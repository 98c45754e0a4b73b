"""`catalyst demo` as an installed command: what it shows, on which terminal, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import command_path, envelope

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals and process lists are as on POSIX")

ESCAPE = "\x1b"
LIMIT_S = 45
_NEUTRAL = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "CATALYST_DATA", "SUBSCRIBER_AGENT_CONFIG"}


class Demo:
    """One run with a temporary directory of its own, so that what it leaves behind can be seen."""

    def __init__(self, folder: Path, *words: str, on_terminal: bool = False, **environment: str) -> None:
        self.folder = folder
        folder.mkdir()
        inherited = {key: value for key, value in os.environ.items() if key not in _NEUTRAL}
        self._env = {**inherited, "TMPDIR": str(folder), "TERM": "xterm-256color", **environment}
        self._started = time.monotonic()
        self.seconds = 0.0
        self.stdout = self.stderr = ""
        self._screen = b""
        self._threads: list[threading.Thread] = []
        self.process = self._start([command_path("catalyst"), "demo", *words], on_terminal=on_terminal)

    def _start(self, command: list[str], *, on_terminal: bool) -> subprocess.Popen[str]:
        if not on_terminal:
            return subprocess.Popen(
                command,
                env=self._env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        import fcntl
        import pty
        import struct
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            command, env=self._env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, text=True
        )
        os.close(theirs)
        reader = threading.Thread(target=self._read_screen, args=(ours,), name="screen", daemon=True)
        reader.start()
        self._threads.append(reader)
        return process

    def _read_screen(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as screen:
            while True:
                try:
                    piece = screen.read(65536)
                except OSError:  # Linux says so when the other side has closed
                    break
                if not piece:
                    break
                self._screen += piece

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        out, err = self.process.communicate(timeout=LIMIT_S + 15)
        self.seconds = time.monotonic() - self._started
        for each in self._threads:
            each.join(10)
        self.stdout, self.stderr = out or self._screen.decode(errors="replace"), err or ""
        return int(self.process.returncode)

    @property
    def left_running(self) -> list[str]:
        """Processes whose command line names its temporary directory."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if str(self.folder) in line]

    def assert_nothing_left(self) -> None:
        deadline = time.monotonic() + 5  # a killed child is reaped by its parent a moment later
        while self.left_running and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.left_running == []
        assert list(self.folder.iterdir()) == []


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Demo]]:
    """All runs at once: each takes its own ports and directory, and waits most of the time."""
    root = tmp_path_factory.mktemp("demos")
    runs = {
        "plain": Demo(root / "plain", "--plain"),
        "json": Demo(root / "json", "--json", NO_COLOR="1", TERM="dumb"),
        "live": Demo(root / "live", on_terminal=True),
        "dumb": Demo(root / "dumb", "--plain", "--keep", on_terminal=True, TERM="dumb"),
    }
    yield runs
    for run in runs.values():
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.ended()


def test_plain_tells_the_story_and_its_summary_in_time(demos: dict[str, Demo]) -> None:
    demo = demos["plain"]
    assert demo.ended() == 0, demo.stderr
    assert demo.seconds < LIMIT_S
    for words in (
        "$ catalyst up",
        "$ catalyst user add alice --catalysts",
        "$ subscriber-agent run --config bob.yaml",
        "$ catalyst publish - --drill",
        "bob closes his laptop",
        "bob    | caught up: 5 missed",
        "25 signals published",
        "published → received",
        "What was promised",
        "catalyst up",
    ):
        assert words in demo.stdout, words
    assert "BROKEN" not in demo.stdout
    assert demo.stdout.count("\nkept") >= 8
    assert ESCAPE not in demo.stdout + demo.stderr
    assert "Traceback" not in demo.stderr
    demo.assert_nothing_left()


def test_json_is_one_envelope_with_every_check_kept_and_latencies(demos: dict[str, Demo]) -> None:
    demo = demos["json"]
    assert demo.ended() == 0, demo.stderr
    assert demo.stdout.count("\n") == 1
    answer = envelope(subprocess.CompletedProcess([], demo.process.returncode, demo.stdout, demo.stderr))
    data: dict[str, Any] = answer["data"]
    assert data["published"] == 25
    assert [each["promise"] for each in data["checks"] if not each["kept"]] == []
    assert len(data["checks"]) >= 8
    assert {friend["name"]: friend["decided"] for friend in data["friends"]} == {"alice": 12, "bob": 14}
    assert {row["stage"] for row in data["latency_ms"]} >= {"published → received", "received → decided"}
    assert all(0 <= float(row["p50"]) <= float(row["max"]) for row in data["latency_ms"])
    assert ESCAPE not in demo.stdout + demo.stderr
    demo.assert_nothing_left()


def test_on_a_terminal_it_shows_the_live_view(demos: dict[str, Demo]) -> None:
    demo = demos["live"]
    assert demo.ended() == 0, demo.stdout[-2000:]
    assert demo.seconds < LIMIT_S
    assert ESCAPE in demo.stdout
    for words in (
        "the wire",
        "alice decides",
        "bob decides",
        "── offline ──",
        "25 signals published",
        "What was promised",
    ):
        assert words in demo.stdout, words
    assert "Traceback" not in demo.stdout
    demo.assert_nothing_left()


def test_a_dumb_terminal_gets_no_escape_sequences_and_keep_keeps_the_directory(demos: dict[str, Demo]) -> None:
    demo = demos["dumb"]
    assert demo.ended() == 0, demo.stdout[-2000:]
    assert "25 signals published" in demo.stdout
    assert ESCAPE not in demo.stdout
    (left,) = demo.folder.iterdir()
    assert f"kept: {left}" in "".join(demo.stdout.splitlines())
    assert (left / "operator" / "users" / "alice" / "alice.yaml").exists()
    assert demo.left_running == []


def test_ctrl_c_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "stopped", "--plain")
    assert demo.process.stdout is not None
    for line in demo.process.stdout:
        if "wire   |" in line:
            break
    demo.process.send_signal(signal.SIGINT)
    assert demo.ended() == 130
    assert "Traceback" not in demo.stderr
    demo.assert_nothing_left()


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_tables_on_a_terminal_heed_no_color_and_dumb(tmp_path: Path, variable: str, value: str) -> None:
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    environment = {key: each for key, each in os.environ.items() if key not in _NEUTRAL}
    command = [sys.executable, "-c", script, command_path("catalyst"), "catalysts"]
    shown = subprocess.run(
        command,
        env={**environment, "TERM": "xterm-256color", variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0
    assert "going_concern" in shown.stdout
    assert f"{ESCAPE}[3" not in shown.stdout  # a colour
    assert variable == "NO_COLOR" or ESCAPE not in shown.stdout
