"""Counts what flows through the journal: signals, parked messages, decisions, orders, and how long each stage took.

Each look reads only the rows behind the last one. Pruning takes old rows away, so a plain count could fall, which a
counter must not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from signal_contract.metrics import words
from signal_contract.metrics.agent_table import AGENT_METRICS
from signal_contract.metrics.samples import Measured, Tallies
from subscriber_agent.journal.database import Database, Row

_AT_ONCE = 1000
_ENDS = ("FILLED", "CANCELLED", "REJECTED", "ABANDONED")

_SIGNALS = (
    "SELECT id, catalyst, event, payload, published_at, received_at FROM signals WHERE id > ? ORDER BY id LIMIT ?"
)
_PARKED = "SELECT id, code FROM parked WHERE id > ? ORDER BY id LIMIT ?"
_DECISIONS = (
    "SELECT d.number, d.verdict, d.code, d.attempt, d.decided_at, s.received_at FROM decisions d LEFT JOIN signals s"
    " ON s.signal_id = d.signal_id AND s.revision = d.revision WHERE d.number > ? ORDER BY d.number LIMIT ?"
)
_ORDER = (
    "SELECT i.rowid, i.leg, i.state, i.created_at, i.settled_at, s.payload, (SELECT max(d.decided_at) FROM decisions d"
    " WHERE d.signal_id = i.signal_id AND d.revision = i.revision AND d.decided_at <= i.created_at)"
    " FROM intents i LEFT JOIN signals s ON s.signal_id = i.signal_id AND s.revision = i.revision"
)
_ORDERS = f"{_ORDER} WHERE i.rowid > ? ORDER BY i.rowid LIMIT ?"
# Their numbers may be given again once all rows are gone.
_REUSED = ("signals", "parked")
_LAST = {"signals": "id", "parked": "id", "decisions": "number", "intents": "rowid"}


@dataclass(slots=True)
class Flow:
    """The counters of one process. `at` is the last row that was counted of each table, `working` the open orders."""

    tallies: Tallies
    at: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_LAST, 0))
    working: set[int] = field(default_factory=set)
    stamps: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of_everything(cls) -> Flow:
        """Counts all that the journal holds."""
        return cls(Tallies(each for each in AGENT_METRICS if not each.name.endswith("_events_total")))

    @classmethod
    def from_now_on(cls, db: Database) -> Flow:
        """Counts what comes from now on; orders that work now are counted when they end. Raises StorageFailed."""
        flow = cls.of_everything()
        flow.at = {table: _last(db, table) for table in _LAST}
        flow.stamps = {table: _stamp(db, table, number) for table, number in flow.at.items()}
        marks = ", ".join("?" * len(_ENDS))
        rows = db.rows(f"SELECT rowid FROM intents WHERE state IS NULL OR state NOT IN ({marks})", *_ENDS)  # noqa: S608
        flow.working = {row[0] for row in rows if row[0] <= flow.at["intents"]}
        return flow

    def look(self, db: Database) -> list[Measured]:
        """Count what is new, and say how all of it stands. Raises StorageFailed."""
        for row in self._behind(db, "signals", _SIGNALS):
            self._signal(*row)
        for _, code in self._behind(db, "parked", _PARKED):
            self.tallies.count("catalyst_agent_parked_total", code)
        for row in self._behind(db, "decisions", _DECISIONS):
            self._decision(*row)
        for number in sorted(self.working):
            for row in db.rows(f"{_ORDER} WHERE i.rowid = ?", number):
                self._order(*row)
        for row in self._behind(db, "intents", _ORDERS):
            self._order(*row)
        return self.tallies.samples()

    def _behind(self, db: Database, table: str, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows behind the last one that was counted, a thousand at a time: no long look at a busy journal."""
        if self._began_anew(db, table):
            self.at[table] = 0
        while rows := db.rows(statement, self.at[table], _AT_ONCE):
            yield from _stripped(rows, with_number=table in ("intents", "parked"))
            self.at[table] = rows[-1][0]
            if len(rows) < _AT_ONCE:
                break
        self.stamps[table] = _stamp(db, table, self.at[table])

    def _began_anew(self, db: Database, table: str) -> bool:
        """Whether all rows were pruned since, and the numbers begin at 1 again."""
        stamp = _stamp(db, table, self.at[table])
        is_another = stamp is not None and stamp != self.stamps.get(table, stamp)
        return is_another or _last(db, table) < self.at[table]

    def _signal(self, catalyst: str, event: str, payload: bytes, published: str, received: str) -> None:
        self.tallies.count("catalyst_agent_signals_total", catalyst)
        self._stage(words.PUBLISHED_TO_RECEIVED, published, received)
        if event == "new":  # a later revision carries the times of the first
            news, classified = _instants(payload)
            self._stage(words.NEWS_TO_CLASSIFIED, news, classified)
            self._stage(words.CLASSIFIED_TO_PUBLISHED, classified, published)

    def _decision(self, verdict: str, code: str | None, attempt: int, decided: str, received: str | None) -> None:
        self.tallies.count("catalyst_agent_decisions_total", verdict, code or words.NO_CODE)
        if attempt == 1:  # the second one waited for the friend
            self._stage(words.RECEIVED_TO_DECIDED, received, decided)

    def _order(
        self,
        number: int,
        leg: str,
        state: str | None,
        created: str,
        settled: str | None,
        payload: bytes | None,
        decided: str | None,
    ) -> None:
        if state not in _ENDS:
            self.working.add(number)
            return
        self.working.discard(number)
        self.tallies.count("catalyst_agent_orders_total", leg, state)
        self._stage(words.DECIDED_TO_ORDERED, decided, created)
        if state == "FILLED":
            self._stage(words.ORDERED_TO_FILLED, created, settled)
            if leg == "entry" and payload is not None:
                self._stage(words.NEWS_TO_FILLED, _instants(payload)[0], settled)

    def _stage(self, stage: str, start: str | None, end: str | None) -> None:
        """Put one stage into its histogram; what has no beginning or end is in none."""
        if start is None or end is None:
            return
        seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
        if seconds < 0:
            self.tallies.count("catalyst_agent_stage_negative_total", stage)
        else:
            self.tallies.observe("catalyst_agent_stage_seconds", seconds, stage)


def _stripped(rows: list[Row], *, with_number: bool) -> Iterator[Row]:
    return (row if with_number else row[1:] for row in rows)


def _stamp(db: Database, table: str, number: int) -> str | None:
    """When the row was written; None when it is not there, or its number is never given again."""
    if table not in _REUSED:
        return None
    rows = db.rows(f"SELECT received_at FROM {table} WHERE id = ?", number)  # noqa: S608
    return str(rows[0][0]) if rows else None


def _last(db: Database, table: str) -> int:
    return int(db.rows(f"SELECT coalesce(max({_LAST[table]}), 0) FROM {table}")[0][0])  # noqa: S608


def _instants(payload: bytes) -> tuple[str | None, str | None]:
    """When the news came out and when it was classified; the payload was verified when it was kept."""
    found = orjson.loads(payload)
    return found["news"]["published_at"], found["classified_at"]
