"""What the agent writes down, each step in one transaction that is on disk before the call returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Self

import orjson

from signal_contract.errors import SignatureInvalid
from signal_contract.model import Signal
from subscriber_agent.book import Fill
from subscriber_agent.engines.engine import Outcome
from subscriber_agent.journal.chained import append
from subscriber_agent.journal.database import Database, texts
from subscriber_agent.journal.reader import JournalReader
from subscriber_agent.journal.rows import (
    Arrival,
    LinkState,
    OrderIntent,
    Recorded,
    SetAside,
    instant_to_text,
)
from subscriber_agent.risk.decision import Decision, OrderPlan, text_of

JOURNAL_FILE = "journal.sqlite"
REVISION_CONFLICT = "REVISION_CONFLICT"
SIGNATURE_INVALID = SignatureInvalid.code

_NEW, _DUPLICATE = "new", "duplicate"


class Journal(JournalReader):
    """The agent's journal. One process owns it; others open it read-only, or as a guest to set a latch."""

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, is_owner: bool = True) -> Self:
        """Open `<data>/journal.sqlite`; the owner creates it when it is missing.

        `read_only` is for commands that only show; `is_owner=False` for commands that set a latch beside a running
        agent. Both raise NotFound when there is no journal yet. Raises StorageFailed, the file being kept.
        """
        return cls(Database.open(path, read_only=read_only, is_owner=is_owner))

    # Arrivals ---------------------------------------------------------------------------------------------------

    def record(self, arrivals: Sequence[Arrival], *, meta: Mapping[str, str] | None = None) -> Recorded:
        """Write a batch down in one commit, and `meta` with it; then its messages may be acknowledged.

        A redelivered message counts as a duplicate and changes nothing. For a known signal id and revision the first
        message stands: a different payload is parked as REVISION_CONFLICT, the same one at another place in the
        stream, a replay, as SIGNATURE_INVALID.
        """
        aside: list[SetAside] = []
        new = 0
        with self._db.transaction():
            for arrival in arrivals:
                fate = self._record_one(arrival)
                new += fate == _NEW
                if isinstance(fate, SetAside):
                    aside.append(fate)
            for key, value in (meta or {}).items():
                self.set_meta(key, value)
        return Recorded(new, len(arrivals) - new - len(aside), len(aside), tuple(aside))

    def _record_one(self, arrival: Arrival) -> str | SetAside:
        digest = hashlib.sha256(arrival.subject.encode() + b"\n" + arrival.payload).digest()[:16]
        if not self._db.run("INSERT OR IGNORE INTO seen VALUES (?, ?)", arrival.stream_seq, digest):
            return _DUPLICATE
        if arrival.code is not None:
            return self._park(arrival, arrival.code, arrival.detail)
        return _NEW if arrival.signal is None else self._keep_signal(arrival, arrival.signal)

    def _keep_signal(self, arrival: Arrival, signal: Signal) -> str | SetAside:
        kept = self._db.run(
            "INSERT OR IGNORE INTO signals (stream_seq, signal_id, revision, event, action, ticker, catalyst,"
            " confidence, subject, payload, published_at, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arrival.stream_seq,
            signal.signal_id,
            signal.revision,
            signal.event.value,
            signal.action.value,
            signal.ticker,
            signal.catalyst,
            text_of(signal.confidence),
            arrival.subject,
            arrival.payload,
            instant_to_text(signal.published_at),
            instant_to_text(arrival.received_at),
        )
        if kept:
            return _NEW
        first = self._db.rows(
            "SELECT payload, stream_seq FROM signals WHERE signal_id = ? AND revision = ?",
            signal.signal_id,
            signal.revision,
        )
        if first[0][0] == arrival.payload:
            return self._park(arrival, SIGNATURE_INVALID, f"replayed: the same message came at {first[0][1]}")
        return self._park(arrival, REVISION_CONFLICT, f"differs from the first {signal.message_id}; that one stands")

    def _park(self, arrival: Arrival, code: str, detail: str) -> SetAside:
        self._db.run(
            "INSERT INTO parked (stream_seq, subject, payload, received_at, code, detail, signature)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            arrival.stream_seq,
            arrival.subject,
            arrival.payload,
            instant_to_text(arrival.received_at),
            code,
            detail,
            arrival.signature,
        )
        return SetAside(arrival.stream_seq, code, detail)

    # Decisions and orders ---------------------------------------------------------------------------------------

    def write_decision(self, decision: Decision, config_hash: str, order: OrderIntent | None) -> bool:
        """Write a decision and the order it leads to, together; the decision joins the hash chain.

        False: this revision was decided before, no change.
        """
        with self._db.transaction():
            written = append(
                self._db.rows,
                self._db.run,
                signal_id=decision.signal_id,
                revision=decision.revision,
                verdict=decision.verdict.value,
                code=None if decision.code is None else decision.code.value,
                body=orjson.dumps(decision.as_dict()),
                config_hash=config_hash,
                decided_at=instant_to_text(decision.decided_at),
            )
            self._db.run(
                "UPDATE signals SET is_decided = 1 WHERE signal_id = ? AND revision = ?",
                decision.signal_id,
                decision.revision,
            )
            if written and order is not None:
                self._write_intent(order)
        return written

    def _write_intent(self, order: OrderIntent) -> None:
        self._db.run(
            "INSERT INTO intents (order_id, signal_id, revision, leg, ticker, plan, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            order.order_id,
            order.signal_id,
            order.revision,
            order.plan.leg.value,
            order.plan.ticker,
            orjson.dumps(order.plan.as_dict()),
            instant_to_text(order.created_at),
        )

    def write_outcome(self, order_id: str, outcome: Outcome, at: datetime) -> None:
        """Note what became of an order."""
        with self._db.transaction():
            self._db.run(
                "UPDATE intents SET state = ?, quantity = ?, price = ?, detail = ?, settled_at = ? WHERE order_id = ?",
                outcome.state.value,
                *texts((outcome.quantity, outcome.price)),
                outcome.detail,
                instant_to_text(at),
                order_id,
            )

    # Paper ledger -----------------------------------------------------------------------------------------------

    def write_paper_order(
        self, order_id: str, plan: OrderPlan, outcome: Outcome, fill: Fill | None, at: datetime, mark_at: datetime
    ) -> bool:
        """Write a paper order with its fill, in one commit; False, and no change, when the id is known.

        The fill's price becomes the ticker's latest known price, as seen at `mark_at`.
        """
        with self._db.transaction():
            written = self._db.run(
                "INSERT OR IGNORE INTO paper_orders VALUES (?, ?, ?, ?, ?, ?, ?)",
                order_id,
                orjson.dumps(plan.as_dict()),
                outcome.state.value,
                *texts((outcome.quantity, outcome.price)),
                outcome.detail,
                instant_to_text(at),
            )
            if written and fill is not None:
                self._write_fill(fill)
                self.write_mark(fill.ticker, fill.price, mark_at)
        return bool(written)

    def _write_fill(self, fill: Fill) -> None:
        self._db.run(
            "INSERT INTO fills (order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            fill.order_id,
            fill.ticker,
            fill.side.value,
            fill.leg.value,
            *texts((fill.quantity, fill.price)),
            instant_to_text(fill.at),
            *texts((fill.stop_price, fill.target_price)),
            fill.catalyst,
        )

    def write_mark(self, ticker: str, price: Decimal, at: datetime) -> None:
        """The latest known price of a ticker, and when it was seen."""
        with self._db.transaction():
            self._db.run(
                "INSERT INTO marks VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET price = excluded.price, at = excluded.at",
                ticker,
                str(price),
                instant_to_text(at),
            )

    # States -----------------------------------------------------------------------------------------------------

    def set_meta(self, key: str, value: str) -> None:
        with self._db.transaction():
            self._db.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)

    def set_latch(self, name: str, value: str, reason: str, at: datetime) -> None:
        """Set a trading state (`local`, `operator`); it stays over restarts until it is set again."""
        with self._db.transaction():
            self._db.run(
                "INSERT INTO latches VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET value = excluded.value, reason = excluded.reason, at = excluded.at",
                name,
                value,
                reason,
                instant_to_text(at),
            )

    def set_link_state(self, state: LinkState) -> None:
        """What `status` in another process will say about the link: its state, and since when."""
        with self._db.transaction():
            self._db.run(
                "INSERT OR REPLACE INTO link_state VALUES (1, ?, ?)", state.state, instant_to_text(state.since)
            )
