"""The conformance kit on the Alpaca engine, with the real alpaca-py against the stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from alpaca_stand_in import KEY_ID, SECRET, StandIn

from subscriber_agent.conformance.bench import EngineFactory, Rig
from subscriber_agent.conformance.suite import EngineConformance
from subscriber_agent.engines.alpaca.engine import AlpacaEngine
from subscriber_agent.engines.alpaca.keys import AlpacaKeys
from subscriber_agent.engines.alpaca.settings import AlpacaSettings
from subscriber_agent.engines.context import EngineContext

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


class TestAlpaca(EngineConformance):
    # The kit buys before the trade updates are connected; test_alpaca_engine waits for that.
    allowed_skips: frozenset[str] = frozenset({"events"})

    @pytest_asyncio.fixture
    async def alpaca(self) -> AsyncIterator[StandIn]:
        broker = StandIn()
        await broker.start()
        yield broker
        await broker.stop()

    @pytest.fixture
    def engine_factory(self, alpaca: StandIn, tmp_path: Path) -> EngineFactory:
        settings = AlpacaSettings(trading_url=alpaca.url, data_url=alpaca.url, settle_s="0.5")
        context = EngineContext(tmp_path, tmp_path, "alice", lambda: NOW, {})
        return lambda: AlpacaEngine(settings, AlpacaKeys(KEY_ID, SECRET), context)

    @pytest.fixture
    def rig(self, alpaca: StandIn) -> Rig:
        async def move(ticker: str, price: Decimal) -> None:
            await alpaca.move(ticker, str(price))

        return Rig("ACME", Decimal(10), may_trade=True, move_price=move, clock=lambda: NOW, patience_s=2)
