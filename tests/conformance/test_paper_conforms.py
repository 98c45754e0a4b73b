"""The kit on the paper engine: kind, unkind, and with another engine's quotes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.cases import CASES
from subscriber_agent.conformance.suite import EngineConformance
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.paper.engine import PaperEngine, make
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.risk.market import Quote

PRICE = Decimal("5.00")


async def _nowhere(ticker: str, price: Decimal) -> None:
    """The kit shows the engine the price itself, as the wire does."""


class Kit(EngineConformance):
    settings: ClassVar[dict[str, Any]] = {}

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

    settings: ClassVar[dict[str, Any]] = {
        "latency_ms": 30,
        "partial_percent": "100",
        "spread_bps": "10",
        "slippage_bps": "10",
    }

    # There is no list of tickers on paper; the kit sees that by a fill at once, and here it takes a while.
    @pytest.mark.parametrize("case_id", [each.id for each in CASES if each.id != "unknown-ticker-order"])
    async def test_case(self, case_id: str, engine_factory: Any, rig: Rig) -> None:
        await super().test_case(case_id, engine_factory, rig)


class TestQuotes(Kit):
    """With the quotes of another engine, which the test moves."""

    settings: ClassVar[dict[str, Any]] = {"price_source": "engine", "quotes_from": "alpaca"}

    @pytest.fixture
    def prices(self) -> dict[str, Decimal]:
        return {"ABCD": PRICE}

    @pytest.fixture
    def rig(self, prices: dict[str, Decimal]) -> Rig:
        async def move(ticker: str, price: Decimal) -> None:
            prices[ticker] = price

        return Rig("ABCD", PRICE, Decimal(10), may_trade=True, move_price=move, patience_s=1.5)

    @pytest.fixture
    def engine_factory(self, tmp_path: Path, prices: dict[str, Decimal]) -> Callable[[], PaperEngine]:
        async def quote(ticker: str) -> Quote | None:
            price = prices.get(ticker)
            return None if price is None else Quote(price, price, price, datetime.now(UTC))

        context = EngineContext(data=tmp_path / "data", home=tmp_path, user="kit")
        return lambda: make(PaperSettings.model_validate(self.settings), context, quotes=quote)
