"""The `engine.alpaca` section of the config. The keys are not in it: they have a file of mode 0600."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from subscriber_agent.risk.fields import Amount, Flag, Settings

_PAPER, _LIVE = "https://paper-api.alpaca.markets", "https://api.alpaca.markets"
_DATA = "https://data.alpaca.markets"


class Endpoint(StrEnum):
    PAPER = "paper"
    LIVE = "live"


class Feed(StrEnum):
    """Where quotes come from: iex is one exchange and free, sip is all of them and needs a subscription."""

    IEX = "iex"
    SIP = "sip"
    DELAYED_SIP = "delayed_sip"


def _word(kind: type[StrEnum]) -> BeforeValidator:
    def read(value: Any) -> Any:
        if isinstance(value, str) and value in {each.value for each in kind}:
            return kind(value)
        raise ValueError(f"must be one of {', '.join(each.value for each in kind)}")

    return BeforeValidator(read)


def _file(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and value else value


def _url(value: str | None) -> str | None:
    """This machine only: `endpoint` is what says whether real money is behind it, and the keys go out in a header."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.username or parts.password or parts.query or parts.fragment or parts.hostname is None:
        raise ValueError("must be an address such as http://127.0.0.1:8000, without a user, a query or a fragment")
    if parts.scheme not in ("http", "https") or not is_loopback(parts.hostname):
        raise ValueError("must be an address of this machine: it is for tests")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or number; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


Url = Annotated[str | None, AfterValidator(_url)]


class AlpacaSettings(Settings):
    """The `engine.alpaca` section."""

    endpoint: Annotated[Endpoint, _word(Endpoint)] = Field(
        Endpoint.PAPER,
        description="paper or live: which of your two Alpaca accounts gets the orders. live is real money.",
    )
    key_file: Annotated[Path | None, BeforeValidator(_file)] = Field(
        None,
        description="File of mode 0600 with your API keys, relative to this file: two lines APCA_API_KEY_ID=… and "
        "APCA_API_SECRET_KEY=…, or the same two names as JSON. None: the environment variables of these names.",
    )
    feed: Annotated[Feed, _word(Feed)] = Field(
        Feed.IEX,
        description="Quotes from iex (free, one exchange: thin tickers often have none, and then entries are refused), "
        "sip (all exchanges, needs a subscription) or delayed_sip (15 minutes old: entries will be refused as stale).",
    )
    extended_hours: Flag = Field(
        default=True,
        description="Whether orders may go out before 9:30 and after 16:00 New York time, always as limit orders for "
        "the day. false: an exit that comes up then waits for the next open.",
    )
    exit_band_percent: Amount = Field(
        Decimal(1),
        ge=0,
        le=10,
        description="How far beyond the quote an exit outside the regular session may go, in %, 0 to 10. Alpaca takes "
        "limit orders only then; too small, and the exit may not fill.",
    )
    traded_within_s: Amount = Field(
        Decimal(60),
        ge=5,
        le=600,
        description="Seconds, 5 to 600. Alpaca does not say whether a ticker is halted; a trade of it so short ago "
        "says that it is not. Without one entries are refused: with the feed iex that may be often.",
    )
    fractional_shares: Flag = Field(
        default=False,
        description="Whether to order parts of a share. Alpaca holds no stop for them in a bracket: the agent has to "
        "place each stop by itself, and again every day.",
    )
    timeout_s: Amount = Field(
        Decimal(10),
        gt=0,
        le=15,
        description="Seconds, up to 15, to wait for Alpaca's answer to an order. After that the order is looked up; "
        "it is never sent a second time.",
    )
    settle_s: Amount = Field(
        Decimal(15),
        ge=0,
        le=120,
        description="Seconds, 0 to 120, after an order without an answer (and a third of it after the start), before "
        "Alpaca's word that it knows no such order is believed.",
    )
    trading_url: Url = Field(
        None, description="Another address for orders, on this machine, for tests. None: Alpaca's."
    )
    data_url: Url = Field(None, description="Another address for quotes, on this machine, for tests. None: Alpaca's.")

    @property
    def trading_base(self) -> str:
        """Where orders go, without the version and without a slash at its end."""
        return self.trading_url or (_LIVE if self.endpoint is Endpoint.LIVE else _PAPER)

    @property
    def data_base(self) -> str:
        return self.data_url or _DATA

    @property
    def stream_url(self) -> str:
        """Where trade updates come from."""
        return f"ws{self.trading_base.removeprefix('http')}/stream"
