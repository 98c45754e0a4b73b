"""The section `engine: catalyst_bot:` of the config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from subscriber_agent.risk.fields import Count, Settings


def _path(value: Any) -> Any:
    if isinstance(value, str):
        return Path(value) if value else None
    return value


class CatalystBotSettings(Settings):
    """Where the bot is and how long it may take. Its keys stay where the bot has them, its limits are not relied on."""

    folder: Annotated[Path | None, BeforeValidator(_path)] = Field(
        None,
        description="The folder that holds the package catalyst_bot (the bot's `src`), relative to this file; none: it "
        "is installed beside this agent.",
    )
    timeout_s: Count = Field(
        25, ge=5, le=29, description="How many seconds one call of the bot may take. Later, an order's end is unknown."
    )
