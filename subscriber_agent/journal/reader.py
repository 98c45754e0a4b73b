"""What may be asked of the journal, also by another process while the agent runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import orjson

from signal_contract.codec import decode
from signal_contract.errors import NotFound, StorageFailed
from subscriber_agent.book import Fill, Leg, Side
from subscriber_agent.chain import Break, ChainRow, Head, first_break
from subscriber_agent.engines.engine import Outcome, OutcomeState
from subscriber_agent.journal.chained import CHAINED_SINCE, chain_head, chain_rows, forgotten, latest_rows
from subscriber_agent.journal.database import Database, Row
from subscriber_agent.journal.rows import (
    Latch,
    LinkState,
    OrderIntent,
    OrderRow,
    Parked,
    SignalRow,
    Stored,
    Tally,
    instant_to_text,
    maybe_decimal,
    maybe_instant,
)
from subscriber_agent.risk.decision import OrderPlan

_PREFIX = re.compile(r"[0-9a-f]{1,32}")
_STORED = "stream_seq, subject, payload, received_at"
_ORDER = "order_id, signal_id, revision, plan, created_at, state, quantity, price, detail, settled_at"
_FILL = "order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst"


class JournalReader:
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

    # Signals ----------------------------------------------------------------------------------------------------

    def undecided(self, limit: int = 100) -> list[Stored]:
        """Signals without a decision, in stream order."""
        rows = self._db.rows(
            f"SELECT {_STORED} FROM signals WHERE is_decided = 0 ORDER BY stream_seq, id LIMIT ?",  # noqa: S608
            limit,
        )
        return [_stored(row) for row in rows]

    def stored(self, signal_id: str, revision: int) -> Stored | None:
        """One signal, or None."""
        rows = self._db.rows(
            f"SELECT {_STORED} FROM signals WHERE signal_id = ? AND revision = ?",  # noqa: S608
            signal_id,
            revision,
        )
        return _stored(rows[0]) if rows else None

    def find(self, prefix: str) -> list[Stored]:
        """All revisions of all signals whose id starts with `prefix` (1 to 32 hex digits), in stream order."""
        if not _PREFIX.fullmatch(prefix):
            return []
        rows = self._db.rows(
            f"SELECT {_STORED} FROM signals WHERE signal_id >= ? AND signal_id < ? ORDER BY stream_seq, id",  # noqa: S608
            prefix,
            prefix + "g",
        )
        return [_stored(row) for row in rows]

    def latest_revision(self, signal_id: str) -> int:
        """The highest known revision; 0 when the signal is not known."""
        return int(self._db.rows("SELECT coalesce(max(revision), 0) FROM signals WHERE signal_id = ?", signal_id)[0][0])

    def is_retracted(self, signal_id: str) -> bool:
        """Whether the signal was withdrawn; a retraction is final."""
        return bool(self._db.rows("SELECT 1 FROM signals WHERE signal_id = ? AND event = 'retract' LIMIT 1", signal_id))

    def signals(self, limit: int = 50, *, verdict: str | None = None, ticker: str | None = None) -> list[SignalRow]:
        """The latest signals with their decisions, newest first; optionally of one verdict or ticker."""
        rows = self._db.rows(
            "SELECT s.stream_seq, s.signal_id, s.revision, s.event, s.action, s.ticker, s.catalyst, s.confidence,"
            " s.published_at, s.received_at, d.verdict, d.code, d.decided_at, i.state"
            " FROM signals s LEFT JOIN decisions d USING (signal_id, revision)"
            " LEFT JOIN intents i ON i.signal_id = s.signal_id AND i.revision = s.revision"
            " WHERE (?1 IS NULL OR d.verdict = ?1) AND (?2 IS NULL OR s.ticker = ?2)"
            " ORDER BY s.id DESC LIMIT ?3",
            verdict,
            ticker,
            limit,
        )
        return [_signal_row(row) for row in rows]

    def parked(self, limit: int = 50) -> list[Parked]:
        """Messages that were set aside, newest first."""
        rows = self._db.rows(
            "SELECT stream_seq, subject, payload, received_at, code, detail, signature FROM parked"
            " ORDER BY id DESC LIMIT ?",
            limit,
        )
        return [Parked(r[0], r[1], r[2], datetime.fromisoformat(r[3]), r[4], r[5], r[6]) for r in rows]

    def last_sequence(self) -> int:
        """The highest stream sequence that was recorded; 0 before the first."""
        return int(self._db.rows("SELECT coalesce(max(stream_seq), 0) FROM seen")[0][0])

    # Decisions and orders ---------------------------------------------------------------------------------------

    def decision(self, signal_id: str, revision: int) -> dict[str, Any] | None:
        """The journaled decision as `Decision.as_dict` made it, with the hash of the config it was made by."""
        rows = self._db.rows(
            "SELECT body, config_hash FROM decisions WHERE signal_id = ? AND revision = ?", signal_id, revision
        )
        return {**orjson.loads(rows[0][0]), "config_hash": rows[0][1]} if rows else None

    def counts(self) -> list[Tally]:
        """How often each verdict and code came out, most frequent first; undecided signals have no verdict yet."""
        rows = self._db.rows(
            "SELECT verdict, code, count(*) AS n FROM decisions GROUP BY verdict, code"
            " UNION ALL SELECT 'PARKED', code, count(*) FROM parked GROUP BY code ORDER BY n DESC, 1, 2"
        )
        return [Tally(*row) for row in rows]

    def undecided_count(self) -> int:
        return int(self._db.rows("SELECT count(*) FROM signals WHERE is_decided = 0")[0][0])

    def open_intents(self) -> list[OrderRow]:
        """Orders whose end is not known: no outcome, UNKNOWN, or ACCEPTED and still working. Oldest first."""
        rows = self._db.rows(
            f"SELECT {_ORDER} FROM intents WHERE state IS NULL OR state IN ('UNKNOWN', 'ACCEPTED')"  # noqa: S608
            " ORDER BY created_at, rowid"
        )
        return [_order(row) for row in rows]

    def orders_of(self, signal_id: str) -> list[OrderRow]:
        """Every order that a signal led to, oldest first."""
        rows = self._db.rows(
            f"SELECT {_ORDER} FROM intents WHERE signal_id = ? ORDER BY created_at, rowid",  # noqa: S608
            signal_id,
        )
        return [_order(row) for row in rows]

    def has_acted(self, signal_id: str, *, excluding: str = "") -> bool:
        """Whether an order was intended for this signal; `excluding` leaves out one order id.

        An exit that came to nothing does not count: a later revision may try again, or the friend would be trapped.
        """
        return bool(
            self._db.rows(
                "SELECT 1 FROM intents WHERE signal_id = ? AND order_id <> ?"
                " AND NOT (leg = 'exit' AND coalesce(state, '') IN ('REJECTED', 'ABANDONED')) LIMIT 1",
                signal_id,
                excluding,
            )
        )

    def entry_times(self, since: datetime, *, excluding: str = "") -> tuple[datetime, ...]:
        """When entries were intended, from `since` on, oldest first; `excluding` leaves out one order id."""
        rows = self._db.rows(
            "SELECT created_at FROM intents WHERE leg = 'entry' AND created_at >= ? AND order_id <> ?"
            " ORDER BY created_at",
            instant_to_text(since),
            excluding,
        )
        return tuple(datetime.fromisoformat(row[0]) for row in rows)

    # The decision log -------------------------------------------------------------------------------------------

    def chain_head(self) -> Head:
        """Where the log of decisions ends. Raises StorageFailed when its note cannot be read."""
        self._chained()
        try:
            return chain_head(self._db.rows)
        except ValueError as error:
            raise StorageFailed(f"{self.path}: the note of where the log ends is damaged") from error

    def chain_rows(self) -> Iterator[ChainRow]:
        """Every row of the log, in the order of their numbers."""
        self._chained()
        return chain_rows(self._db.rows)

    def latest_decisions(self, limit: int) -> list[ChainRow]:
        """The last rows of the log, oldest first."""
        self._chained()
        return latest_rows(self._db.rows, limit)

    def first_break(self) -> Break | None:
        """The first row of the log that does not hold, or a signal whose decision is gone; None when all is well.

        It may be asked while the agent writes: it looks at what was there when it began.
        """
        with self._db.snapshot():
            return first_break(self.chain_rows(), self.chain_head()) or forgotten(self._db.rows)

    def _chained(self) -> None:
        if self._db.version() < CHAINED_SINCE:
            raise NotFound(
                "this journal has no hash chain yet: it was written by an earlier version",
                hint="Start `subscriber-agent run` once: it chains what is there.",
            )

    # Paper ledger -----------------------------------------------------------------------------------------------

    def fills(self, after: int = 0) -> list[Fill]:
        """Executions, oldest first; `after` skips that many (they are never removed)."""
        rows = self._db.rows(f"SELECT {_FILL} FROM fills ORDER BY id LIMIT -1 OFFSET ?", after)  # noqa: S608
        return [_fill(row) for row in rows]

    def marks(self) -> dict[str, tuple[Decimal, datetime]]:
        """The latest known price of each ticker that was ever held, and when it was seen."""
        rows = self._db.rows("SELECT ticker, price, at FROM marks")
        return {ticker: (Decimal(price), datetime.fromisoformat(at)) for ticker, price, at in rows}

    def paper_outcome(self, order_id: str) -> Outcome | None:
        """What the paper engine answered to an order; None when it never saw it."""
        rows = self._db.rows("SELECT state, quantity, price, detail FROM paper_orders WHERE order_id = ?", order_id)
        return _outcome(rows[0]) if rows else None

    # States -----------------------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        rows = self._db.rows("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def latch(self, name: str) -> Latch | None:
        """A latch (`local`, `operator`); None when it was never set."""
        rows = self._db.rows("SELECT name, value, reason, at FROM latches WHERE name = ?", name)
        return Latch(rows[0][0], rows[0][1], rows[0][2], datetime.fromisoformat(rows[0][3])) if rows else None

    def link_state(self) -> LinkState | None:
        """What the agent last said about its link; None before the first connection."""
        rows = self._db.rows("SELECT state, since FROM link_state")
        if not rows:
            return None
        latest = self._db.rows(
            "SELECT max(at) FROM (SELECT * FROM (SELECT received_at AS at FROM signals ORDER BY id DESC LIMIT 1)"
            " UNION ALL SELECT * FROM (SELECT received_at FROM parked ORDER BY id DESC LIMIT 1))"
        )
        state, since = rows[0]
        return LinkState(state, datetime.fromisoformat(since), self.last_sequence(), maybe_instant(latest[0][0]))


def _stored(row: Row) -> Stored:
    stream_seq, subject, payload, received_at = row
    return Stored(stream_seq, subject, payload, datetime.fromisoformat(received_at), decode(payload))


def _signal_row(row: Row) -> SignalRow:
    return SignalRow(
        stream_seq=row[0],
        signal_id=row[1],
        revision=row[2],
        event=row[3],
        action=row[4],
        ticker=row[5],
        catalyst=row[6],
        confidence=Decimal(row[7]),
        published_at=datetime.fromisoformat(row[8]),
        received_at=datetime.fromisoformat(row[9]),
        verdict=row[10],
        code=row[11],
        decided_at=maybe_instant(row[12]),
        order_state=None if row[13] is None else OutcomeState(row[13]),
    )


def _order(row: Row) -> OrderRow:
    order_id, signal_id, revision, plan, created_at, *result, settled_at = row
    try:
        intent = OrderIntent(
            order_id, signal_id, revision, OrderPlan.from_dict(orjson.loads(plan)), datetime.fromisoformat(created_at)
        )
    except (KeyError, ValueError) as error:
        raise StorageFailed(f"the journal's order {order_id} cannot be read: {error}") from error
    return OrderRow(intent, None if result[0] is None else _outcome(tuple(result)), maybe_instant(settled_at))


def _outcome(row: Row) -> Outcome:
    state, quantity, price, detail = row
    return Outcome(OutcomeState(state), Decimal(quantity or 0), maybe_decimal(price), detail or "")


def _fill(row: Row) -> Fill:
    return Fill(
        order_id=row[0],
        ticker=row[1],
        side=Side(row[2]),
        leg=Leg(row[3]),
        quantity=Decimal(row[4]),
        price=Decimal(row[5]),
        at=datetime.fromisoformat(row[6]),
        stop_price=maybe_decimal(row[7]),
        target_price=maybe_decimal(row[8]),
        catalyst=row[9],
    )
