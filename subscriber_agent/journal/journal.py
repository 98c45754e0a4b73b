"""What the agent writes down, each step in one transaction that is on disk before the call returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import orjson

from signal_contract.edges import reached
from signal_contract.errors import StorageFailed
from signal_contract.feedback import Feedback
from subscriber_agent.journal import approvals, flattening, loosened
from subscriber_agent.journal.account import AccountWriter
from subscriber_agent.journal.arrivals import DUPLICATE, record_one, unpark_one
from subscriber_agent.journal.chained import append, append_all
from subscriber_agent.journal.controls import set_latch
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.linkage import write_link, write_progress
from subscriber_agent.journal.outbox import add_reports, remove_reports
from subscriber_agent.journal.pruning import prune
from subscriber_agent.journal.reader import JournalReader
from subscriber_agent.journal.rows import (
    ApprovalRow,
    Arrival,
    FlattenRequest,
    OrderIntent,
    Pruned,
    Recorded,
    SetAside,
    instant_to_text,
)
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import Decision, OrderPlan, Verdict

JOURNAL_FILE = "journal.sqlite"
_MARK_DECIDED = "UPDATE signals SET is_decided = 1 WHERE signal_id = ? AND revision = ?"


class Journal(AccountWriter, JournalReader):
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
        stream, a replay, as SIGNATURE_INVALID; so is a control id that came before. A control message sets its latch.
        """
        with self._db.transaction():
            fates = []
            for arrival in arrivals:
                fates.append(record_one(self._db, arrival))
                reached("journal.uncommitted")
            for key, value in (meta or {}).items():
                self.set_meta(key, value)
        aside = tuple(each for each in fates if isinstance(each, SetAside))
        is_new = tuple(each != DUPLICATE for each in fates)
        kept = sum(is_new)
        return Recorded(kept - len(aside), len(arrivals) - kept, len(aside), aside, is_new)

    def unpark(self, number: int, arrival: Arrival) -> SetAside | None:
        """Try parked message `number` again, as `arrival` reads it today.

        None: it is no longer parked; a signal is undecided now, as if it had just come. Otherwise it stays parked, with
        today's reason. Raises NotFound.
        """
        with self._db.transaction():
            return unpark_one(self._db, number, arrival)

    # Decisions and orders ---------------------------------------------------------------------------------------

    def write_decision(
        self,
        decision: Decision,
        config_hash: str,
        order: OrderIntent | None,
        *,
        attempt: int = 1,
        stream_seq: int | None = None,
    ) -> bool:
        """Write a decision and the order it leads to, together; the decision joins the hash chain.

        `stream_seq` is the signal's, for who knows it. `attempt` 2 is the decision after an approval: a row of its
        own, and readers show the latest. False: this attempt at this revision was decided before, no change.
        """
        again = {} if attempt == 1 else {"attempt": attempt}
        with self._db.transaction():
            written = self._append(decision, config_hash, {**decision.as_dict(), **again}, attempt, stream_seq)
            if written and order is not None:
                self._write_intent(order)
            reached("decision.uncommitted")
        return written

    def write_decisions(
        self, decisions: Sequence[tuple[Decision, int]], documents: Sequence[Mapping[str, Any]], config_hash: str
    ) -> list[bool]:
        """Write decisions that lead to no order, each with its signal's stream sequence, as `write_decision` does each.

        `documents` are their `as_dict`s. At most one on each revision; False at the place of each that was decided
        before.
        """
        made = [_row(each, config_hash, body) for (each, _), body in zip(decisions, documents, strict=True)]
        with self._db.transaction():
            written = append_all(self._db, made, [stream_seq for _, stream_seq in decisions])
            self._db.run_all(_MARK_DECIDED, [(each.signal_id, each.revision) for each, _ in decisions])
            for _ in range(sum(written)):
                reached("decision.uncommitted")
        return written

    def mark_handled(self, signal_id: str, revision: int, at: datetime, note: str) -> bool:
        """Note that the friend's own program took a signal: a decision NOTED, HANDLED_ELSEWHERE, with his `note`.

        False, and no change, when the revision was decided before.
        """
        decision = Decision(signal_id, revision, Verdict.NOTED, Code.HANDLED_ELSEWHERE, (), None, at)
        with self._db.transaction():
            return self._append(decision, "", {**decision.as_dict(), "note": note})

    def _append(
        self,
        decision: Decision,
        config_hash: str,
        body: Mapping[str, Any],
        attempt: int = 1,
        stream_seq: int | None = None,
    ) -> bool:
        """Add a decision to the chain, and mark its signal as decided."""
        written = append(self._db, _row(decision, config_hash, body, attempt), stream_seq)
        self._db.run(_MARK_DECIDED, decision.signal_id, decision.revision)
        return written

    # The friend's word ------------------------------------------------------------------------------------------

    def ask_approval(
        self, signal_id: str, revision: int, plan: OrderPlan, expires_at: datetime, at: datetime
    ) -> ApprovalRow:
        """Put a planned order before the friend, until `expires_at`; what was asked before stays as it is."""
        with self._db.transaction():
            return approvals.ask(self._db, signal_id, revision, plan, expires_at, at)

    def answer_approval(
        self, signal_id: str, revision: int, approved: bool, at: datetime, *, config_hash: str = ""
    ) -> ApprovalRow:
        """Give the friend's word, also beside a running agent; a yes is journaled with the config's hash.

        Raises NotFound; Conflict when it expired or was answered before.
        """
        with self._db.transaction():
            self._db.check_is_current()
            row = approvals.answer(self._db, signal_id, revision, approved=approved, at=at)
            if approved:
                what = {"signal_id": signal_id, "revision": revision, "plan": row.plan.as_dict()}
                self.write_loosening("approved", what, config_hash, at)
            return row

    def approval_done(self, signal_id: str, revision: int, at: datetime) -> None:
        """Note that an approved signal was decided again; call it in that decision's transaction."""
        with self._db.transaction():
            approvals.finish(self._db, signal_id, revision)

    def expire_approvals(self, now: datetime) -> list[ApprovalRow]:
        """Close what nobody answered in time; returns what was closed now."""
        with self._db.transaction():
            return approvals.expire(self._db, now)

    def write_loosening(self, kind: str, what: Mapping[str, Any], config_hash: str, at: datetime) -> None:
        """Write down that something lets more through: `kind` (`resumed`, `risk_reset`, …), with the config's hash.

        The rows are a hash chain of their own, and are never removed. Raises NotFound for an earlier version's journal.
        """
        with self._db.transaction():
            self._db.check_is_current()
            loosened.write(self._db, {"type": kind, "at": instant_to_text(at), **what}, config_hash, at)

    def write_config_change(self, change: Mapping[str, Any], at: datetime) -> None:
        """Write down a `ConfigChange.as_dict()`; one with `before_hash` None is the first start's."""
        with self._db.transaction():
            loosened.write(self._db, {**change, "type": loosened.CONFIG_CHANGED}, str(change["after_hash"]), at)

    def request_flatten(self, reason: str, at: datetime) -> FlattenRequest:
        """Tell the running agent to close every position, halted or not; a command that still waits stands."""
        with self._db.transaction():
            self._db.check_is_current()
            return flattening.ask_to_flatten(self._db, reason, at)

    def flatten_done(self, at: datetime) -> None:
        """Note that the command was carried out."""
        with self._db.transaction():
            flattening.finish_flatten(self._db, at)

    # States -----------------------------------------------------------------------------------------------------

    def set_meta(self, key: str, value: str) -> None:
        with self._db.transaction():
            self._db.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)

    def set_latch(self, name: str, value: str, reason: str, at: datetime) -> None:
        """Set a trading state (`local`, `operator`); it stays over restarts until it is set again."""
        set_latch(self._db, name, value, reason, at)

    def set_link(self, state: str, reason: str, at: datetime) -> None:
        """What `status` will say about the link, since when, and why; the last 1,000 changes are kept."""
        write_link(self._db, state, reason, at)

    def set_progress(self, position: int, pending: int | None, at: datetime) -> None:
        """The durable's ack floor and how many messages wait there, as just measured on the server."""
        write_progress(self._db, position, pending, at)

    # Reports to the operator ------------------------------------------------------------------------------------

    def add_feedback(self, reports: Iterable[Feedback]) -> None:
        """Keep reports until they are sent, at most 10,000: the oldest make room. Joins the caller's transaction."""
        add_reports(self._db, reports)

    def feedback_sent(self, ids: Iterable[str]) -> None:
        """Forget the reports that the server has stored."""
        remove_reports(self._db, ids)

    # Upkeep -----------------------------------------------------------------------------------------------------

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside is on disk together, in one commit, when the block ends; nested ones join.

        No `await` inside: other threads wait for its end.
        """
        return self._db.transaction()

    def checkpoint(self) -> None:
        """Tidy the file up while nothing waits: otherwise a commit does, one in some thirty, and takes much longer."""
        # A failure, on a full disk say, loses nothing: the log holds it all, and the next commit says what is wrong.
        with suppress(StorageFailed):
            self._db.checkpoint()

    @property
    def is_log_long(self) -> bool:
        """Whether `checkpoint` must not wait for a quiet moment: the log would grow by megabytes."""
        return self._db.is_log_long

    def prune(self, *, before: datetime, stream_first_sequence: int | None, dry_run: bool = False) -> Pruned:
        """Remove what is older than `before` and gone from the stream (its first sequence; None: not known).

        Decided signals with their decisions, what was seen, parked messages; never orders, fills, latches or the
        operator's words. The log of decisions still verifies. `dry_run` only counts.
        """
        return prune(self._db, before=before, first_sequence=stream_first_sequence, dry_run=dry_run)


def _row(decision: Decision, config_hash: str, body: Mapping[str, Any], attempt: int = 1) -> dict[str, Any]:
    """A decision as the log's columns hold it, without its place in the chain."""
    return {
        "signal_id": decision.signal_id,
        "revision": decision.revision,
        "verdict": decision.verdict.value,
        "code": None if decision.code is None else decision.code.value,
        "body": orjson.dumps(body),
        "config_hash": config_hash,
        "decided_at": instant_to_text(decision.decided_at),
        "attempt": attempt,
    }
