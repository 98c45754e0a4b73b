"""Keeps one node of a cluster running on this machine: starts it, starts it again when it dies, stops it in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from signal_admin.cluster.nodes import Node
from signal_admin.server.orphan import orphan_of, stop_orphan
from signal_admin.server.process import NatsProcess, port_checked, reload_asked
from signal_admin.server.supervisor import READY_TIMEOUT_S, local_host, restart_delay_s
from signal_contract.creds import write_secret
from signal_contract.errors import ServerStartFailed, StorageFailed

_DEATHS_REMEMBERED = 6

Say = Callable[[str], None]


@dataclass(slots=True)
class NodeProcess:
    """One node. `text` is its configuration, `secrets` go into its environment; `on_change` hears of changes."""

    node: Node
    binary: Path
    text: str = field(repr=False)
    has_tls: bool
    say: Say
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_change: Callable[[], None] = lambda: None
    is_up: bool = False
    is_given_up: bool = False
    _process: NatsProcess | None = None

    @property
    def pid(self) -> int | None:
        """Its process while it is up."""
        return self._process.pid if self._process is not None and self.is_up else None

    async def start(self) -> None:
        """Start it and wait until it answers; raises a kind of ServerStartFailed, or StorageFailed."""
        self._clear_the_way()
        for port in (self.node.port, self.node.route_port, self.node.wss_port):
            if port > 0:
                port_checked(local_host(self.node.host), port)
        await self._launch()

    def _clear_the_way(self) -> None:
        try:
            for folder in self.node.folders:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(f"cannot make {self.node.folder}: {error.strerror or error}") from error
        pid = orphan_of(self.node.pid_file, self.node.conf)
        if pid is not None:
            self.say(f"{self.node.name} of an earlier start is still running (pid {pid}); stopping it")
            stop_orphan(pid, self.node.pid_file, self.node.conf)

    async def _launch(self) -> None:
        write_secret(self.node.conf, self.text)
        self._process = process = await NatsProcess.start(
            self.binary,
            self.node.conf,
            host=local_host(self.node.host),
            ports_dir=self.node.ports,
            log_file=self.node.log,
            stderr_file=self.node.stderr,
            has_tls=self.has_tls,
            secrets=self.secrets,
        )
        await process.ready(READY_TIMEOUT_S)
        self.is_up = True
        self.on_change()

    async def watch(self) -> None:
        """Start it again whenever it dies, until it keeps dying: then it is given up and the others go on alone."""
        deaths: tuple[float, ...] = ()
        while self._process is not None:
            status = await self._process.wait()
            self.is_up = False
            self.on_change()
            now = time.monotonic()
            deaths = (*deaths[-_DEATHS_REMEMBERED:], now)
            delay_s = restart_delay_s(deaths, now)
            if delay_s is None:
                self.is_given_up = True
                self.say(f"{self.node.name} keeps dying (last status {status}) and is given up; see {self.node.log}")
                return
            self.say(f"{self.node.name} ended unexpectedly (status {status}); starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            await self._relaunch()

    async def _relaunch(self) -> None:
        try:
            await self._launch()
        except ServerStartFailed as error:
            # Its process has ended or was stopped: that counts as one more death.
            self.say(f"{self.node.name}: {error.message}")
        else:
            self.say(f"{self.node.name} is up again")

    def reload(self) -> None:
        """Have it read its certificate again. Raises ServerStartFailed."""
        if self.pid is not None:
            reload_asked(self.pid)

    async def stop(self) -> None:
        """Stop it cleanly; killed after 10 s."""
        if self._process is not None:
            await self._process.stop()
            self.is_up = False

    def kill(self) -> None:
        """Stop it at once."""
        if self._process is not None:
            self._process.kill()
