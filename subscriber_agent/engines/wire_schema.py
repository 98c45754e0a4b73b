"""The engine protocol as a JSON Schema, for people who write an engine in another language. Made from the models."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.wire import MAX_ROWS, OPS, VERSION
from subscriber_agent.engines.wire_models import (
    AccountModel,
    HelloModel,
    HoldingModel,
    OutcomeModel,
    QuoteModel,
    SymbolModel,
    WorkingOrderModel,
)
from subscriber_agent.risk.decision import OrderType, TimeInForce

_TEXT = {"type": "string"}
_DECIMAL = {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$"}
_MAYBE_DECIMAL = {"anyOf": [_DECIMAL, {"type": "null"}]}
_INSTANT = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT = {"anyOf": [_INSTANT, {"type": "null"}]}
_ORDER_ID = {"type": "string", "minLength": 1, "maxLength": 48}
_NOTHING = {"description": "anything; it is not read"}
_MODELS = (AccountModel, HelloModel, HoldingModel, OutcomeModel, QuoteModel, SymbolModel, WorkingOrderModel)

_ORDER = {
    "order_id": _ORDER_ID,
    "ticker": _TEXT,
    "side": {"enum": [each.value for each in Side]},
    "leg": {"enum": [each.value for each in Leg if each is not Leg.ADJUST]},
    "quantity": _DECIMAL,
    "order_type": {"enum": [each.value for each in OrderType]},
    "limit_price": _MAYBE_DECIMAL,
    "stop_price": _MAYBE_DECIMAL,
    "target_price": _MAYBE_DECIMAL,
    "time_in_force": {"enum": [each.value for each in TimeInForce]},
    "reference_price": _MAYBE_DECIMAL,
    "reference_price_at": _MAYBE_INSTANT,
    "catalyst": _TEXT,
    "sector": {"type": ["string", "null"]},
    "trailing_stop_percent": _MAYBE_DECIMAL,
    "max_hold_s": _MAYBE_DECIMAL,
    "extended_hours": {"type": "boolean"},
}

# What a request carries besides v, id and op, and what its result is.
_ARGS: dict[str, dict[str, Any]] = {
    "hello": {"agent": _TEXT},
    "submit": {"order": {"$ref": "#/$defs/Order"}},
    "lookup": {"order_id": _ORDER_ID},
    "cancel": {"order_id": _ORDER_ID},
    "account": {},
    "positions": {},
    "orders": {},
    "quote": {"ticker": _TEXT},
    "symbol": {"ticker": _TEXT},
    "observe": {"ticker": _TEXT, "price": _DECIMAL, "at": _INSTANT},
    "health": {},
    "bye": {},
}


def _maybe(name: str) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "maxItems": MAX_ROWS, "items": {"$ref": f"#/$defs/{name}"}}


_RESULTS: dict[str, dict[str, Any]] = {
    "hello": {"$ref": "#/$defs/HelloModel"},
    "submit": {"$ref": "#/$defs/OutcomeModel"},
    "lookup": _maybe("OutcomeModel"),
    "cancel": _maybe("OutcomeModel"),
    "account": {"$ref": "#/$defs/AccountModel"},
    "positions": _list("HoldingModel"),
    "orders": _list("WorkingOrderModel"),
    "quote": _maybe("QuoteModel"),
    "symbol": _maybe("SymbolModel"),
    "observe": {"anyOf": [{"type": "array", "items": _ORDER_ID}, {"type": "null"}]},
    "health": _NOTHING,
    "bye": _NOTHING,
}


def protocol_schema() -> dict[str, Any]:
    """The whole protocol: `$defs` holds one request and one result per operation, the answer's envelope and events."""
    _, models = models_json_schema([(each, "validation") for each in _MODELS], title="models")
    defs = dict(models["$defs"])
    defs["Order"] = _object(_ORDER)
    for op in OPS:
        defs[f"request.{op}"] = _object({"v": {"const": VERSION}, "id": {"type": "integer"}, "op": {"const": op}}, op)
        defs[f"result.{op}"] = _RESULTS[op]
    defs.update(_envelopes())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"catalyst engine protocol, version {VERSION}",
        "description": "Fields that are not named here are ignored on both sides. Numbers are text, or whole numbers.",
        "anyOf": [
            {"$ref": f"#/$defs/{name}"} for name in (*(f"request.{op}" for op in OPS), "answer", "failure", "event")
        ],
        "$defs": dict(sorted(defs.items())),
    }


def schema_text() -> str:
    """The published file, byte for byte."""
    return json.dumps(protocol_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(fields: dict[str, Any], op: str = "") -> dict[str, Any]:
    properties = {**fields, **_ARGS.get(op, {})}
    return {"type": "object", "required": list(properties), "properties": properties}


def _envelopes() -> dict[str, Any]:
    head = {"v": {"const": VERSION}, "id": {"type": "integer"}}
    error = _object({"code": _TEXT, "message": _TEXT})
    results = {"anyOf": [{"$ref": f"#/$defs/result.{op}"} for op in OPS]}
    event = _object({"v": {"const": VERSION}, "event": _TEXT})
    event["properties"] |= {"order_id": _ORDER_ID, "detail": _TEXT}
    return {
        "answer": _object({**head, "ok": {"const": True}, "result": results}),
        "failure": _object({**head, "ok": {"const": False}, "error": error}),
        "event": event,
    }
