"""What may be asked of the journal, also by another process while the agent runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import orjson

from signal_contract.errors import StorageFailed
from signal_contract.feedback import Feedback
from subscriber_agent.chain import Break, ChainRow, Head, first_break
from subscriber_agent.journal import approvals, flattening, loosened
from subscriber_agent.journal.account import AccountReader
from subscriber_agent.journal.chained import Rows, chain_anchor, chain_head, chain_rows, forgotten, latest_rows
from subscriber_agent.journal.controls import latest_controls, operator_state_at
from subscriber_agent.journal.database import Database, noted
from subscriber_agent.journal.linkage import last_progress, link_changes, link_row
from subscriber_agent.journal.outbox import DROPPED, waiting_count, waiting_reports
from subscriber_agent.journal.rows import (
    ApprovalRow,
    ControlRow,
    FlattenRequest,
    Latch,
    LinkChange,
    LinkRow,
    Loosening,
    Parked,
    Progress,
    SignalRow,
    Stored,
    Tally,
    instant_to_text,
)
from subscriber_agent.journal.shapes import (
    parked_from,
    signal_row_from,
    stored_from,
)
from subscriber_agent.risk.market import TradingState

_PREFIX = re.compile(r"[0-9a-f]{1,32}")
_PARKED = "id, stream_seq, subject, payload, received_at, code, detail, signature"
_STORED = "stream_seq, subject, payload, received_at"
_ONE_OF = "signal_id IN (SELECT value FROM json_each(?1))"
_CAME_TO_NOTHING = "(leg = 'exit' AND coalesce(state, '') IN ('REJECTED', 'ABANDONED'))"
# Of several attempts at one revision the latest counts.
_LATEST = (
    "NOT EXISTS (SELECT 1 FROM decisions n WHERE n.signal_id = d.signal_id AND n.revision = d.revision"
    " AND n.attempt > d.attempt)"
)


class JournalReader(AccountReader):
    """Reads one journal. Every answer is a frozen value; nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        return self._db.path

    def check_is_current(self) -> None:
        """Raise NotFound for a file of an earlier version, which a guest can open and lacks tables."""
        self._db.check_is_current()

    # Signals ----------------------------------------------------------------------------------------------------

    def undecided(self, limit: int = 256) -> list[Stored]:
        """Signals without a decision, in stream order."""
        rows = self._db.rows(
            f"SELECT {_STORED} FROM signals WHERE is_decided = 0 ORDER BY stream_seq, id LIMIT ?",  # noqa: S608
            limit,
        )
        return [stored_from(row) for row in rows]

    def stored(self, signal_id: str, revision: int) -> Stored | None:
        """One signal, or None."""
        rows = self._db.rows(
            f"SELECT {_STORED} FROM signals WHERE signal_id = ? AND revision = ?",  # noqa: S608
            signal_id,
            revision,
        )
        return stored_from(rows[0]) if rows else None

    def sequence_of(self, signal_id: str, revision: int) -> int | None:
        """The place of one signal in the stream; None when there is no such signal."""
        rows = self._db.rows("SELECT stream_seq FROM signals WHERE signal_id = ? AND revision = ?", signal_id, revision)
        return int(rows[0][0]) if rows else None

    def find(self, prefix: str) -> list[Stored]:
        """All revisions of all signals whose id starts with `prefix` (1 to 32 hex digits), in stream order."""
        if not _PREFIX.fullmatch(prefix):
            return []
        rows = self._db.rows(
            f"SELECT {_STORED} FROM signals WHERE signal_id >= ? AND signal_id < ? ORDER BY stream_seq, id",  # noqa: S608
            prefix,
            prefix + "g",
        )
        return [stored_from(row) for row in rows]

    def latest_revision(self, signal_id: str) -> int:
        """The highest known revision; 0 when the signal is not known."""
        rows = self._db.rows(
            "SELECT coalesce(max(revision), 0) FROM (SELECT revision FROM signals WHERE signal_id = ?1"
            " UNION ALL SELECT revision FROM spent WHERE signal_id = ?1)",
            signal_id,
        )
        return int(rows[0][0])

    def revision_state(self, signal_id: str) -> tuple[int, bool]:
        """The `latest_revision` of a signal and whether it `is_retracted`, asked in one question."""
        ((latest, is_retracted),) = self._db.rows(
            "SELECT coalesce(max(revision), 0), coalesce(max(event = 'retract'), 0) FROM ("
            "SELECT revision, event FROM signals WHERE signal_id = ?1"
            " UNION ALL SELECT revision, event FROM spent WHERE signal_id = ?1)",
            signal_id,
        )
        return int(latest), bool(is_retracted)

    def revision_states(self, signal_ids: Collection[str]) -> dict[str, tuple[int, bool]]:
        """The `revision_state` of many signals at once; one that is not known is not in the answer."""
        rows = self._db.rows(
            f"SELECT signal_id, max(revision), max(event = 'retract') FROM ("  # noqa: S608
            f"SELECT signal_id, revision, event FROM signals WHERE {_ONE_OF}"
            f" UNION ALL SELECT signal_id, revision, event FROM spent WHERE {_ONE_OF}) GROUP BY signal_id",
            orjson.dumps([*signal_ids]).decode(),
        )
        return {signal_id: (int(latest), bool(is_retracted)) for signal_id, latest, is_retracted in rows}

    def is_retracted(self, signal_id: str) -> bool:
        """Whether the signal was withdrawn; a retraction is final."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM signals WHERE signal_id = ?1 AND event = 'retract'"
                " UNION ALL SELECT 1 FROM spent WHERE signal_id = ?1 AND event = 'retract' LIMIT 1",
                signal_id,
            )
        )

    def signals(self, limit: int = 50, *, verdict: str | None = None, ticker: str | None = None) -> list[SignalRow]:
        """The latest signals with their decisions, newest first; optionally of one verdict or ticker."""
        rows = self._db.rows(
            "SELECT s.stream_seq, s.signal_id, s.revision, s.event, s.action, s.ticker, s.catalyst, s.confidence,"  # noqa: S608
            " s.published_at, s.received_at, d.verdict, d.code, d.decided_at, i.state FROM signals s"
            f" LEFT JOIN decisions d ON d.signal_id = s.signal_id AND d.revision = s.revision AND {_LATEST}"
            " LEFT JOIN intents i ON i.signal_id = s.signal_id AND i.revision = s.revision"
            " WHERE (?1 IS NULL OR d.verdict = ?1) AND (?2 IS NULL OR s.ticker = ?2)"
            " ORDER BY s.id DESC LIMIT ?3",
            verdict,
            ticker,
            limit,
        )
        return [signal_row_from(row) for row in rows]

    def parked(self, limit: int = 50, *, offset: int = 0) -> list[Parked]:
        """Messages that were set aside, newest first, from behind the first `offset` on."""
        rows = self._db.rows(f"SELECT {_PARKED} FROM parked ORDER BY id DESC LIMIT ? OFFSET ?", limit, offset)  # noqa: S608
        return [parked_from(row) for row in rows]

    def parked_one(self, number: int) -> Parked | None:
        """One message that was set aside, by its number; None when there is none."""
        rows = self._db.rows(f"SELECT {_PARKED} FROM parked WHERE id = ?", number)  # noqa: S608
        return parked_from(rows[0]) if rows else None

    def parked_count(self) -> int:
        """How many messages are set aside."""
        return int(self._db.rows("SELECT count(*) FROM parked")[0][0])

    def last_sequence(self) -> int:
        """The highest stream sequence that was recorded; 0 before the first."""
        return int(self._db.rows("SELECT coalesce(max(stream_seq), 0) FROM seen")[0][0])

    # Decisions and orders ---------------------------------------------------------------------------------------

    def decision(self, signal_id: str, revision: int) -> dict[str, Any] | None:
        """The latest decision as `Decision.as_dict` made it, with its config's hash, and its `attempt` from 2 on."""
        rows = self._db.rows(
            "SELECT body, config_hash FROM decisions WHERE signal_id = ? AND revision = ?"
            " ORDER BY attempt DESC LIMIT 1",
            signal_id,
            revision,
        )
        return {**orjson.loads(rows[0][0]), "config_hash": rows[0][1]} if rows else None

    def decisions_of(self, signal_id: str, revision: int) -> list[dict[str, Any]]:
        """Every decision about one revision, the first attempt first, each as `decision` has the latest."""
        rows = self._db.rows(
            "SELECT body, config_hash FROM decisions WHERE signal_id = ? AND revision = ? ORDER BY attempt",
            signal_id,
            revision,
        )
        return [{**orjson.loads(body), "config_hash": config_hash} for body, config_hash in rows]

    def counts(self) -> list[Tally]:
        """How often each verdict and code came out, most frequent first; undecided signals have no verdict yet."""
        rows = self._db.rows(
            # All, less the few that were decided again: asking each one for a later attempt would read them all.
            "SELECT verdict, code, sum(n) AS n FROM ("
            "SELECT verdict, code, count(*) AS n FROM decisions GROUP BY verdict, code"
            " UNION ALL SELECT d.verdict, d.code, -1 FROM decisions again INDEXED BY decisions_again JOIN decisions d"
            " ON d.signal_id = again.signal_id AND d.revision = again.revision AND d.attempt = again.attempt - 1"
            " WHERE again.attempt > 1"
            " UNION ALL SELECT 'PARKED', code, count(*) FROM parked GROUP BY code"
            ") GROUP BY verdict, code HAVING sum(n) > 0 ORDER BY sum(n) DESC, 1, 2"
        )
        return [Tally(*row) for row in rows]

    def has_undecided(self) -> bool:
        """Whether any signal is without a decision."""
        return bool(self._db.rows("SELECT 1 FROM signals WHERE is_decided = 0 LIMIT 1"))

    def undecided_count(self) -> int:
        return int(self._db.rows("SELECT count(*) FROM signals WHERE is_decided = 0")[0][0])

    def has_acted(self, signal_id: str, *, excluding: str = "") -> bool:
        """Whether an order was intended for this signal; `excluding` leaves out one order id.

        An exit that came to nothing does not count: a later revision may try again, or the friend would be trapped.
        """
        return bool(
            self._db.rows(
                f"SELECT 1 FROM intents WHERE signal_id = ? AND order_id <> ? AND NOT {_CAME_TO_NOTHING} LIMIT 1",  # noqa: S608
                signal_id,
                excluding,
            )
        )

    def acted(self, signal_ids: Collection[str]) -> set[str]:
        """Those of many signals that `has_acted`."""
        rows = self._db.rows(
            f"SELECT signal_id FROM intents WHERE {_ONE_OF} AND NOT {_CAME_TO_NOTHING}",  # noqa: S608
            orjson.dumps([*signal_ids]).decode(),
        )
        return {row[0] for row in rows}

    def entry_times(self, since: datetime, *, excluding: str = "") -> tuple[datetime, ...]:
        """When entries were intended, from `since` on, oldest first; `excluding` leaves out one order id."""
        # From the full hour before on, so that the same question is asked again for a while.
        hour = since.replace(minute=0, second=0, microsecond=0)

        def read() -> tuple[tuple[datetime, str], ...]:
            rows = self._db.rows(
                "SELECT created_at, order_id FROM intents WHERE leg = 'entry' AND created_at >= ? ORDER BY created_at",
                instant_to_text(hour),
            )
            return tuple((datetime.fromisoformat(at), order_id) for at, order_id in rows)

        found = self._db.recalled(("intents",), ("entry_times", hour), read)
        return tuple(at for at, order_id in found if at >= since and order_id != excluding)

    # The decision log -------------------------------------------------------------------------------------------

    def chain_head(self) -> Head:
        """Where the log of decisions ends. Raises StorageFailed when its note cannot be read."""
        return self._noted(chain_head, "ends")

    def chain_anchor(self) -> Head:
        """The last row of the log that was removed for its age; number 0 when none was. Raises StorageFailed."""
        return self._noted(chain_anchor, "starts")

    def _noted(self, read: Callable[[Rows], Head], where: str) -> Head:
        try:
            return read(self._db.rows)
        except ValueError as error:
            raise StorageFailed(f"{self.path}: the note of where the log {where} is damaged") from error

    def chain_rows(self) -> Iterator[ChainRow]:
        """Every row of the log, in the order of their numbers."""
        return chain_rows(self._db.rows)

    def latest_decisions(self, limit: int) -> list[ChainRow]:
        """The last rows of the log, oldest first."""
        return latest_rows(self._db.rows, limit)

    def first_break(self) -> Break | None:
        """The first row of the log that does not hold, or a signal whose decision is gone; None when all is well.

        It may be asked while the agent writes: it looks at what was there when it began.
        """
        with self._db.snapshot():
            return first_break(self.chain_rows(), self.chain_head(), self.chain_anchor()) or forgotten(self._db.rows)

    def loosened_head(self) -> Head:
        """Where the log of what let more through ends. Raises StorageFailed when its note cannot be read."""
        return self._noted(lambda _: loosened.loosened_head(self._db), "of loosenings ends")

    def loosened_break(self) -> Break | None:
        """The first row of that log that does not hold; None when all is well. Raises StorageFailed like its head."""
        self.loosened_head()
        with self._db.snapshot():
            return loosened.loosened_break(self._db)

    # The friend's word ------------------------------------------------------------------------------------------

    def approvals(self, state: str | None = None, limit: int = 100) -> list[ApprovalRow]:
        """What was asked, newest first; optionally only what is in one state (`waiting`, …)."""
        return approvals.listed(self._db, state, limit)

    def approved(self) -> frozenset[tuple[str, int]]:
        """The (signal id, revision) pairs that the friend said yes to, decided again since or not."""
        return self._db.recalled(("approvals",), "approved", lambda: approvals.said_yes(self._db))

    def due_approvals(self) -> list[Stored]:
        """Approved signals that are to be decided again, by the rules of now; the first asked first."""
        return approvals.due(self._db)

    def loosenings(self, limit: int) -> list[Loosening]:
        """What let more through, newest first: config changes, resumes, resets, approvals."""
        return loosened.latest(self._db, limit)

    def config_changes(self, limit: int) -> list[Loosening]:
        """The journaled changes of the config, newest first; `body` is as `ConfigChange.as_dict` made it."""
        return loosened.latest(self._db, limit, loosened.CONFIG_CHANGED)

    def last_config_hash(self) -> str | None:
        """The hash of the config that counted last; None before the first decision and the first journaled change."""
        return loosened.last_config_hash(self._db)

    def flatten_request(self) -> FlattenRequest | None:
        """The command to close everything that is not carried out yet; None without one."""
        return self._db.recalled(("flattens",), "flatten_request", lambda: flattening.waiting_flatten(self._db))

    def last_flatten(self) -> tuple[FlattenRequest, datetime | None] | None:
        """The latest such command, and when it was carried out (None: not yet)."""
        return flattening.last_flatten(self._db)

    # States -----------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        def read() -> str | None:
            rows = self._db.rows("SELECT value FROM meta WHERE key = ?", key)
            return str(rows[0][0]) if rows else None

        return self._db.recalled((noted(key),), ("meta", key), read)

    def latch(self, name: str) -> Latch | None:
        """A latch (`local`, `operator`); None when it was never set."""

        def read() -> dict[str, Latch]:
            rows = self._db.rows("SELECT name, value, reason, at FROM latches")
            return {row[0]: Latch(row[0], row[1], row[2], datetime.fromisoformat(row[3])) for row in rows}

        return self._db.recalled(("latches",), "latches", read).get(name)

    def link_state(self) -> LinkRow | None:
        """What the agent last said about its link; None before the first connection."""
        return link_row(self._db, self.last_sequence())

    def link_history(self, limit: int) -> list[LinkChange]:
        """The last changes of the link, newest first."""
        return link_changes(self._db, limit)

    def progress(self) -> Progress | None:
        """The durable's ack floor as last measured on the server; None before the first measure."""
        return last_progress(self._db)

    # The operator's words, and ours to him ----------------------------------------------------------------------

    def controls(self, limit: int) -> list[ControlRow]:
        """The operator's last words, newest first."""
        return latest_controls(self._db, limit)

    def operator_state_at(self, stream_seq: int) -> TradingState:
        """The stricter of both operator latches as they stood just before that place in the stream.

        For entries, together with the latches of now: one published during a halt is refused though it be over. Exits
        ask the latches of now only.
        """
        return operator_state_at(self._db, stream_seq)

    def feedback_waiting(self, limit: int, *, skipping: Collection[str] = ()) -> list[Feedback]:
        """Reports that were not sent yet, oldest first; `skipping` leaves out kinds."""
        return waiting_reports(self._db, limit, skipping)

    def feedback_count(self) -> int:
        """How many reports were not sent yet."""
        return waiting_count(self._db)

    def feedback_dropped(self) -> int:
        """How many reports were never sent: the oldest make room when 10,000 wait."""
        return int(self.meta(DROPPED) or 0)

    @property
    def commits(self) -> int:
        """How many commits, each one fsync, this process has made."""
        return self._db.commits
