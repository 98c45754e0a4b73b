"""What is held and how it is looked after: protections, the engine's last word, equity over time, differences.

Knows statements; the caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Side, known
from subscriber_agent.engines.engine import Account, Holding, WorkingOrder
from subscriber_agent.journal.database import Database
from subscriber_agent.journal.rows import (
    EngineSnapshot,
    EquityRow,
    ReconcileRow,
    ReconcileState,
    instant_to_text,
    maybe_decimal,
    maybe_instant,
)
from subscriber_agent.risk.decision import OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities
from subscriber_agent.risk.protection import Protection

_SNAPSHOT = "engine_snapshot"
_EQUITY_EVERY = timedelta(minutes=1)
_RECONCILE = "number, at, differences, state, resolved_at"
_SETS = ("times_in_force",)


# Protections --------------------------------------------------------------------------------------------------------


def protections(db: Database, *, is_open: bool, ticker: str | None, limit: int) -> list[Protection]:
    """The stops of entries, or of one ticker's, the first opened first; `is_open` leaves out what is closed."""
    state = "state <> 'CLOSED'" if is_open else "1"
    rows = db.rows(
        f"SELECT body FROM protections WHERE {state} AND (?1 IS NULL OR ticker = ?1) ORDER BY at, rowid LIMIT ?2",  # noqa: S608
        ticker,
        limit,
    )
    return [_protection(row[0]) for row in rows]


def protection(db: Database, entry_id: str) -> Protection | None:
    """The stop of one entry; None without one."""
    rows = db.rows("SELECT body FROM protections WHERE entry_id = ?", entry_id)
    return _protection(rows[0][0]) if rows else None


def keep_protection(db: Database, row: Protection) -> None:
    """Write a protection down as it is now."""
    db.run(
        "INSERT INTO protections VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET state = excluded.state, body = excluded.body",
        row.entry_id,
        row.ticker,
        row.state.value,
        orjson.dumps(row.as_dict()),
        instant_to_text(row.since),
    )


def _protection(body: bytes) -> Protection:
    try:
        return Protection.from_dict(orjson.loads(body))
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise StorageFailed("the journal's note of a position's stop cannot be read") from error


# The engine's last word ---------------------------------------------------------------------------------------------


def keep_snapshot(db: Database, now: EngineSnapshot) -> None:
    """Write the engine's last word over the one before."""
    text = orjson.dumps(_snapshot_dict(now)).decode()
    db.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", _SNAPSHOT, text)


def last_snapshot(db: Database) -> EngineSnapshot | None:
    """The engine's last word; None before the first."""
    rows = db.rows("SELECT value FROM meta WHERE key = ?", _SNAPSHOT)
    if not rows:
        return None
    try:
        return _snapshot(orjson.loads(rows[0][0]))
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise StorageFailed(f"{db.path}: the note of the engine's last word cannot be read") from error


def _snapshot_dict(now: EngineSnapshot) -> dict[str, Any]:
    can = {name: getattr(now.can, name) for name in Capabilities.__dataclass_fields__}
    return {
        "at": instant_to_text(now.at),
        "engine": now.engine,
        "is_paper": now.is_paper,
        "can": {name: sorted(value) if name in _SETS else value for name, value in can.items()},
        "cash": _text(now.account.cash),
        "equity": _text(now.account.equity),
        "is_blocked": now.account.is_blocked,
        "holdings": [
            [each.ticker, str(each.quantity), _text(each.average_price), _text(each.last_price)]
            for each in now.holdings
        ],
        "orders": None if now.orders is None else [_order_list(each) for each in now.orders],
    }


def _snapshot(body: Mapping[str, Any]) -> EngineSnapshot:
    fields = {name: value for name, value in body["can"].items() if name in Capabilities.__dataclass_fields__}
    fields["times_in_force"] = frozenset(TimeInForce(each) for each in fields["times_in_force"])
    orders = body["orders"]
    return EngineSnapshot(
        at=datetime.fromisoformat(body["at"]),
        engine=body["engine"],
        is_paper=bool(body["is_paper"]),
        can=Capabilities(**fields),
        account=Account(maybe_decimal(body["cash"]), maybe_decimal(body["equity"]), body["is_blocked"]),
        holdings=tuple(
            Holding(ticker, Decimal(quantity), maybe_decimal(average), maybe_decimal(last))
            for ticker, quantity, average, last in body["holdings"]
        ),
        orders=None if orders is None else tuple(_order(each) for each in orders),
    )


