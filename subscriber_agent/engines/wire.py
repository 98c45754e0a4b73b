"""The catalyst engine protocol, version 1: one JSON document a request, one an answer. Pure.

The command engine writes them as lines on stdin and stdout, the webhook engine as the bodies of a POST and its
response. Everything that an engine writes is hostile until it is parsed: what is not understood is AnswerInvalid, an
engine's own "I failed" is EngineFailed. Both count as faults of the engine, and neither ever means REJECTED.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import orjson
from pydantic import ValidationError

from subscriber_agent.engines.engine import Account, EngineEvent, Holding, Outcome, WorkingOrder
from subscriber_agent.engines.wire_models import (
    AccountModel,
    HelloModel,
    HoldingModel,
    OutcomeModel,
    QuoteModel,
    SymbolModel,
    WireModel,
    WorkingOrderModel,
)
from subscriber_agent.risk.decision import OrderPlan
from subscriber_agent.risk.market import Capabilities, Quote, Symbol

VERSION = 1
MAX_BYTES = 1_000_000
MAX_ROWS = 10_000
Op = Literal[
    "hello",
    "submit",
    "lookup",
    "cancel",
    "account",
    "positions",
    "orders",
    "quote",
    "symbol",
    "observe",
    "health",
    "bye",
]
OPS: tuple[str, ...] = get_args(Op)
_TEXT_CHARS = 200
_ID_CHARS = 64

_Model = TypeVar("_Model", bound=WireModel)


class AnswerInvalid(Exception):
    """What the engine wrote breaks the protocol; the text says where. Nothing of it is used."""


class EngineFailed(Exception):
    """The engine answered that it could not do it: `code` for machines, the text for people.

    An order is not rejected by this, its end is not known: an engine that rejects says so in an outcome.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the engine says {code}: {message}" if message else f"the engine says {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Hello:
    """What an engine says about itself at the start; `is_paper` None when it does not say."""

    name: str
    version: str
    capabilities: Capabilities
    is_paper: bool | None = None


def request_bytes(op: Op, number: int, **args: Any) -> bytes:
    """One request, without a line end. `number` is what its answer will carry; `args` as the protocol says."""
    return orjson.dumps({"v": VERSION, "id": number, "op": op, **args})


def plan_document(plan: OrderPlan, client_order_id: str) -> dict[str, Any]:
    """An order as `submit` carries it: every field always there, numbers as text, null for what it does not have."""
    return {"order_id": client_order_id, **plan.as_dict()}


def number_of(raw: bytes) -> int | None:
    """Which request a line answers; None for what is no answer, such as an event. Raises AnswerInvalid."""
    number = _document(raw).get("id")
    return number if _is_whole(number) else None


def parse_answer(raw: bytes, number: int) -> Any:
    """The result in the answer to request `number`. Raises AnswerInvalid and EngineFailed."""
    answer = _document(raw)
    if answer.get("v") != VERSION or not _is_whole(answer.get("v")):
        raise AnswerInvalid(f"`v` must be {VERSION}: the engine speaks another version of the protocol, or none")
    if answer.get("id") != number or not _is_whole(answer.get("id")):
        raise AnswerInvalid(f"`id` must be {number}, the one that was asked: this answers something else")
    if answer.get("ok") is False:
        raise _failure(answer.get("error"))
    if answer.get("ok") is not True:
        raise AnswerInvalid("`ok` must be true or false")
    if "result" not in answer:
        raise AnswerInvalid("`result` is missing; where there is nothing to say it is null")
    return answer["result"]


def event_from(line: bytes) -> EngineEvent | None:
    """What a line tells without being asked; None for an answer. An event of a kind we do not know concerns nothing."""
    document = _document(line)
    if "event" not in document:
        return None
    if document.get("v") != VERSION or not _is_whole(document.get("v")):
        raise AnswerInvalid(f"`v` must be {VERSION}, in events too")
    kind, order_id = document["event"], document.get("order_id", "")
    if not isinstance(kind, str) or not isinstance(order_id, str) or not order_id.isprintable():
        raise AnswerInvalid("`event` and `order_id` must be text")
    if kind == "order" and not 0 < len(order_id) <= _ID_CHARS:
        raise AnswerInvalid("an event `order` must name its `order_id`")
    detail = _printable(document.get("detail", ""))
    return EngineEvent(order_id if kind == "order" else "", detail, is_gap=kind == "gap")


def hello_from(result: Any) -> Hello:
    """How the engine introduces itself; raises AnswerInvalid."""
    hello = _model(HelloModel, result, "hello")
    return Hello(hello.name, hello.version, hello.capabilities.value(), hello.is_paper)


def capabilities_from(result: Any) -> Capabilities:
    """What the engine can do, from its hello; raises AnswerInvalid."""
    return hello_from(result).capabilities


def outcome_from(result: Any) -> Outcome | None:
    """What became of an order; None: the engine is certain that it never saw it. Raises AnswerInvalid.

    More shares than were ordered pass as they are: the truth is what the core must know of.
    """
    return None if result is None else _model(OutcomeModel, result, "outcome").value()


def account_from(result: Any) -> Account:
    """Cash and equity; raises AnswerInvalid."""
    return _model(AccountModel, result, "account").value()


def holdings_from(result: Any) -> tuple[Holding, ...]:
    """All positions, sorted by ticker, those of nothing left out; raises AnswerInvalid, also when one comes twice."""
    held = [_model(HoldingModel, row, "position").value() for row in _rows(result, "positions")]
    if len({each.ticker for each in held}) != len(held):
        raise AnswerInvalid("positions: the same ticker comes twice")
    return tuple(sorted((each for each in held if each.quantity), key=lambda each: each.ticker))


def orders_from(result: Any) -> tuple[WorkingOrder, ...]:
    """All working orders, sorted by id; raises AnswerInvalid."""
    orders = [_model(WorkingOrderModel, row, "order").value() for row in _rows(result, "orders")]
    return tuple(sorted(orders, key=lambda each: (each.order_id, each.ticker)))


def quote_from(result: Any) -> Quote | None:
    """Best prices, None when there are none; raises AnswerInvalid."""
    return None if result is None else _model(QuoteModel, result, "quote").value()


def symbol_from(result: Any) -> Symbol | None:
    """What the broker says about a ticker, None when nothing; raises AnswerInvalid."""
    return None if result is None else _model(SymbolModel, result, "symbol").value()


def triggered_from(result: Any) -> tuple[str, ...]:
    """The ids of the entries whose legs an observed price triggered; null is none. Raises AnswerInvalid."""
    rows = [] if result is None else _rows(result, "observe")
    if not all(isinstance(each, str) and each.isprintable() and 0 < len(each) <= _ID_CHARS for each in rows):
        raise AnswerInvalid("observe: the answer is a list of order ids")
    return tuple(rows)


def _document(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_BYTES:
        raise AnswerInvalid(f"{len(raw)} bytes are too long: {MAX_BYTES} at most")
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise AnswerInvalid(f"this is no JSON: {_printable(raw[:40].decode('utf-8', 'replace'))!r}") from error
    if not isinstance(document, dict):
        raise AnswerInvalid("this is JSON, but no object in { }")
    return document


def _failure(error: Any) -> Exception:
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return AnswerInvalid("`ok` is false, but `error` does not say why: it needs `code` and `message`")
    return EngineFailed(_printable(error["code"])[:_ID_CHARS], _printable(error.get("message", "")))


def _rows(result: Any, what: str) -> list[Any]:
    if not isinstance(result, list) or len(result) > MAX_ROWS:
        raise AnswerInvalid(f"{what}: the answer is a list of up to {MAX_ROWS} rows")
    return result


def _model(model: type[_Model], value: Any, what: str) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "model_type":
            text = "it must be an object in { }"
        raise AnswerInvalid(_printable(f"{what}: {f'`{place}`: ' if place else ''}{text}")) from error


def _printable(text: Any) -> str:
    """Text of others for our logs: cut to length, control characters out; what is no text is none."""
    if not isinstance(text, str):
        return ""
    return "".join(each if each.isprintable() else " " for each in text[:_TEXT_CHARS])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
