"""Commands that only show: signals, positions. They work beside a running agent and without one."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.accounting.book import Book, Position
    from subscriber_agent.journal import Journal, SignalRow


def _book(place: Place, journal: Journal) -> Book:
    from subscriber_agent.engines.paper import paper_book

    return paper_book(journal, place.config.engine.start_cash_usd)


def _usd(value: Any) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def signals(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")] = 20,
    ticker: Annotated[str | None, typer.Option("--ticker", help="Only this ticker.")] = None,
    verdict: Annotated[str | None, typer.Option("--verdict", help="Only accepted, refused or noted.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What came over the wire and what was decided, newest first.

    Example: subscriber-agent signals --verdict refused
    """
    from subscriber_agent.risk.decision import Verdict

    wanted = None if verdict is None else verdict.lower()
    if wanted is not None and wanted not in {each.value.lower() for each in Verdict}:
        raise InputError(f"{verdict!r} is not a verdict", hint="Use accepted, refused or noted.")
    kind = next((each.value for each in Verdict if each.value.lower() == wanted), None)
    place = open_place(config)
    with place.journal() as journal:
        rows = journal.signals(limit, verdict=kind, ticker=ticker.upper() if ticker else None)
    # Eight narrow columns: with more, a terminal of 80 columns folds every cell.
    columns = (">seq", "id", "published", "action", "ticker", "catalyst", ">conf.", "outcome")
    render = table(*columns, rows=[_signal_cells(row) for row in rows], empty="no such signals yet")
    finish(Envelope("subscriber-agent signals", [_signal_dict(row) for row in rows]), as_json=as_json, render=render)


def _signal_cells(row: SignalRow) -> tuple[Any, ...]:
    return (
        row.stream_seq,
        row.signal_id[:8],
        f"{row.published_at:%m-%d %H:%M}",
        row.action if row.event == "new" else f"{row.action} {row.event} {row.revision}",
        row.ticker,
        row.catalyst,
        row.confidence,
        row.order_state or row.code or row.verdict or "undecided",
    )


def _signal_dict(row: SignalRow) -> dict[str, Any]:
    return {
        "seq": row.stream_seq,
        "signal_id": row.signal_id,
        "revision": row.revision,
        "event": row.event,
        "action": row.action,
        "ticker": row.ticker,
        "catalyst": row.catalyst,
        "confidence": str(row.confidence),
        "published_at": row.published_at.isoformat(),
        "received_at": row.received_at.isoformat(),
        "verdict": row.verdict,
        "code": row.code,
        "decided_at": row.decided_at.isoformat() if row.decided_at else None,
        "order": row.order_state,
    }


def positions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What the paper account holds, at the last price seen on the wire.

    Example: subscriber-agent positions
    """
    place = open_place(config)
    with place.journal() as journal:
        book = _book(place, journal)
    rows = [_position_dict(each) for each in book.positions.values()]
    data = {"positions": rows, "cash_usd": book.cash, "equity_usd": book.equity, "realised_usd": book.realised_usd}

    def render(out: Console) -> None:
        columns = (
            "ticker",
            ">shares",
            ">paid",
            ">last",
            ">stop",
            ">target",
            ">value",
            ">P&L",
            "catalyst",
            "since (UTC)",
        )
        cells = [
            (
                *(r[k] for k in ("ticker", "quantity", "average_price", "last_price", "stop_price", "target_price")),
                _usd(r["value_usd"]),
                _usd(r["unrealised_usd"]),
                r["catalyst"],
                r["opened_at"][:16],
            )
            for r in rows
        ]
        table(*columns, rows=cells, empty="no positions")(out)
        line = f"\ncash {_usd(book.cash)} USD, equity {_usd(book.equity)} USD, realised {_usd(book.realised_usd)} USD"
        out.print(line, markup=False)

    finish(Envelope("subscriber-agent positions", data), as_json=as_json, render=render)


def _position_dict(position: Position) -> dict[str, Any]:
    return {
        "ticker": position.ticker,
        "quantity": position.quantity,
        "average_price": position.average_price,
        "last_price": position.last_price,
        "stop_price": position.stop_price,
        "target_price": position.target_price,
        "value_usd": position.value,
        "unrealised_usd": position.unrealised_usd,
        "catalyst": position.catalyst,
        "opened_at": position.opened_at.astimezone(UTC).isoformat(),
    }
