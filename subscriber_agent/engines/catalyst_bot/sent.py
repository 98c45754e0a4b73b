"""What was handed to Catalyst-Bot: an append-only file, on disk before the bot is called.

The bot gives its orders random ids and remembers nothing over a restart, so that "never twice" is kept here. A line is
one JSON document: an intent, the broker's ids that answered it, or why nothing was ordered.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from signal_contract.errors import EngineUnusable, StorageFailed
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.risk.decision import OrderPlan

FILE = "catalyst_bot_sent.jsonl"


@dataclass(frozen=True, slots=True)
class Sent:
    """One order. `broker_id` "" is an intent without an answer; `refused` says why nothing was ordered."""

    order_id: str
    ticker: str
    side: Side
    leg: Leg
    quantity: Decimal
    stop_price: Decimal | None
    target_price: Decimal | None
    at: datetime
    broker_id: str = ""
    stop_id: str = ""
    target_id: str = ""
    refused: str = ""


class SentLog:
    """The orders of this identity. Used by one thread; `open` reads what earlier runs wrote."""

    def __init__(self, path: Path, orders: dict[str, Sent]) -> None:
        self._path = path
        self._orders = orders

    @classmethod
    def open(cls, folder: Path) -> SentLog:
        """Read the file. A last line that a kill cut off is dropped: its order was never handed over.

        Raises EngineUnusable when any other line cannot be read: orders would be forgotten.
        """
        path = folder / FILE
        try:
            raw = path.read_bytes() if path.exists() else b""
            whole = raw[: raw.rfind(b"\n") + 1]
            if len(whole) < len(raw):
                os.truncate(path, len(whole))
        except OSError as error:
            raise StorageFailed(f"cannot read {path}: {error}") from error
        orders: dict[str, Sent] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                _apply(orders, json.loads(line))
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                raise EngineUnusable(
                    f"{path}:{number} cannot be read: the orders of that line would be forgotten",
                    hint="Restore the file from a backup, or close all positions by hand and move it aside.",
                ) from error
        return cls(path, orders)

    def get(self, order_id: str) -> Sent | None:
        """An order that was handed over, or was about to be."""
        return self._orders.get(order_id)

    def intend(self, order_id: str, plan: OrderPlan, at: datetime) -> Sent:
        """Put an order on disk that is about to be handed over. Raises StorageFailed: then nothing is."""
        names = ("ticker", "side", "leg", "quantity", "stop_price", "target_price")
        order = {name: value for name, value in plan.as_dict().items() if name in names}
        return self._write({"event": "intent", "order_id": order_id, "at": at.isoformat(), **order})

    def answered(self, order_id: str, broker_id: str, stop_id: str = "", target_id: str = "") -> Sent:
        """The broker's own ids of an order and of its legs, as far as they are known."""
        ids = {"broker_id": broker_id, "stop_id": stop_id, "target_id": target_id}
        return self._write({"event": "answer", "order_id": order_id, **ids})

    def refused(self, order_id: str, detail: str) -> Sent:
        """Nothing was ordered, for certain."""
        return self._write({"event": "refused", "order_id": order_id, "detail": detail or "refused"})

    def _write(self, body: dict[str, Any]) -> Sent:
        line = json.dumps(body, sort_keys=True).encode() + b"\n"
        try:
            is_new = not self._path.exists()
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
            if is_new:
                _fsync_folder(self._path.parent)
        except OSError as error:
            raise StorageFailed(f"cannot write {self._path}: {error}") from error
        _apply(self._orders, body)
        return self._orders[str(body["order_id"])]


def _fsync_folder(folder: Path) -> None:
    """A new file's name must survive a power cut as well; Windows opens no folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _apply(orders: dict[str, Sent], body: dict[str, Any]) -> None:
    order_id = str(body["order_id"])
    match body["event"]:
        case "intent":
            orders[order_id] = _intent(order_id, body)
        case "answer":
            ids = {name: str(body[name]) for name in ("broker_id", "stop_id", "target_id") if body[name]}
            orders[order_id] = replace(orders[order_id], **ids)  # type: ignore[arg-type]  # all three are texts
        case "refused":
            orders[order_id] = replace(orders[order_id], refused=str(body["detail"]))
        case other:
            raise ValueError(other)


def _intent(order_id: str, body: dict[str, Any]) -> Sent:
    return Sent(
        order_id=order_id,
        ticker=str(body["ticker"]),
        side=Side(body["side"]),
        leg=Leg(body["leg"]),
        quantity=Decimal(body["quantity"]),
        stop_price=None if body["stop_price"] is None else Decimal(body["stop_price"]),
        target_price=None if body["target_price"] is None else Decimal(body["target_price"]),
        at=datetime.fromisoformat(body["at"]),
    )
