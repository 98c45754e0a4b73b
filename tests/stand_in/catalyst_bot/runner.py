"""The runner: one cycle over prepared records, called as upstream calls it."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .alerts import send_alert_safe
from .trading.signal_generator import PREPARED

SHAPES = ("dict", "object", "dataclass")
KEPT: list[Any] = []  # so that no id is used twice


def scored_as(shape: str, scored: dict[str, Any]) -> Any:
    """The scored item as a dict, a plain object or a dataclass."""
    if shape == "dict":
        return dict(scored)
    if shape == "object":
        return SimpleNamespace(**scored)
    return make_dataclass("ScoredItem", list(scored))(**scored)


def payload_of(record: dict[str, Any], shape: str) -> dict[str, Any]:
    """What the alert is called with."""
    scored = scored_as(shape, record["scored_item"])
    KEPT.append(scored)
    PREPARED[id(scored)] = record["trading_signal"]
    return {
        "item": record["news_item"],
        "scored": scored,
        "last_price": record["news_item"].get("price"),
        "last_change_pct": None,
        "record_only": record.get("record_only", False),
        "webhook_url": "",
        "market_info": record.get("market_info"),
    }


def _cycle(log: Any, settings: Any, market_info: dict[str, Any] | None = None) -> None:
    for number, line in enumerate(Path(os.environ["BOT_ITEMS"]).read_text(encoding="utf-8").splitlines()):
        alert(payload_of(json.loads(line) | {"market_info": market_info}, SHAPES[number % 3]))


def alert(payload: dict[str, Any]) -> Any:
    """One alert, with upstream's shim for its older signature."""
    try:
        return send_alert_safe(payload)
    except TypeError:
        return send_alert_safe(
            item_dict=payload["item"],
            scored=payload["scored"],
            last_price=payload["last_price"],
            last_change_pct=None,
            record_only=payload["record_only"],
            webhook_url="",
        )


def main(argv: list[str] | None = None) -> int:
    if os.environ.get("BOT_INSTALLS"):  # the one line of docs/bot.md
        import publisher.intake.catalyst_bot as signals

        signals.install()
    words = sys.argv[1:] if argv is None else argv
    pause_s = int(os.environ.get("BOT_CYCLE_S", "45"))
    _cycle(logging.getLogger("bot"), SimpleNamespace(loop_seconds=60), {"status": "regular", "cycle_seconds": pause_s})
    while "BOT_STANDS" in os.environ:  # cycles until stdin ends; a file of that name makes it stand still
        if not select.select([sys.stdin], [], [], 0.2)[0]:
            if not Path(os.environ["BOT_STANDS"]).exists():
                _cycle(logging.getLogger("bot"), None, {"status": "regular", "cycle_seconds": pause_s})
        elif not sys.stdin.read(1):
            break
    if "--crash" in words:
        raise RuntimeError("the bot's own end")
    return int(words[words.index("--status") + 1]) if "--status" in words else 0


if __name__ == "__main__":
    sys.exit(main())
