"""From the columns that SQLite holds to our frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from signal_contract.codec import decode
from signal_contract.errors import StorageFailed
from subscriber_agent.accounting.book import Fill, Leg, leg_from, side_from
from subscriber_agent.engines.engine import LegOutcome, Outcome, OutcomeState
from subscriber_agent.journal.database import Row
from subscriber_agent.journal.rows import (
    OrderIntent,
    OrderRow,
    Parked,
    SignalRow,
    Stored,
    maybe_decimal,
    maybe_instant,
)
from subscriber_agent.risk.decision import OrderPlan


def parked_from(row: Row) -> Parked:
    number, stream_seq, subject, payload, received_at, code, detail, signature = row
    return Parked(number, stream_seq, subject, payload, datetime.fromisoformat(received_at), code, detail, signature)


def stored_from(row: Row) -> Stored:
    stream_seq, subject, payload, received_at = row
    return Stored(stream_seq, subject, payload, datetime.fromisoformat(received_at), decode(payload))


def signal_row_from(row: Row) -> SignalRow:
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


def order_from(row: Row) -> OrderRow:
    order_id, signal_id, revision, plan, created_at, *result, settled_at = row
    try:
        intent = OrderIntent(
            order_id, signal_id, revision, OrderPlan.from_dict(orjson.loads(plan)), datetime.fromisoformat(created_at)
        )
    except (KeyError, ValueError) as error:
        raise StorageFailed(f"the journal's order {order_id} cannot be read: {error}") from error
    return OrderRow(intent, None if result[0] is None else outcome_from(tuple(result)), maybe_instant(settled_at))


def outcome_from(row: Row) -> Outcome:
    state, quantity, price, detail, legs = row
    found = () if not legs else tuple(_leg(each) for each in orjson.loads(legs))
    return Outcome(OutcomeState(state), Decimal(quantity or 0), maybe_decimal(price), detail or "", found)


def _leg(body: Mapping[str, Any]) -> LegOutcome:
    return LegOutcome(
        leg=Leg(body["leg"]),
        order_id=body["order_id"],
        state=OutcomeState(body["state"]),
        protects=Decimal(body["protects"]),
        trigger_price=maybe_decimal(body["trigger_price"]),
        quantity=Decimal(body["quantity"]),
        price=maybe_decimal(body["price"]),
    )


def fill_from(row: Row) -> Fill:
    order_id, ticker, side, leg, quantity, price, at, stop, target, catalyst, sector = row
    return Fill(
        order_id,
        ticker,
        side_from(side),
        leg_from(leg),
        Decimal(quantity),
        Decimal(price),
        datetime.fromisoformat(at),
        maybe_decimal(stop),
        maybe_decimal(target),
        catalyst,
        sector,
    )
