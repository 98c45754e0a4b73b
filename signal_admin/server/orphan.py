"""A nats-server that outlived its `catalyst up` (kill -9): recognised by its command line, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PATIENCE_S = 10.0


def pid_from_file(path: Path) -> int | None:
    """The process id in a pid file, or None."""
    try:
        pid = int(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    return pid if pid > 1 else None


def _ask_system(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def command_line(pid: int) -> str:
    """The command line of a running process, or an empty string."""
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.exists():
        with contextlib.suppress(OSError):
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    if sys.platform == "win32":
        query = f'(Get-CimInstance Win32_Process -Filter "ProcessId={pid}").CommandLine'
        return _ask_system("powershell", "-NoProfile", "-Command", query)
    return _ask_system("ps", "-ww", "-p", str(pid), "-o", "command=")


def orphan_of(pid_file: Path, conf: Path) -> int | None:
    """The pid of a nats-server that runs with our configuration file, or None.

    A pid alone proves nothing: the number may belong to another program by now.
    """
    pid = pid_from_file(pid_file)
    if pid is None:
        return None
    line = command_line(pid)
    return pid if "nats-server" in line and str(conf) in line else None


def stop_orphan(pid: int, pid_file: Path, conf: Path) -> None:
    """End it, in order first, by force after 10 s. Blocks; called before anything else runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_S
    while orphan_of(pid_file, conf) == pid and time.monotonic() < deadline:
        time.sleep(0.02)
    if orphan_of(pid_file, conf) == pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
