"""The paper engine: `market` and `matching` say what fills, `store` keeps it, `engine` is what the agent talks to."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    # Until everybody asks `engine` and `account` themselves.
    if name == "PaperEngine":
        return importlib.import_module("subscriber_agent.engines.paper.engine").PaperEngine
    if name in ("paper_book", "START_CASH"):
        return getattr(importlib.import_module("subscriber_agent.engines.paper.old"), name)
    raise AttributeError(name)
