"""Where the bot's runner takes `send_alert_safe` from."""

from __future__ import annotations

import json
import os
from typing import Any

ALERTED: list[Any] = []


def send_alert_safe(*args: Any, **kwargs: Any) -> Any:
    """Note the call; answer or raise what the item asks for."""
    payload = args[0] if args else kwargs
    ALERTED.append(payload)
    item = payload.get("item") or payload.get("item_dict") or {}
    if os.environ.get("BOT_ALERTED"):
        with open(os.environ["BOT_ALERTED"], "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(json.dumps(item.get("id")) + "\n")
    failure = item.get("raises")
    if failure == "TypeError" and args:
        raise TypeError("an older signature")
    if failure == "ValueError":
        raise ValueError("the bot's own trouble")
    return item.get("id")
