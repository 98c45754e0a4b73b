"""Run with `pytest test_notebook.py`, once the package and pytest-asyncio are installed."""

from decimal import Decimal
from pathlib import Path

import pytest
from notebook_engine import make

from subscriber_agent.conformance.bench import EngineFactory, Rig
from subscriber_agent.conformance.suite import EngineConformance
from subscriber_agent.engines.context import EngineContext


class TestNotebook(EngineConformance):
    """The notebook has no quotes, no symbols, no events and no list of tickers; everything else it must pass."""

    allowed_skips = frozenset({"quote", "symbol", "events", "at-once", "unknown-ticker-order"})

    @pytest.fixture
    def engine_factory(self, tmp_path: Path) -> EngineFactory:
        context = EngineContext(data=tmp_path, home=tmp_path, user="test")
        return lambda: make({"cash_usd": "10000"}, context)

    @pytest.fixture
    def rig(self) -> Rig:
        async def nothing(ticker: str, price: Decimal) -> None:
            """The kit itself shows the engine the new price."""

        return Rig(ticker="ABCD", price=Decimal(5), may_trade=True, move_price=nothing, patience_s=1)
