"""The ledger's events as documents for the journal, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from subscriber_agent.accounting.book import Fill, leg_from, side_from
from subscriber_agent.accounting.ledger import Latched, LatchKind, LedgerEvent, Marked, Reset, SessionStarted, Traded
from subscriber_agent.risk.decision import instant_text, text_of

TRADED = "traded"


def event_as_dict(event: LedgerEvent) -> dict[str, Any]:
    """A document of plain texts; `type` says which event it is."""
    match event:
        case SessionStarted(day, at, equity):
            body = {"day": day.isoformat(), "at": instant_text(at), "equity_usd": text_of(equity)}
            return {"type": "session_started", **body}
        case Marked(at, equity):
            return {"type": "marked", "at": instant_text(at), "equity_usd": text_of(equity)}
        case Traded(fill):
            return {"type": TRADED, **fill_as_dict(fill)}
        case Latched(kind, day, at):
            return {"type": "latched", "kind": kind.value, "day": day.isoformat(), "at": instant_text(at)}
    worth = text_of(event.equity_usd)
    return {"type": "reset", "kind": event.kind.value, "at": instant_text(event.at), "equity_usd": worth}


def event_from_dict(body: Mapping[str, Any]) -> LedgerEvent:
    """Read back what `event_as_dict` made; raises KeyError or ValueError for anything else."""
    kind, at = body["type"], datetime.fromisoformat(body["at"])
    if kind == TRADED:
        return Traded(_fill(body, at))
    match kind:
        case "session_started":
            return SessionStarted(date.fromisoformat(body["day"]), at, Decimal(body["equity_usd"]))
        case "marked":
            return Marked(at, Decimal(body["equity_usd"]))
        case "latched":
            return Latched(LatchKind(body["kind"]), date.fromisoformat(body["day"]), at)
        case "reset":
            return Reset(LatchKind(body["kind"]), at, Decimal(body["equity_usd"]))
    raise ValueError(f"{kind!r} is not an event of the ledger")


def fill_as_dict(fill: Fill) -> dict[str, Any]:
    """An execution as it is told and kept."""
    # Stop, target, catalyst and sector stay in the journal's own row of the fill: the ledger does not look at them.
    return {
        "order_id": fill.order_id,
        "ticker": fill.ticker,
        "side": fill.side.value,
        "leg": fill.leg.value,
        "quantity": text_of(fill.quantity),
        "price": text_of(fill.price),
        "at": instant_text(fill.at),
    }


def _fill(body: Mapping[str, Any], at: datetime) -> Fill:
    return Fill(
        body["order_id"],
        body["ticker"],
        side_from(body["side"]),
        leg_from(body["leg"]),
        Decimal(body["quantity"]),
        Decimal(body["price"]),
        at,
    )
