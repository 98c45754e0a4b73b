"""The `engine.webhook:` section: where orders are posted, how they are signed, what the receiver understands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from subscriber_agent.risk.fields import Amount, Count, Flag, Settings

CATALYST = "catalyst"
_LONGEST = 2_000


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and value else value


class WebhookSettings(Settings):
    """The `engine.webhook:` section. Durations are seconds, amounts USD; paths are relative to this config."""

    url: str = Field(
        "",
        max_length=_LONGEST,
        description="Where orders are posted: https, or http on this machine. An address that carries a token or a "
        "password belongs into url_file.",
    )
    url_file: Annotated[Path | None, BeforeValidator(_path)] = Field(
        None,
        description="A file of mode 0600 whose only line is the address. TradersPost's address is a secret: whoever "
        "knows it can trade.",
    )
    secret_file: Annotated[Path | None, BeforeValidator(_path)] = Field(
        None,
        description="A file of mode 0600 with the secret that signs every request (HMAC-SHA256), 16 characters or "
        "more. The template catalyst needs it.",
    )
    template: str = Field(
        CATALYST,
        min_length=1,
        max_length=_LONGEST,
        description="What the receiver understands: catalyst (the engine protocol: it reports fills), traderspost, "
        "tradingview, or a JSON file of your own with {placeholders}. All but catalyst are fire-and-forget: fills, "
        "positions and stops are then assumed, not known.",
    )
    timeout_s: Count = Field(
        10,
        ge=1,
        le=25,
        description="Seconds that one request may take, its second tries included. An order without an answer by then "
        "is UNKNOWN: it is looked up and never posted again.",
    )
    assumed_cash_usd: Amount | None = Field(
        None,
        ge=0,
        le=1_000_000_000,
        description="USD in the account before the first order of this engine. Fire-and-forget templates need it, "
        "since their receivers tell no balance; unused with catalyst.",
    )
    is_paper: Flag = Field(
        False,
        description="Whether no real money is behind the receiver. Until you say true, it counts as real money.",
    )
