"""Fixtures with a real nats-server. A missing binary fails the test, it does not skip it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

from signal_admin.server.orphan import orphan_of
from signal_admin.up import Up, UpSettings, brought_up
from signal_admin.users import add_user, entitlement_from
from signal_contract.creds import read_creds
from signal_contract.delivery import LinkNotice
from signal_contract.link import Link

# What is piped is as wide as this says; pytest-xdist says 80, and paths of tests are long.
os.environ["COLUMNS"] = "200"
# A time limit on one example fails on a busy machine and says nothing about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


async def until(condition: Callable[[], bool], *, what: str, timeout_s: float = 10.0) -> None:
    """Wait for a condition with a deadline; fails by name."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(0.01)


@dataclass
class Operator:
    """A running `catalyst up` in this process, on a random port."""

    up: Up
    said: list[str]
    stack: AsyncExitStack
    links: list[Link] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.up.desk.root

    @property
    def url(self) -> str:
        return self.up.running.url

    async def add_user(self, name: str, filters: list[str]) -> Path:
        """A new user; the path of his YAML config, his creds beside it."""
        return (await add_user(self.up.desk, name, entitlement_from([], filters), now=datetime.now(UTC))).config

    def creds_path(self, name: str) -> Path:
        """Creds file of a user, or of `publisher`, `admin`, `monitor`."""
        own = self.data / name / f"{name}.creds"
        return own if own.exists() else self.data / "users" / name / f"{name}.creds"

    async def link(self, creds: Path | str, on_notice: Callable[[LinkNotice], None] | None = None) -> Link:
        """A connection with these creds: a path, or the name of a user or role. Closed at the test's end."""
        path = creds if isinstance(creds, Path) else self.creds_path(creds)
        link = await Link.open([self.url], read_creds(path), label="test", on_notice=on_notice)
        self.links.append(link)
        return link

    async def admin_link(self) -> Link:
        return await self.link("admin")

    async def restart(self) -> None:
        """kill -9 nats-server; the supervisor starts it again on the same port."""
        await self.wait_restarted(self.kill_server())

    def kill_server(self) -> int:
        """kill -9 nats-server without waiting; its pid."""
        running = self.up.supervisor.running
        assert running is not None
        os.kill(running.nats_pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        return running.nats_pid

    async def wait_restarted(self, old_pid: int) -> None:
        supervisor = self.up.supervisor
        await until(
            lambda: supervisor.running is not None and supervisor.running.nats_pid != old_pid, what="server is up again"
        )

    async def stop(self) -> None:
        """Stop it cleanly; may be called more than once."""
        for link in self.links:
            await link.close()
        self.links.clear()
        await self.stack.aclose()


@pytest.fixture(name="until")
def _until() -> Callable[..., object]:
    """`await until(condition, what=…)`."""
    return until


@pytest.fixture(name="start_operator")
def _start_operator() -> Callable[..., object]:
    """`await start_operator(data)`: for tests that stop and start; end it with `.stop()`."""
    return start_operator


@pytest.fixture(name="start_up")
def _start_up() -> Callable[..., UpProcess]:
    """`start_up(data, port)`: `catalyst up` once more as a process; end it with `.stop()`."""
    return UpProcess.start


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


async def start_operator(data: Path, *, port: int = -1) -> Operator:
    """Bring an operator up on a data directory (also one that has run before)."""
    stack, said = AsyncExitStack(), list[str]()
    up = await stack.enter_async_context(brought_up(data, UpSettings(port=port), said.append))
    return Operator(up, said, stack)


@pytest_asyncio.fixture
async def operator(data_dir: Path) -> AsyncIterator[Operator]:
    """A provisioned server on a random port and a fresh data directory."""
    running = await start_operator(data_dir)
    yield running
    await running.stop()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def console_script(name: str) -> str:
    """Path of an installed console script of this environment."""
    return str(Path(sys.executable).with_name(name + (".exe" if os.name == "nt" else "")))


@dataclass
class UpProcess:
    """`catalyst up` as a real process."""

    data: Path
    port: int
    process: subprocess.Popen[str]
    ready: dict[str, object]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @classmethod
    def start(cls, data: Path, port: int | None = None, *more: str) -> UpProcess:
        """Start it and wait for its ready line."""
        chosen = port or free_port()
        command = [console_script("catalyst"), "up", "--json", "--port", str(chosen), "--data", str(data), *more]
        with (data.parent / f"up-{chosen}.stderr").open("a", encoding="utf-8") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()  # ends with the line, or empty when the process ends
        if not line:
            process.wait(10)
            pytest.fail(f"catalyst up ended: {(data.parent / f'up-{chosen}.stderr').read_text()}")
        return cls(data, chosen, process, json.loads(line))

    def run(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `catalyst … --data <this directory>` and return what it said."""
        command = [console_script("catalyst"), *arguments, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)

    def add_user(self, name: str, filters: list[str]) -> Path:
        """A new user through the command line; the path of his YAML config, his creds beside it."""
        flags = [part for each in filters for part in ("--filter", each)]
        done = self.run("user", "add", name, *flags, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return Path(json.loads(done.stdout)["data"]["config"])

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM and wait; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(timeout_s)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def kill(self) -> None:
        """kill -9 `catalyst up`; its nats-server is left behind, as in real life."""
        self.process.kill()
        self.stop()


def _end_left_over_server(data: Path) -> None:
    pid = orphan_of(data / "nats-server.pid", data / "server.conf")
    if pid is not None:
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


@pytest.fixture
def up(data_dir: Path) -> Iterator[UpProcess]:
    """`catalyst up` as a process on a free port and a fresh data directory."""
    running = UpProcess.start(data_dir)
    yield running
    running.stop()
    _end_left_over_server(data_dir)