def _order_list(each: WorkingOrder) -> list[str | None]:
    kind = None if each.order_type is None else each.order_type.value
    prices = (_text(each.limit_price), _text(each.stop_price))
    return [each.order_id, each.ticker, each.side.value, str(each.quantity), str(each.filled), kind, *prices]


def _order(row: Sequence[Any]) -> WorkingOrder:
    order_id, ticker, side, quantity, filled, kind, limit, stop = row
    order_type = None if kind is None else OrderType(kind)
    numbers = (Decimal(quantity), Decimal(filled))
    return WorkingOrder(order_id, ticker, Side(side), *numbers, order_type, maybe_decimal(limit), maybe_decimal(stop))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


# Equity over time ---------------------------------------------------------------------------------------------------


def add_equity(db: Database, engine: str, account: Account, equity: Decimal | None, at: datetime) -> bool:
    """Append what the account is worth, when it changed: once a minute, and after each booked fill. Unknown: no row."""
    cash, worth = known(account.cash), known(equity)
    if cash is None or worth is None:
        return False
    fills = db.recalled(("fills",), "last_fill", lambda: int(db.rows("SELECT coalesce(max(id), 0) FROM fills")[0][0]))
    last = db.recalled(
        ("equity",),
        "last_equity",
        lambda: db.rows("SELECT at, cash, equity, engine, fills FROM equity ORDER BY number DESC LIMIT 1"),
    )
    if last:
        was_at, was_cash, was_worth, was_engine, was_fills = last[0]
        is_same = (Decimal(was_cash), Decimal(was_worth), was_engine) == (cash, worth, engine)
        is_soon = abs(at - datetime.fromisoformat(was_at)) < _EQUITY_EVERY and was_engine == engine
        if was_fills == fills and (is_same or is_soon):
            return False
    db.run(
        "INSERT INTO equity (at, cash, equity, engine, fills) VALUES (?, ?, ?, ?, ?)",
        instant_to_text(at),
        str(cash),
        str(worth),
        engine,
        fills,
    )
    return True


def equity_rows(db: Database, since: datetime | None) -> list[EquityRow]:
    """The account's worth from `since` on, oldest first."""
    rows = db.rows(
        "SELECT at, cash, equity, engine FROM equity WHERE ?1 IS NULL OR at >= ?1 ORDER BY number",
        None if since is None else instant_to_text(since),
    )
    return [
        EquityRow(datetime.fromisoformat(at), Decimal(cash), Decimal(worth), name) for at, cash, worth, name in rows
    ]


# Differences to the engine ------------------------------------------------------------------------------------------


def note_differences(db: Database, differences: Sequence[Mapping[str, Any]], at: datetime) -> ReconcileRow:
    """Open a row, or put the differences of now into the one that is open; `at` stays when it was first found."""
    document = orjson.dumps([dict(each) for each in differences])
    there = open_reconcile(db)
    if there is None:
        db.run("INSERT INTO reconciles (at, differences, state) VALUES (?, ?, 'open')", instant_to_text(at), document)
    elif there.differences != tuple(differences):
        db.run("UPDATE reconciles SET differences = ? WHERE number = ?", document, there.number)
    return reconciles(db, 1)[0]


def end_reconcile(db: Database, state: ReconcileState, at: datetime) -> ReconcileRow | None:
    """End what is open as RESOLVED or ACCEPTED; returns it as it is now, None when nothing was open."""
    there = open_reconcile(db)
    if there is None:
        return None
    db.run("UPDATE reconciles SET state = ?, resolved_at = ? WHERE state = 'open'", state.value, instant_to_text(at))
    return ReconcileRow(there.number, there.at, there.differences, state, at)


def open_reconcile(db: Database) -> ReconcileRow | None:
    """The differences that are open; None: none were found at the last look."""
    rows = db.rows(f"SELECT {_RECONCILE} FROM reconciles WHERE state = 'open' ORDER BY number DESC LIMIT 1")  # noqa: S608
    return _reconcile(rows[0]) if rows else None


def reconciles(db: Database, limit: int) -> list[ReconcileRow]:
    """The latest rows, newest first."""
    rows = db.rows(f"SELECT {_RECONCILE} FROM reconciles ORDER BY number DESC LIMIT ?", limit)  # noqa: S608
    return [_reconcile(row) for row in rows]


def _reconcile(row: tuple[Any, ...]) -> ReconcileRow:
    number, at, differences, state, resolved_at = row
    found = tuple(orjson.loads(differences))
    return ReconcileRow(number, datetime.fromisoformat(at), found, ReconcileState(state), maybe_instant(resolved_at))
