"""Listens for the publisher's heartbeats; remembers the last one that counted, for the link state and `status`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from signal_contract.delivery import Delivery
from signal_contract.heartbeat import Heartbeat
from subscriber_agent.disk import Disk
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.heartbeats import counted, is_stalled, kept_text
from subscriber_agent.receiving.keys import KeyChain

_log = logging.getLogger("catalyst.agent")

_HEARTBEAT = "heartbeat"


class HeartbeatListener:
    """Silence counts from its making on. `keys` and `server_now` are asked at each heartbeat."""

    def __init__(
        self,
        journal: Journal,
        disk: Disk,
        *,
        keys: Callable[[], KeyChain],
        server_now: Callable[[], datetime],
        on_heard: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._disk = disk
        self._keys = keys
        self._server_now = server_now
        self._on_heard = on_heard
        self._clock = asyncio.get_running_loop().time
        self._heard_at = self._clock()
        self.last: Heartbeat | None = None

    @property
    def silent_s(self) -> float:
        """Seconds since the last heartbeat that counted."""
        return self._clock() - self._heard_at

    @property
    def is_stalled(self) -> bool:
        """Whether the classifier, by its own word, should have looked at the news long ago."""
        return is_stalled(self.last, self._server_now())

    async def on_message(self, message: Delivery) -> None:
        """Take up a heartbeat; what does not count is dropped."""
        heartbeat = counted(message, self._keys(), self.last, self._server_now())
        if heartbeat is None:
            _log.debug("a heartbeat that does not count was dropped")
            return
        self.last, self._heard_at = heartbeat, self._clock()
        self._on_heard()
        await self._disk.run(self._journal.set_meta, _HEARTBEAT, kept_text(heartbeat))
