"""A paper account that an earlier version kept in the agent's journal: read once, and taken over at the first start."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson

from subscriber_agent.accounting.book import Leg, book_from
from subscriber_agent.engines.engine import OutcomeState, triggered_order_id
from subscriber_agent.engines.paper.legs import leg_of
from subscriber_agent.engines.paper.rows import Row, fill_from, instant
from subscriber_agent.engines.paper.store import Rows, reading
from subscriber_agent.engines.paper.turn import Turn
from subscriber_agent.engines.paper.values import Mark, Order, Standing
from subscriber_agent.risk.decision import OrderPlan

# The journal's own name for it; the engine knows the journal by its file only.
JOURNAL_FILE = "journal.sqlite"
_START_CASH = "paper_start_cash_usd"
_PAPER = "(SELECT order_id FROM paper_orders)"
_OLD_TABLES = {"meta", "paper_orders", "fills", "marks"}


def beginning(data: Path, start_cash_usd: Decimal) -> tuple[Decimal, Turn]:
    """What a new paper account begins with: that of the journal in `data`, or `start_cash_usd` and nothing else.

    Only reads. Raises StorageFailed where a journal is there and cannot be read: it might hold an account.
    """
    path = data / JOURNAL_FILE
    if path.exists():
        with reading(path) as rows:
            return _taken_over(rows, start_cash_usd)
    return start_cash_usd, Turn(Standing(book_from((), start_cash=start_cash_usd)))


def _taken_over(rows: Rows, start_cash_usd: Decimal) -> tuple[Decimal, Turn]:
    tables = {row[0] for row in rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables >= _OLD_TABLES:
        return start_cash_usd, Turn(Standing(book_from((), start_cash=start_cash_usd)))
    kept = rows("SELECT value FROM meta WHERE key = ?", _START_CASH)
    cash = Decimal(kept[0][0]) if kept else start_cash_usd
    turn = Turn(Standing(book_from((), start_cash=cash)))
    orders = [
        _order_from(row)
        for row in rows("SELECT order_id, plan, state, quantity, price, detail, at FROM paper_orders ORDER BY rowid")
    ]
    _take_fills(turn, rows)
    for ticker, price, at in rows("SELECT ticker, price, at FROM marks"):
        turn.marks[ticker] = turn.marked[ticker] = Mark(Decimal(price), instant(at))
    entries = {each.order_id for each in orders if each.plan.leg is Leg.ENTRY}
    parents = {triggered_order_id(entry, leg): entry for entry in entries for leg in (Leg.STOP, Leg.TARGET)}
    for each in orders:
        turn.put(replace(each, entry_id=parents.get(each.order_id, "")))
    _hold_legs(turn, orders)
    return cash, turn


def _take_fills(turn: Turn, rows: Rows) -> None:
    """The fills of paper orders only: later versions keep those of every engine in the same table."""
    has_sector = any(row[1] == "sector" for row in rows("PRAGMA table_info(fills)"))
    columns = "order_id, ticker, side, leg, quantity, price, at, stop_price, target_price, catalyst, "
    query = f"SELECT {columns}{'sector' if has_sector else 'NULL'} FROM fills WHERE order_id IN {_PAPER} ORDER BY id"  # noqa: S608
    for row in rows(query):
        fill = fill_from(row)
        turn.fills.append(fill)
        turn.book = turn.book.after(fill)


def _hold_legs(turn: Turn, orders: list[Order]) -> None:
    """The stops and targets of what is held, the newest entries first; until now the position itself carried them."""
    left = {ticker: each.quantity for ticker, each in turn.book.positions.items()}
    found: list[Order] = []
    for entry in reversed([each for each in orders if each.plan.leg is Leg.ENTRY and each.filled > 0]):
        held = left.get(entry.plan.ticker, Decimal(0)) * entry.plan.side.sign
        room = min(entry.filled, max(held, Decimal(0)))
        legs = [leg_of(entry, leg, room, entry.at) for leg in (Leg.STOP, Leg.TARGET)] if room > 0 else []
        held_now = [each for each in legs if each is not None and each.order_id not in turn.changed]
        if held_now:
            left[entry.plan.ticker] -= room * entry.plan.side.sign
        found = held_now + found
    for each in found:
        turn.put(each)


def _order_from(row: Row) -> Order:
    order_id, plan, state, filled, price, detail, at = row
    read = OrderPlan.from_dict(orjson.loads(plan))
    return Order(
        order_id=order_id,
        plan=read,
        asked=read.quantity,
        state=OutcomeState(state),
        at=instant(at),
        filled=Decimal(filled),
        price=None if price is None else Decimal(price),
        detail=detail,
    )
