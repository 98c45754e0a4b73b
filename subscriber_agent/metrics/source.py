"""The agent's page: one look at its journal, at most once a second, and what the running process has counted itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from signal_contract.errors import CatalystError
from signal_contract.metrics.agent_table import AGENT_METRICS
from signal_contract.metrics.exposition import page
from signal_contract.metrics.samples import Measured, Sample, Tallies, maybe
from signal_contract.metrics.words import EVENTS
from subscriber_agent.journal import Journal
from subscriber_agent.journal.database import Database
from subscriber_agent.metrics.flow import Flow
from subscriber_agent.metrics.standing import standing_now
from subscriber_agent.settings.config import AgentConfig

_EVERY_S = 1.0
_EVENTS_TOTAL = "catalyst_agent_events_total"

Report = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose page it is; `is_running` says whether an agent holds the identity."""

    user: str
    config: AgentConfig
    journal_file: Path
    expires_at: datetime | None
    is_running: Callable[[], bool]


class AgentSource:
    """Reads on connections of its own, read-only; the page may be asked for on any thread, one call at a time."""

    def __init__(self, identity: Identity, journal: Journal, db: Database, flow: Flow) -> None:
        self._identity = identity
        self._journal, self._db, self._flow = journal, db, flow
        self._events = Tallies(each for each in AGENT_METRICS if each.name == _EVENTS_TOTAL)
        self._lock = threading.Lock()
        self._page, self._page_at = b"", float("-inf")

    @classmethod
    def open(cls, identity: Identity, *, is_live: bool) -> Self:
        """Open the journal; `is_live` counts from now on, else all that it holds is counted.

        Raises NotFound before the first run, StorageFailed.
        """
        db = Database.open(identity.journal_file, read_only=True, is_owner=False)
        try:
            journal = Journal.open(identity.journal_file, read_only=True, is_owner=False)
            return cls(identity, journal, db, Flow.from_now_on(db) if is_live else Flow.of_everything())
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        """Let go of the journal."""
        with self._lock:
            self._journal.close()
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def counting(self, report: Report) -> Report:
        """The report of the worker, with what happens being counted on the way."""

        def counted(event: str, facts: dict[str, Any]) -> None:
            if event in EVENTS:
                self._events.count(_EVENTS_TOTAL, event)
            report(event, facts)

        return counted

    def page(self, now: datetime, clock_s: float) -> bytes:
        """The page; `clock_s` is monotonic. A page of less than a second ago is shown again."""
        with self._lock:
            if clock_s - self._page_at >= _EVERY_S:
                self._page, self._page_at = page(self._measured(now), AGENT_METRICS), clock_s
            return self._page

    def _measured(self, now: datetime) -> list[Measured]:
        try:
            found = [*standing_now(self._journal, self._identity.config, now), *self._flow.look(self._db)]
        except CatalystError:
            # The rest still says that the process lives, and this one that its journal is in trouble.
            found = []
        return [
            *self._own(),
            Sample("catalyst_agent_journal_readable", int(bool(found))),
            *found,
            *self._events.samples(),
        ]

    def _own(self) -> list[Measured]:
        who = self._identity
        labels = (
            who.user,
            version("catalyst-signals"),
            who.config.mode.value,
            who.config.engine.kind,
            who.config.privacy.value,
        )
        end = None if who.expires_at is None else who.expires_at.timestamp()
        return [
            Sample("catalyst_agent_info", 1, labels),
            Sample("catalyst_agent_running", int(who.is_running())),
            *maybe("catalyst_agent_journal_bytes", _bytes_of(who.journal_file)),
            *maybe("catalyst_agent_creds_expiry_timestamp_seconds", end),
        ]


def _bytes_of(journal: Path) -> int | None:
    """The journal with its log; None when it is not there."""
    sizes = [each.stat().st_size for each in (journal, Path(f"{journal}-wal")) if each.exists()]
    return sum(sizes) if sizes else None
