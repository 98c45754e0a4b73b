"""Servers to be measured against, as processes on loopback: uvicorn with FastAPI, and Redis. Each is (port, pid)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

WITHOUT_REDIS = "Redis was left out: no `redis-server` is installed here (Debian: apt-get install redis-server)."
_READY_S = 20.0


def has_redis() -> bool:
    """Whether a Redis server can be measured on this machine."""
    return shutil.which("redis-server") is not None


@contextlib.contextmanager
def fastapi_server() -> Iterator[tuple[int, int]]:
    """`broadcast_app` under uvicorn with uvloop, httptools and websockets, one worker, no access log."""
    port = _free_port()
    flags = ["--port", str(port), "--log-level", "warning", "--ws-max-queue", "1024", "--backlog", "4096"]
    command = [sys.executable, "-m", "uvicorn", "broadcast_app:app", "--loop", "uvloop", *flags]
    with _running(command, port, Path(__file__).parent) as pid:
        yield port, pid


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[int, int]]:
    """Redis with every write synced (`appendonly yes`, `appendfsync always`), in a directory of its own."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxclients", "4096"]
        with _running(["redis-server", "--port", str(port), "--dir", folder, *flags], port, Path(folder)) as pid:
            yield port, pid


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, folder: Path) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the peer on port {port} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
