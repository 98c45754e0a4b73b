"""Tells systemd how this process is: ready, what it does, alive, stopping. Under another manager it says nothing.

The protocol (sd_notify(3)) is one datagram of NAME=value lines to the socket that NOTIFY_SOCKET names. That is less
than the licence text of a library for it, and nothing foreign needs to run in a process that trades.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

_log = logging.getLogger("catalyst.service")

# A manager that does not read must not hold up the event loop.
_SEND_TIMEOUT_S = 0.1
# Three tries within the time limit, whatever one of them takes.
_FEEDS_A_LIMIT = 4.0


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Who started us. `address` is None when nobody listens, `watchdog_s` when nobody waits for a sign of life."""

    address: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Self:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; what cannot be used counts as not there."""
        address = environ.get("NOTIFY_SOCKET", "")
        if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
            return cls()
        return cls(address, _watchdog_s(environ, pid))

    @property
    def is_listening(self) -> bool:
        return self.address is not None

    def ready(self, status: str) -> None:
        """It works from now on; said again after a time without, it does no harm."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(text))

    def alive(self) -> None:
        """Feed the watchdog. To be called after a proof only, never by a timer alone."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """It is ending because it was asked to."""
        self._send("STOPPING=1", _status("stopping"))

    def _send(self, *lines: str) -> None:
        if self.address is None:
            return
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_TIMEOUT_S)
                sender.sendto("\n".join(lines).encode(), name)
        except OSError as error:
            # Trading does not end because nobody listens; a missing sign of life says it by itself.
            _log.debug("the service manager does not listen: %s", error)


def this_process() -> ServiceManager:
    """The manager of this process."""
    return ServiceManager.from_environment(os.environ, os.getpid())


async def feed(manager: ServiceManager, is_alive: Callable[[], Awaitable[bool]]) -> None:
    """Feed the watchdog whenever `is_alive` proves it, four times within its limit, until cancelled."""
    if manager.watchdog_s is None:
        return
    while True:
        if await is_alive():
            manager.alive()
        await asyncio.sleep(manager.watchdog_s / _FEEDS_A_LIMIT)


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    usec, wanted = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(pid))
    # Meant for another process of this service: not ours to feed.
    if wanted != str(pid) or not (usec.isascii() and usec.isdigit()) or int(usec) == 0:
        return None
    return int(usec) / 1_000_000


def _status(text: str) -> str:
    # A line break would begin the next NAME=value.
    return "STATUS=" + " ".join(text.split())
