"""What a fire-and-forget receiver is sent: JSON with {placeholders}, filled in field by field. Pure but for the file.

    "{quantity}"          the value as text             "{quantity:number}"   … as a JSON number, digit for digit
    "buy {ticker}"        within a text                 "{{ticker}}"          TradingView's own word for it

A field whose value is not there (no stop, say) is left out; within an inner object, the whole inner object is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.risk.decision import OrderPlan, text_of

TRADERSPOST = "traderspost"
TRADINGVIEW = "tradingview"
MAX_FILE_BYTES = 64_000
_MAX_DEPTH = 8

PLACEHOLDERS = {
    "ticker": "the ticker, such as BRK.B",
    "side": "buy or sell",
    "action": "buy or sell for an entry, exit for an exit, cancel for a cancel",
    "quantity": "shares",
    "order_type": "market or limit",
    "limit_price": "USD, of limit orders",
    "stop_price": "USD, of entries with a stop",
    "target_price": "USD, of entries with a target",
    "reference_price": "USD, the price that the signal was made at",
    "price": "USD, the price that the fill is assumed at",
    "time_in_force": "day or gtc",
    "position": "long, short or flat: what the position is once this order has filled",
    "position_size": "shares held once this order has filled, never negative",
    "order_id": "the agent's id of the order, up to 48 characters",
    "catalyst": "the signal's catalyst",
    "at": "when it is sent, RFC 3339",
}
_TRADINGVIEW_WORDS = {
    "ticker": "ticker",
    "close": "price",
    "timenow": "at",
    "time": "at",
    "strategy.order.action": "side",
    "strategy.order.contracts": "quantity",
    "strategy.order.price": "price",
    "strategy.order.id": "order_id",
    "strategy.order.comment": "catalyst",
    "strategy.market_position": "position",
    "strategy.market_position_size": "position_size",
}
_NUMERIC = frozenset(name for name, text in PLACEHOLDERS.items() if text.startswith(("USD", "shares")))
_THEIRS = re.compile(r"\{\{\s*([a-z_.]+)\s*\}\}")
_OURS = re.compile(r"\{([a-z_]*)(:number)?\}")

_BUILT_IN: dict[str, dict[str, Any]] = {
    # TradersPost's signal message. Its strategy must allow the signal's quantity, and its stops and targets.
    TRADERSPOST: {
        "entry": {
            "ticker": "{ticker}",
            "action": "{side}",
            "quantity": "{quantity:number}",
            "quantityType": "fixed_quantity",
            "orderType": "{order_type}",
            "limitPrice": "{limit_price:number}",
            "timeInForce": "{time_in_force}",
            "signalPrice": "{reference_price:number}",
            "stopLoss": {"type": "stop", "stopPrice": "{stop_price:number}"},
            "takeProfit": {"limitPrice": "{target_price:number}"},
            "extras": {"order_id": "{order_id}"},
        },
        # `exit` closes and never turns round; a quantity makes it a part.
        "exit": {
            "ticker": "{ticker}",
            "action": "exit",
            "quantity": "{quantity:number}",
            "quantityType": "fixed_quantity",
            "orderType": "{order_type}",
            "limitPrice": "{limit_price:number}",
            "timeInForce": "{time_in_force}",
            "extras": {"order_id": "{order_id}"},
        },
        "cancel": {"ticker": "{ticker}", "action": "cancel", "extras": {"order_id": "{order_id}"}},
    },
    # What strategies on TradingView send by convention; receivers differ, a file of one's own fits them all.
    TRADINGVIEW: {
        "entry": {
            "ticker": "{{ticker}}",
            "action": "{{strategy.order.action}}",
            "contracts": "{{strategy.order.contracts}}",
            "price": "{{strategy.order.price}}",
            "order_id": "{{strategy.order.id}}",
            "market_position": "{{strategy.market_position}}",
            "market_position_size": "{{strategy.market_position_size}}",
            "stop_loss": "{stop_price}",
            "take_profit": "{target_price}",
            "time": "{{timenow}}",
        },
    },
}


@dataclass(frozen=True, slots=True)
class Template:
    """The messages of one receiver. `cancel` None: it takes none, its stop is assumed to end with the position."""

    name: str
    entry: Mapping[str, Any]
    exit: Mapping[str, Any]
    cancel: Mapping[str, Any] | None

    @property
    def carries_stop(self) -> bool:
        """Whether an entry's message tells the receiver the stop; else nobody would hold it."""
        return "stop_price" in _names(self.entry)

    def message(self, part: Mapping[str, Any], values: Mapping[str, str | None]) -> bytes:
        """One message as JSON."""
        filled = _filled(part, values)
        return orjson.dumps(filled if isinstance(filled, dict) else {})


