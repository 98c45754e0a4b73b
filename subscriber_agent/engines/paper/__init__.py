"""The paper engine: `market` and `matching` decide what fills, `store` keeps it, `engine` is what the agent talks to."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from subscriber_agent.engines.paper import old

    return getattr(old, name)
