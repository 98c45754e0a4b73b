"""One nats-server process: started, watched until it is ready, stopped. Knows files and signals, not accounts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from signal_admin.server.failures import failure_from_log
from signal_admin.server.garbage import garbage_variables, machine_memory_bytes
from signal_contract.errors import PortTaken, ServerNotPermitted, ServerStartFailed

_POLL_S = 0.01
_INFO_TIMEOUT_S = 2.0
# Windows only; 0 elsewhere, where start_new_session does the same.
_NEW_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ready server listens."""

    port: int
    monitor_port: int | None
    wss_port: int | None = None


def port_checked(host: str, port: int) -> None:
    """Return when host:port can be listened on; raise PortTaken or ServerNotPermitted, naming it.

    Asked before the start, because it is the commonest mistake and deserves the plainest answer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # Elsewhere this option would share a port that is in use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise ServerNotPermitted(f"the system does not allow to listen on {host} port {port}") from error
        except OSError as error:
            if error.errno in (98, 48, 10048):  # EADDRINUSE on Linux, macOS and Windows
                raise PortTaken(f"port {port} on {host} is taken by another program") from error
            raise ServerStartFailed(
                f"cannot listen on {host} port {port}: {error.strerror or error}",
                hint="Name an address of this machine with --host.",
            ) from error


def _prepared(ports_dir: Path, log_file: Path) -> int:
    """Remove the ports files of earlier servers; the log's length before this start, in bytes."""
    for stale in ports_dir.glob("*.ports"):
        stale.unlink(missing_ok=True)
    return log_file.stat().st_size if log_file.exists() else 0


def _log_tail(path: Path, offset: int) -> str:
    try:
        with path.open("rb") as file:
            # A rotated log is shorter than it was: read it from its beginning.
            file.seek(offset if path.stat().st_size >= offset else 0)
            return file.read(256 * 1024).decode(errors="replace")
    except OSError:
        return ""


def _passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    # The passphrase of the vault is nobody else's business.
    kept = {key: value for key, value in environment.items() if not key.startswith("CATALYST_VAULT_")}
    return kept | garbage_variables(environment, machine_memory_bytes())


@dataclass(slots=True)
class NatsProcess:
    """A running nats-server and where its words are."""

    child: asyncio.subprocess.Process
    ports_dir: Path
    log_file: Path
    stderr_file: Path
    log_offset: int
    host: str
    has_tls: bool

    @classmethod
    async def start(
        cls,
        binary: Path,
        conf: Path,
        *,
        host: str,
        ports_dir: Path,
        log_file: Path,
        stderr_file: Path,
        has_tls: bool = False,
        secrets: Mapping[str, str] | None = None,
    ) -> NatsProcess:
        """Start it in a process group of its own: Ctrl-C reaches `catalyst up`, which then stops it in order.

        `secrets` are added to its environment, the one place where neither `ps` nor a backup finds them.
        """
        offset = _prepared(ports_dir, log_file)
        with stderr_file.open("wb") as stderr:
            try:
                child = await asyncio.create_subprocess_exec(
                    str(binary),
                    "-c",
                    str(conf),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    start_new_session=os.name == "posix",
                    creationflags=_NEW_GROUP,
                    env={**_passed_on(os.environ), **(secrets or {})},
                )
            except OSError as error:
                raise ServerStartFailed(f"{binary} cannot be run: {error}") from error
        return cls(child, ports_dir, log_file, stderr_file, offset, host, has_tls)

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def words(self) -> str:
        """What it has said since its start, on stderr and in its log."""
        return _log_tail(self.stderr_file, 0) + _log_tail(self.log_file, self.log_offset)

    async def ready(self, timeout_s: float) -> Address:
        """Wait until it answers; raises the error its log means when it dies, ServerStartFailed after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if self.child.returncode is not None:
                        raise failure_from_log(self.words, log_path=str(self.log_file))
                    address = self._address()
                    if address is not None and await _says_info(self.host, address.port, has_tls=self.has_tls):
                        return address
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            await self.stop()
            raise ServerStartFailed(
                f"nats-server was not ready within {timeout_s:g} s", hint=f"Its log is in {self.log_file}."
            ) from error

    def _address(self) -> Address | None:
        # The server writes this file once all its listeners are open; half-written content is read again.
        for path in self.ports_dir.glob(f"*_{self.pid}.ports"):
            try:
                found = orjson.loads(path.read_bytes())
                client = [_port(url) for url in found.get("nats", ())]
                monitor = [_port(url) for url in found.get("monitoring", ())]
                websocket = [_port(url) for url in found.get("websocket", ())]
            except (OSError, ValueError):
                return None
            if client:
                return Address(client[0], monitor[0] if monitor else None, websocket[0] if websocket else None)
        return None

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        return await self.child.wait()

    async def stop(self, grace_s: float = 10.0) -> None:
        """End it: asked first, killed after `grace_s`. Does nothing when it is gone."""
        if self.child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.child.terminate()
        try:
            await asyncio.wait_for(self.child.wait(), grace_s)
        except TimeoutError:
            self.kill()
            await self.child.wait()

    def kill(self) -> None:
        """End it at once. What it acknowledged is on disk (`sync_interval: always`)."""
        if self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1].strip("/"))


def reload_asked(pid: int) -> None:
    """Ask a nats-server to read its configuration and certificates again; connections stay. Raises ServerStartFailed.

    Raises ServerNotPermitted where the system has no such signal (Windows).
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        raise ServerNotPermitted(
            "this system has no signal to reload a certificate", hint="Stop `catalyst up` and start it again."
        )
    try:
        os.kill(pid, hangup)
    except ProcessLookupError as error:
        raise ServerStartFailed(f"there is no nats-server with pid {pid} any more") from error


def _probe_context() -> ssl.SSLContext:
    # Sends nothing and trusts nothing: it only asks whether somebody answers there.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def served_certificate(host: str, port: int) -> bytes | None:
    """The certificate (DER) that a new connection is shown right now, or None when there is no TLS server."""
    try:
        async with asyncio.timeout(_INFO_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=_probe_context())
            try:
                shown = writer.get_extra_info("ssl_object")
                return bytes(shown.getpeercert(binary_form=True) or b"") or None
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return None


async def _says_info(host: str, port: int, *, has_tls: bool) -> bool:
    try:
        async with asyncio.timeout(_INFO_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=_probe_context() if has_tls else None)
            try:
                return (await reader.readline()).startswith(b"INFO ")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
