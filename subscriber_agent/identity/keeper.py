"""Watches over the creds file while the agent runs: warns before it ends, takes up a new one without a restart.

A new file is tried on a connection of its own first; a bad one changes nothing but a line in the report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from signal_contract.creds import Creds, read_creds
from signal_contract.errors import CatalystError, CredsExpired, CredsInvalid, Denied, LinkError
from signal_contract.link import Link, opened
from subscriber_agent.identity.credentials import replacement_checked, warning_due
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.feed import durable_info
from subscriber_agent.settings.config import AgentConfig

_log = logging.getLogger("catalyst.creds")

_LOOK_EVERY_S = 1.0
_TRIAL_TIMEOUT_S = 5.0
_WARNED = "creds_warned"

_Stamp = tuple[int, int, int]
Report = Callable[[str, dict[str, Any]], None]


class CredsKeeper:
    """Keeps one link's credentials current. `creds` are the ones in use."""

    def __init__(self, link: Link, creds: Creds, config: AgentConfig, journal: Journal, report: Report) -> None:
        self._link = link
        self._config = config
        self._journal = journal
        self._report = report
        self._settled: _Stamp | None = None
        self._complaint = ""
        self.creds = creds

    async def watch(self) -> None:
        """Look at clock and file once a second, for ever."""
        while True:
            self._warn(datetime.now(UTC))
            await self._look()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _warn(self, now: datetime) -> None:
        if warning_due(self.creds.expires_at, now, None) is None:
            return
        warning = warning_due(self.creds.expires_at, now, self._journal.meta(_WARNED))
        if warning is None:
            return
        self._journal.set_meta(_WARNED, warning.mark)
        facts = {"expires_at": warning.expires_at.isoformat(), "days_left": warning.days_left}
        self._report("creds_expiring", {**facts, "threshold_days": warning.threshold_days})

    async def _look(self) -> None:
        stamp = self._stamp()
        if stamp is not None and stamp == self._settled:
            return
        try:
            await self._take_up(datetime.now(UTC))
        except (CredsInvalid, CredsExpired, Denied) as error:
            self._complain(error)
        except LinkError as error:
            # The server is away: nobody can say yet whether the new file is good. Looked at again in a second.
            _log.debug("the new creds file could not be tried: %s", error.message)
            return
        self._settled = stamp

    def _stamp(self) -> _Stamp | None:
        try:
            status = self.creds.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    async def _take_up(self, now: datetime) -> None:
        new = replacement_checked(self.creds, read_creds(self.creds.path, role="subscriber", now=now))
        if new.jwt == self.creds.jwt:
            self._complaint = ""
            return
        label = f"subscriber-agent {new.user} (new creds)"
        async with opened(
            self._config.servers,
            new,
            label=label,
            connect_timeout_s=_TRIAL_TIMEOUT_S,
            ca_file=self._config.ca_file,
        ) as trial:
            await durable_info(trial, new.user)
        await self._link.reconnect(new)
        self.creds, self._complaint = new, ""
        self._report(
            "creds_replaced",
            {
                "expires_at": new.expires_at.isoformat() if new.expires_at else None,
                "public_key": new.public_key,
            },
        )

    def _complain(self, error: CatalystError) -> None:
        if error.message != self._complaint:
            self._complaint = error.message
            self._report("creds_kept", {"code": error.code, "detail": error.message})
