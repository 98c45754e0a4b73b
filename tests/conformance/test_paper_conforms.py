"""The kit on the paper engine: kind, unkind, and with another engine's quotes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.suite import EngineConformance
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.paper.engine import PaperEngine, make
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.risk.market import Quote

PRICE = Decimal("5.00")
# There is no list of tickers on paper, so none is unknown.
ANY_TICKER = frozenset({"unknown-ticker"})


async def _nowhere(ticker: str, price: Decimal) -> None:
    """The kit shows the engine the price itself, as the wire does."""


class Kit(EngineConformance):
    settings: dict[str, Any] = {}

    @pytest.fixture
    def rig(self) -> Rig:
        return Rig("ABCD", PRICE, Decimal(10), may_trade=True, move_price=_nowhere, patience_s=2)

    @pytest.fixture
    def engine_factory(self, tmp_path: Path) -> Callable[[], PaperEngine]:
        context = EngineContext(data=tmp_path / "data", home=tmp_path, user="kit")
        return lambda: make(PaperSettings.model_validate(self.settings), context)


class TestKind(Kit):
    """As it comes."""


class TestUnkind(Kit):
    """Late, in parts, and dear; not rejecting, for then there would be nothing to look at."""

    settings = {"latency_ms": 30, "partial_percent": "100", "spread_bps": "10", "slippage_bps": "10"}


class TestQuotes(Kit):
    """With the quotes of another engine, which the test moves."""

    settings = {"price_source": "engine", "quotes_from": "alpaca"}

    @pytest.fixture
    def prices(self) -> Iterator[dict[str, Decimal]]:
        yield {"ABCD": PRICE}

    @pytest.fixture
    def rig(self, prices: dict[str, Decimal]) -> Rig:
        async def move(ticker: str, price: Decimal) -> None:
            prices[ticker] = price

        return Rig("ABCD", PRICE, Decimal(10), may_trade=True, move_price=move, patience_s=4)

    @pytest.fixture
    def engine_factory(self, tmp_path: Path, prices: dict[str, Decimal]) -> Callable[[], PaperEngine]:
        async def quote(ticker: str) -> Quote | None:
            price = prices.get(ticker)
            return None if price is None else Quote(price, price, price, datetime.now(UTC))

        context = EngineContext(data=tmp_path / "data", home=tmp_path, user="kit")
        return lambda: make(PaperSettings.model_validate(self.settings), context, quotes=quote)
