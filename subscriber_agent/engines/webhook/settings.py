# STUB by F, so that the config can be loaded: owner C overwrites this file. registry.py reads `is_paper`.
"""The `engine.webhook:` section."""

from __future__ import annotations

from pydantic import Field

from subscriber_agent.risk.fields import Flag, Settings


class WebhookSettings(Settings):
    """Where orders are sent."""

    url: str = Field("", description="Where orders are posted; https, or http on this machine.")
    is_paper: Flag = Field(
        False, description="Whether no real money is behind it. Until you say true, it counts as real money."
    )
