"""`subscriber-agent signals`: what came and what was decided; beside a running agent and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_place

if TYPE_CHECKING:
    from subscriber_agent.journal import SignalRow


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