def template_from(name: str, home: Path) -> Template:
    """The built-in template, or the one in a file relative to `home`. Raises EngineUnusable."""
    document = _BUILT_IN.get(name) or _read(home / Path(name).expanduser())
    if "entry" not in document:
        document = {"entry": document}
    entry, leave, cancel = document["entry"], document.get("exit", document["entry"]), document.get("cancel")
    for part in (entry, leave, *([] if cancel is None else [cancel])):
        _check(part)
    if not {"ticker", "quantity"} <= _names(entry) or not {"side", "action"} & _names(entry):
        raise EngineUnusable("engine.webhook.template: an entry must carry {ticker}, {quantity} and {side}")
    return Template(name, entry, leave, cancel)


def values_of(plan: OrderPlan, order_id: str, *, price: Decimal | None, held_after: Decimal, at: str) -> dict[str, Any]:
    """What the placeholders stand for in one order; None is not there. `held_after` is signed."""
    numbers = {
        "quantity": plan.quantity,
        "limit_price": plan.limit_price,
        "stop_price": plan.stop_price,
        "target_price": plan.target_price,
        "reference_price": plan.reference_price,
        "price": price,
        "position_size": abs(held_after),
    }
    return {
        **{name: None if value is None else text_of(value) for name, value in numbers.items()},
        "ticker": plan.ticker,
        "side": plan.side.value,
        "action": plan.side.value if plan.leg is Leg.ENTRY else "exit",
        "order_type": plan.order_type.value,
        "time_in_force": plan.time_in_force.value,
        "position": "flat" if not held_after else "long" if held_after > 0 else "short",
        "order_id": order_id,
        "catalyst": plan.catalyst,
        "at": at,
    }


def cancel_values(ticker: str, side: Side, order_id: str, at: str) -> dict[str, Any]:
    """What the placeholders stand for in a cancel."""
    return {"ticker": ticker, "side": side.value, "action": "cancel", "order_id": order_id, "at": at}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineUnusable(
            f"engine.webhook.template: {path} cannot be read: {error.strerror}",
            hint="Templates are catalyst, traderspost, tradingview, or the path of a JSON file.",
        ) from error
    try:
        document = json.loads(content) if len(content) <= MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("entry", document), dict):
        raise EngineUnusable(f"engine.webhook.template: {path} is no JSON object of up to {MAX_FILE_BYTES} bytes")
    return document


def _check(part: Any, depth: int = 0) -> None:
    """Every word in braces is known; numbers are asked for where there are numbers."""
    if depth > _MAX_DEPTH:
        raise EngineUnusable(f"engine.webhook.template: more than {_MAX_DEPTH} objects within each other")
    if depth == 0 and not isinstance(part, dict):
        raise EngineUnusable("engine.webhook.template: entry, exit and cancel are objects in { }")
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _check(each, depth + 1)
    if isinstance(part, str):
        for name, number in _OURS.findall(_in_our_words(part)):
            if name not in PLACEHOLDERS or (number and name not in _NUMERIC):
                raise EngineUnusable(
                    f"engine.webhook.template: {{{name[:40]}{number}}} is not known",
                    hint=f"Placeholders are {', '.join(PLACEHOLDERS)}; :number only with prices and quantities.",
                )


def _in_our_words(text: str) -> str:
    return _THEIRS.sub(lambda found: f"{{{_TRADINGVIEW_WORDS.get(found[1], found[1].replace('.', '_'))}}}", text)


def _names(part: Any) -> set[str]:
    if isinstance(part, str):
        return {name for name, _ in _OURS.findall(_in_our_words(part))}
    inner = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
    return {name for each in inner for name in _names(each)}


class _Absent(Exception):
    """A placeholder stands for nothing here."""


def _filled(part: Any, values: Mapping[str, str | None], *, is_inner: bool = False) -> Any:
    """The part with its values; raises _Absent for an inner object or text that lacks one."""
    if isinstance(part, str):
        return _text(_in_our_words(part), values)
    if isinstance(part, list):
        return [_filled(each, values, is_inner=True) for each in part]
    if not isinstance(part, Mapping):
        return part
    found = {}
    for key, each in part.items():
        try:
            found[key] = _filled(each, values, is_inner=True)
        except _Absent:
            if is_inner:
                raise
    return found


def _text(text: str, values: Mapping[str, str | None]) -> Any:
    names = _OURS.findall(text)
    if any(values.get(name) is None for name, _ in names):
        raise _Absent
    if len(names) == 1 and names[0][1] and _OURS.fullmatch(text):
        return orjson.Fragment(str(values[names[0][0]]))
    return _OURS.sub(lambda found: str(values[found[1]]), text)
