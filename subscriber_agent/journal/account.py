"""The journal's calls about orders, executions, stops and the account: what any engine did, and how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from subscriber_agent.accounting.book import Fill
from subscriber_agent.engines.engine import Account, Outcome
from subscriber_agent.journal import booking, flattening, holding
from subscriber_agent.journal.database import Database, texts
from subscriber_agent.journal.rows import (
    Booked,
    EngineSnapshot,
    EquityRow,
    OrderIntent,
    OrderRow,
    ReconcileRow,
    ReconcileState,
    instant_to_text,
)
from subscriber_agent.journal.shapes import order_from
from subscriber_agent.risk.breaker import Breaker
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.protection import Protection

_ORDER = "order_id, signal_id, revision, plan, created_at, state, quantity, price, detail, legs, settled_at"
ALL = 2**62  # executions: more than there ever are
_OPEN = "(state IS NULL OR state IN ('UNKNOWN', 'ACCEPTED', 'PARTLY_FILLED'))"


class AccountReader:
    """What may be asked about orders and the account, also beside a running agent."""

    _db: Database

    # Orders -----------------------------------------------------------------------------------------------------

    def open_intents(self) -> list[OrderRow]:
        """Orders whose end is not known: no outcome, UNKNOWN, or still working, in part filled or not. Oldest first."""

        def read() -> list[OrderRow]:
            rows = self._db.rows(f"SELECT {_ORDER} FROM intents WHERE {_OPEN} ORDER BY created_at, rowid")  # noqa: S608
            return [order_from(row) for row in rows]

        return [*self._db.recalled(("intents",), "open_intents", read)]

    def orders_of(self, signal_id: str) -> list[OrderRow]:
        """Every order that a signal led to, oldest first."""
        rows = self._db.rows(
            f"SELECT {_ORDER} FROM intents WHERE signal_id = ? ORDER BY created_at, rowid",  # noqa: S608
            signal_id,
        )
        return [order_from(row) for row in rows]

    def order(self, order_id: str) -> OrderRow | None:
        """One order by its id; None when it is none of ours. An engine's own legs are no rows."""
        rows = self._db.rows(f"SELECT {_ORDER} FROM intents WHERE order_id = ?", order_id)  # noqa: S608
        return order_from(rows[0]) if rows else None

    def latest_orders(self, limit: int) -> list[OrderRow]:
        """The last orders, newest first."""
        rows = self._db.rows(f"SELECT {_ORDER} FROM intents ORDER BY created_at DESC, rowid DESC LIMIT ?", limit)  # noqa: S608
        return [order_from(row) for row in rows]

    def failed_exits(self, ticker: str, since: datetime) -> list[OrderRow]:
        """Exits of a ticker, intended from `since` on, that ended without closing all they should, the oldest first."""
        rows = self._db.rows(
            f"SELECT {_ORDER} FROM intents WHERE leg = 'exit' AND ticker = ? AND created_at >= ?"  # noqa: S608
            " AND state IN ('REJECTED', 'CANCELLED', 'ABANDONED') ORDER BY created_at, rowid",
            ticker,
            instant_to_text(since),
        )
        return [order_from(row) for row in rows]

    def is_closed_since(self, ticker: str, stream_seq: int) -> bool:
        """Whether a close signal for the ticker came behind that place in the stream and was not withdrawn."""
        return bool(
            self._db.rows(
                "SELECT 1 FROM signals s WHERE ticker = ? AND action = 'close' AND event <> 'retract'"
                " AND stream_seq > ? AND NOT EXISTS (SELECT 1 FROM signals r WHERE r.signal_id = s.signal_id"
                " AND r.event = 'retract') LIMIT 1",
                ticker,
                stream_seq,
            )
        )

    # Executions -------------------------------------------------------------------------------------------------

    def fills(self, after: int = 0) -> list[Fill]:
        """Executions in the order they were booked; `after` skips that many (they are never removed)."""

        def read() -> list[Fill]:
            return booking.all_fills(self._db, after)

        return [*self._db.recalled(("fills",), ("fills", after), read)] if after else read()

    def fills_since(self, at: datetime) -> list[Fill]:
        """Executions later than an instant, in the order they were booked."""
        return booking.fills_since(self._db, at)

    def last_fill_at(self, ticker: str) -> datetime | None:
        """When a ticker's last execution was made; None without any."""
        return booking.last_fill_at(self._db, ticker)

    def fills_of(self, order_id: str) -> list[Fill]:
        """What is booked of one order or leg, oldest first."""
        return booking.fills_of(self._db, order_id)

    def held(self, ticker: str) -> Decimal:
        """Signed shares of a ticker by our own log."""
        return booking.held_of(self._db, ticker)

    def fills_in(self, tickers: Iterable[str], first: int) -> list[Fill]:
        """What is booked of some tickers among the `first` executions, oldest first."""
        return booking.fills_in(self._db, tickers, first)

    def last_fill(self) -> tuple[int, Fill | None]:
        """How many executions there are, and the last of them."""
        return booking.last_fill(self._db)

    def shares(self, first: int = ALL) -> dict[str, Decimal]:
        """Signed shares by ticker by our own log, after the `first` executions; what came to nothing is left out."""
        return {**self._db.recalled(("fills",), ("shares", first), lambda: booking.shares(self._db, first))}

    def ledger_rows(self, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Number and document of each event of the risk ledger above number `after`, ascending."""

        def read() -> list[tuple[int, dict[str, Any]]]:
            rows = self._db.rows("SELECT number, body FROM ledger WHERE number > ? ORDER BY number", after)
            return [(number, orjson.loads(body)) for number, body in rows]

        # Years of it are read once, at the start: they are not to stay in memory.
        return [*self._db.recalled(("ledger",), ("ledger", after), read)] if after else read()

    # Stops, and how the account stands --------------------------------------------------------------------------

    def protections(self, *, is_open: bool = True, ticker: str | None = None, limit: int = 1000) -> list[Protection]:
        """The stops of entries, or of one ticker's, oldest first; `is_open` leaves out those that are closed.

        Raises StorageFailed.
        """

        def read() -> list[Protection]:
            return holding.protections(self._db, is_open=is_open, ticker=ticker, limit=limit)

        return [*self._db.recalled(("protections",), ("protections", is_open, ticker, limit), read)]

    def protection(self, entry_id: str) -> Protection | None:
        """The stop of one entry; None without one. Raises StorageFailed."""
        return holding.protection(self._db, entry_id)

    def snapshot(self) -> EngineSnapshot | None:
        """The engine's last word to the running agent; None before the first. Raises StorageFailed."""
        return holding.last_snapshot(self._db)

    def equity(self, since: datetime | None = None) -> list[EquityRow]:
        """What the account was worth, oldest first; in USD."""
        return holding.equity_rows(self._db, since)

    def open_reconcile(self) -> ReconcileRow | None:
        """The differences to the engine that refuse entries now; None without any."""
        return self._db.recalled(("reconciles",), "open_reconcile", lambda: holding.open_reconcile(self._db))

    def reconciles(self, limit: int) -> list[ReconcileRow]:
        """The latest differences, newest first."""
        return holding.reconciles(self._db, limit)

    def breaker(self, engine: str = "") -> Breaker:
        """An engine's circuit breaker as it was last written down; "" is the engine that spoke last.

        Raises StorageFailed when it cannot be read.
        """
        return flattening.kept_breaker(self._db, engine or self._last_engine())

    def _last_engine(self) -> str:
        last = self.snapshot()
        if last is not None:
            return last.engine
        # Before its first word: the engine that the last start made ready, else the one that earlier versions knew.
        bound = self._db.rows(
            "SELECT json_extract(value, '$.engine') FROM meta WHERE key = 'engine_bound' AND value <> ''"
        )
        return str(bound[0][0]) if bound else "paper"


class AccountWriter(AccountReader):
    """What the agent writes down about orders and the account; every call joins the caller's transaction."""

    def write_outcome(self, order_id: str, outcome: Outcome, at: datetime) -> None:
        """Note what became of an order, its legs included."""
        legs = orjson.dumps([each.as_dict() for each in outcome.legs]).decode() if outcome.legs else None
        with self._db.transaction():
            self._db.run(
                "UPDATE intents SET state = ?, quantity = ?, price = ?, detail = ?, legs = ?, settled_at = ?"
                " WHERE order_id = ?",
                outcome.state.value,
                *texts((outcome.quantity, outcome.price)),
                outcome.detail,
                legs,
                instant_to_text(at),
                order_id,
            )
            self._db.after_commit("outcome.committed")

    def book(self, intent: OrderIntent, outcome: Outcome, at: datetime) -> Booked:
        """Book what an order and its legs have filled beyond what is booked; the same word again books nothing.

        A total that shrank is a fault and books nothing; more than asked for, or held, is real: booked and said.
        """
        with self._db.transaction():
            return booking.book(self._db, intent, outcome, at)

    def add_fills(self, fills: Iterable[Fill]) -> None:
        """Append executions as they are: the adjustments of a reconcile that the friend accepted."""
        with self._db.transaction():
            self._db.check_is_current()
            for each in fills:
                booking.add(self._db, each)

    def write_order(self, order: OrderIntent) -> None:
        """Write down an order that follows from no decision: a position's stop. A known id changes nothing."""
        with self._db.transaction():
            if self.order(order.order_id) is None:
                self._write_intent(order)

    def reduce_order(self, order_id: str, plan: OrderPlan) -> None:
        """Change the plan of an order that was not handed over yet: its stop took a part of the shares meanwhile."""
        with self._db.transaction():
            self._db.run(
                "UPDATE intents SET plan = ? WHERE order_id = ? AND state IS NULL",
                orjson.dumps(plan.as_dict()),
                order_id,
            )

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

    def write_protection(self, row: Protection) -> None:
        """Write down the stop of an entry as it is now."""
        with self._db.transaction():
            holding.keep_protection(self._db, row)

    def write_snapshot(self, now: EngineSnapshot) -> None:
        """Keep the engine's last word, over the one before."""
        with self._db.transaction():
            holding.keep_snapshot(self._db, now)

    def add_equity(self, engine: str, account: Account, equity: Decimal | None, at: datetime) -> bool:
        """Append to the equity curve when there is something new; unknown is no row. Whether there was."""
        with self._db.transaction():
            return holding.add_equity(self._db, engine, account, equity, at)

    def note_differences(self, differences: Sequence[Mapping[str, Any]], at: datetime) -> ReconcileRow:
        """Open a row of differences to the engine, or put those of now into the open one. Entries are refused."""
        with self._db.transaction():
            return holding.note_differences(self._db, differences, at)

    def end_reconcile(self, state: ReconcileState, at: datetime) -> ReconcileRow | None:
        """End the open row as RESOLVED or ACCEPTED; None when nothing was open."""
        with self._db.transaction():
            return holding.end_reconcile(self._db, state, at)

    def set_breaker(self, breaker: Breaker, engine: str = "") -> None:
        """Write down an engine's circuit breaker; it stays over restarts."""
        with self._db.transaction():
            flattening.keep_breaker(self._db, engine or self._last_engine(), breaker)

    def add_ledger_row(self, body: Mapping[str, Any], at: datetime) -> None:
        """Append an event of the risk ledger; events are never changed, and pruning leaves them alone."""
        with self._db.transaction():
            self._db.run("INSERT INTO ledger (body, at) VALUES (?, ?)", orjson.dumps(body), instant_to_text(at))
