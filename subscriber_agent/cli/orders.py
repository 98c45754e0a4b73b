"""`subscriber-agent orders`: what was ordered, what became of it, and the stop and target that hang on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from subscriber_agent.cli.held import stop_dict
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.journal import JournalReader, OrderRow

_COLUMNS = ("ordered (UTC)", "ticker", "leg", "side", ">shares", ">filled", ">price", "state", "stop", "id")
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many that have ended.")]


def orders(
    config: ConfigOption = None,
    limit: LimitOption = 20,
    open_only: Annotated[bool, typer.Option("--open", help="Only orders without an end.")] = False,
    ticker: Annotated[str | None, typer.Option("--ticker", help="Only this ticker.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Orders without an end first, then the latest that have ended; with the stop and target of each entry.

    Example: subscriber-agent orders --open
    """
    place, now = open_place(config), datetime.now(UTC)
    with place.journal() as journal:
        working = journal.open_intents()
        ended = [] if open_only else _ended(journal, working, limit)
        wanted = None if ticker is None else ticker.upper()
        found = [row for row in (*working, *ended) if wanted in (None, row.intent.plan.ticker)]
        rows = [_order_dict(journal, row, now) for row in found]
    empty = "no orders are open" if open_only else "nothing was ordered yet"
    finish(
        Envelope("subscriber-agent orders", rows),
        as_json=as_json,
        render=lambda out: _render(out, rows, empty),
    )


def _ended(journal: JournalReader, working: list[OrderRow], limit: int) -> list[OrderRow]:
    opened = {row.intent.order_id for row in working}
    latest = journal.latest_orders(limit + len(working))
    return [row for row in latest if row.intent.order_id not in opened][:limit]


def _order_dict(journal: JournalReader, row: OrderRow, now: datetime) -> dict[str, Any]:
    intent, plan, outcome = row.intent, row.intent.plan, row.outcome
    stop = journal.protection(intent.order_id)
    return {
        "order_id": intent.order_id,
        "signal_id": intent.signal_id,
        "ticker": plan.ticker,
        "leg": plan.leg.value,
        "side": plan.side.value,
        "type": plan.order_type.value,
        "quantity": plan.quantity,
        "limit_price": plan.limit_price,
        "stop_price": plan.stop_price,
        "state": None if outcome is None else outcome.state.value,
        "is_open": outcome is None or not outcome.state.is_final,
        "filled": None if outcome is None else outcome.quantity,
        "price": None if outcome is None else outcome.price,
        "detail": "" if outcome is None else outcome.detail,
        "created_at": intent.created_at.isoformat(),
        "settled_at": None if row.settled_at is None else row.settled_at.isoformat(),
        "legs": [] if outcome is None else [each.as_dict() for each in outcome.legs],
        "stop": None if stop is None else stop_dict(stop, now),
    }


def _render(out: Console, rows: list[dict[str, Any]], empty: str) -> None:
    cells = [line for row in rows for line in (_cells(row), *(_leg_cells(row, each) for each in row["legs"]))]
    table(*_COLUMNS, rows=cells, empty=empty)(out)
    for row in rows:
        if row["is_open"] and row["detail"]:
            out.print(f"{row['order_id']}: {row['detail']}", markup=False)


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    stop = row["stop"]
    return (
        row["created_at"][5:19].replace("T", " "),
        row["ticker"],
        row["leg"],
        row["side"],
        row["quantity"],
        row["filled"],
        row["price"],
        row["state"] or "not handed over",
        None if stop is None else f"{stop['stop_price']} {stop['holder']} {stop['state']}",
        row["order_id"],
    )


def _leg_cells(row: dict[str, Any], leg: dict[str, Any]) -> tuple[Any, ...]:
    side = "sell" if row["side"] == "buy" else "buy"
    what = f"  {leg['leg']}"
    price = leg["price"] or (None if leg["trigger_price"] is None else f"at {leg['trigger_price']}")
    return (
        None,
        row["ticker"],
        what,
        side,
        leg["protects"],
        leg["quantity"],
        price,
        leg["state"],
        None,
        leg["order_id"],
    )
