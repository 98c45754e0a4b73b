"""The config follows its file: each change is in the journal before the next signal is decided by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from subscriber_agent.disk import Disk
from subscriber_agent.journal import Journal
from subscriber_agent.receiving.rounds import Report
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.events import ConfigChange, ConfigEvent, start_change
from subscriber_agent.settings.reload import ConfigWatcher


class Following:
    """Journals and tells what the watcher sees, then has `take` put the new config in force.

    Without a watcher (a program that brings its own config) the start's config stays.
    """

    def __init__(
        self,
        config: AgentConfig,
        journal: Journal,
        disk: Disk,
        report: Report,
        take: Callable[[AgentConfig], None],
        watcher: ConfigWatcher | None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._disk = disk
        self._report = report
        self._take = take
        self._watcher = watcher
        self._events: asyncio.Queue[ConfigEvent] = asyncio.Queue()

    async def note_start(self, now: datetime) -> None:
        """Journal that this start's config is another than what was decided by before. Raises StorageFailed."""
        before = await self._disk.run(self._journal.last_config_hash)
        change = start_change(before, self._config, now)
        if change is not None:
            await self._note(change)

    def attendants(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run beside the receiving, until cancelled; StorageFailed ends it. None without a watcher."""
        if self._watcher is None:
            return ()
        self._watcher.on_change(self._events.put_nowait)
        return self._watcher.run(), self._note_forever(self._watcher)

    async def _note_forever(self, watcher: ConfigWatcher) -> None:
        while True:
            event = await self._events.get()
            await self._note(event)
            # Another change may wait, and its config is in force at the watcher already: it must be journaled first.
            if self._events.empty() and watcher.current is not self._config:
                self._config = watcher.current
                self._take(self._config)

    async def _note(self, event: ConfigEvent) -> None:
        document = event.as_dict()
        if isinstance(event, ConfigChange):
            await self._disk.run(self._journal.write_config_change, document, event.at)
        kind = document.pop("type")
        self._report(kind, document)
