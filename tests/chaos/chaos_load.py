"""What is published: signals that lead to buys, sales and refusals of several kinds, and a control message."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from processes import a_signal

from signal_contract.codec import encode
from signal_contract.control import Control, Verb
from signal_contract.model import Signal

# Limits under which most entries are accepted, so that there are many orders to count.
BUSY: dict[str, Any] = {
    "max_open_positions": 100,
    "max_orders_per_minute": 60,
    "max_trades_per_day": 1000,
    "fixed_usd": 20,
    "max_age_s": 3600,
}
_KINDS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"action": "close", "catalyst": "fraud", "catalysts": ["fraud"]},
    {"confidence": "0.4"},
    {"action": "watch"},
)


def signals_of(run: str, count: int, *, dice: Random | None = None, **changes: Any) -> list[Signal]:
    """`count` signals of their own news items; `run` keeps them apart from those of another call."""
    dice = dice or Random(run)
    made = []
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        ticker = f"T{dice.randrange(40)}" if kind.get("action") == "close" else f"T{number % 40}"
        made.append(a_signal(ticker, news=f"{run}-{number}", **{**kind, **changes}))
    return made


def written(path: Path, signals: Iterable[Signal]) -> Path:
    """A file for `catalyst publish`."""
    path.write_bytes(b"".join(encode(each) + b"\n" for each in signals))
    return path


def control(verb: Verb) -> Control:
    """The operator's word to everybody."""
    return Control(control_id=secrets.token_hex(16), verb=verb, user=None, reason="drill", issued_at=datetime.now(UTC))
