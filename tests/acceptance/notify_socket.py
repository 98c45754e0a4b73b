"""systemd's end of sd_notify: a real socket that collects what the processes under test say."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Listener:
    """Started processes say to it what they would say to systemd."""

    def __init__(self) -> None:
        # Not below tmp_path: a socket's path may be 107 characters long.
        self._folder = Path(tempfile.mkdtemp(prefix="sd-"))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._folder / "notify"))
        self.said: list[str] = []

    def close(self) -> None:
        self._socket.close()
        shutil.rmtree(self._folder)

    @contextmanager
    def managing(self, *, watchdog_s: float) -> Iterator[None]:
        """What is started in this block is started as systemd would start it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NOTIFY_SOCKET", str(self._folder / "notify"))
            patch.setenv("WATCHDOG_USEC", str(round(watchdog_s * 1_000_000)))
            patch.delenv("WATCHDOG_PID", raising=False)
            yield

    def until(self, line: str, *, timeout_s: float = 20) -> None:
        """Wait for a word that holds this line and is said from now on."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                self.said.append(self._socket.recv(65536).decode())
            except TimeoutError:
                break
            if line in self.said[-1]:
                return
        pytest.fail(f"not within {timeout_s:g} s: {line}; {self.said[-5:]}")

    def until_silent(self, line: str, *, for_s: float, timeout_s: float = 20) -> None:
        """Wait until this line has not been said for a time."""
        heard, deadline = time.monotonic(), time.monotonic() + timeout_s
        while time.monotonic() - heard < for_s:
            assert time.monotonic() < deadline, f"{line} is still said after {timeout_s:g} s"
            self._socket.settimeout(for_s)
            try:
                self.said.append(self._socket.recv(65536).decode())
            except TimeoutError:
                return
            if line in self.said[-1]:
                heard = time.monotonic()
