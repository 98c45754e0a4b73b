"""Keeps one nats-server running: starts it, restarts it with back-off when it dies, gives up when it keeps dying."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from signal_admin.server.config import TEMPLATE_NAME, ServerConfig, checked, rendered
from signal_admin.server.failures import losses_from_log
from signal_admin.server.process import NatsProcess, port_checked, reload_asked
from signal_contract.creds import write_secret
from signal_contract.errors import PortTaken, ServerStartFailed
from signal_contract.resources import resource_path

READY_TIMEOUT_S = 10.0
_DEATHS_ALLOWED, _DEATHS_WINDOW_S = 5, 60.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A ready server: where it listens and which process it is."""

    url: str
    port: int
    monitor_url: str | None
    nats_pid: int
    wss_url: str | None = None


def restart_delay_s(deaths: tuple[float, ...], now: float) -> float | None:
    """Seconds to wait before the next start, or None to give up: five deaths within 60 s.

    `deaths` are monotonic instants, the last one included. 0.1 s, doubled with each recent death, 5 s at most.
    """
    recent = [each for each in deaths if now - each < _DEATHS_WINDOW_S]
    if len(recent) >= _DEATHS_ALLOWED:
        return None
    return min(_FIRST_DELAY_S * float(2 ** max(0, len(recent) - 1)), _LONGEST_DELAY_S)


def local_host(host: str) -> str:
    """Where programs of this machine reach a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # read, not bound


def _url(scheme: str, host: str, port: int) -> str:
    reach = local_host(host)
    return f"{scheme}://[{reach}]:{port}" if ":" in reach else f"{scheme}://{reach}:{port}"


class Supervisor:
    """Owns the process. `say` gets one line for people about each unexpected event."""

    def __init__(
        self,
        binary: Path,
        config: ServerConfig,
        *,
        conf_path: Path,
        stderr_file: Path,
        say: Callable[[str], None],
        on_running: Callable[[Running], None] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._binary = binary
        self._config = checked(config)
        self._conf_path = conf_path
        self._stderr_file = stderr_file
        self._say = say
        self._on_running = on_running or (lambda running: None)
        self._secrets = dict(secrets or {})
        self._process: NatsProcess | None = None
        self.running: Running | None = None

    async def start(self) -> Running:
        """Start the server and return where it listens; raises ServerStartFailed or one of its kinds.

        A random port is kept for all later starts: clients reconnect to the address they know.
        """
        config = self._config
        wanted = ((config.port, config.host), (config.monitor_port, "127.0.0.1"), (config.wss_port, config.host))
        for port, host in wanted:
            if port > 0:
                port_checked(host, port)
        return await self._launch()

    async def _launch(self) -> Running:
        config = self._config
        template = resource_path(TEMPLATE_NAME).read_text(encoding="utf-8")
        write_secret(self._conf_path, rendered(template, config))
        self._process = process = await NatsProcess.start(
            self._binary,
            self._conf_path,
            host=local_host(config.host),
            ports_dir=config.ports_dir,
            log_file=config.log_file,
            stderr_file=self._stderr_file,
            has_tls=config.tls is not None,
            secrets=self._secrets,
        )
        address = await process.ready(READY_TIMEOUT_S)
        running = Running(
            url=_url("tls" if config.tls else "nats", config.host, address.port),
            port=address.port,
            monitor_url=_url("http", "127.0.0.1", address.monitor_port) if address.monitor_port else None,
            nats_pid=process.pid,
            wss_url=_url("wss", config.host, address.wss_port) if address.wss_port else None,
        )
        self._config = replace(config, port=address.port, wss_port=address.wss_port or 0)
        for line in losses_from_log(process.words):
            self._say(f"nats-server warns about its store: {line}")
        self.running = running
        self._on_running(running)
        return running

    async def watch(self) -> None:
        """Restart the server whenever it dies; runs until cancelled. Raises ServerStartFailed when it keeps dying."""
        deaths: tuple[float, ...] = ()
        while self._process is not None:
            status = await self._process.wait()
            now = time.monotonic()
            deaths = (*deaths[-_DEATHS_ALLOWED:], now)
            delay_s = restart_delay_s(deaths, now)
            if delay_s is None:
                raise ServerStartFailed(
                    f"nats-server died {_DEATHS_ALLOWED} times within {_DEATHS_WINDOW_S:g} s (last status: {status})",
                    hint=f"Its log is in {self._config.log_file}.",
                )
            self._say(f"nats-server ended unexpectedly (status {status}); starting it again in {delay_s:g} s")
            await asyncio.sleep(delay_s)
            await self._relaunch()

    async def _relaunch(self) -> None:
        try:
            running = await self._launch()
        except PortTaken as error:
            # Somebody took the port in between, or the system has not released it yet: counts as one more death.
            self._say(error.message)
            return
        self._say(f"nats-server is up again at {running.url} (pid {running.nats_pid})")

    def reload(self) -> None:
        """Have the running server read its certificate again; connections stay. Raises ServerStartFailed."""
        if self._process is not None:
            reload_asked(self._process.pid)

    async def stop(self) -> None:
        """Stop the server cleanly; killed after 10 s."""
        if self._process is not None:
            await self._process.stop()

    def kill(self) -> None:
        """Stop the server at once."""
        if self._process is not None:
            self._process.kill()
