"""The kit on the engine `catalyst_bot`, with Catalyst-Bot's stand-in behind it."""

from decimal import Decimal

import pytest
from bot_samples import Rack, forget_bot

from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.suite import EngineConformance


class TestCatalystBot(EngineConformance):
    allowed_skips = frozenset({"quote", "symbol", "events", "at-once", "unknown-ticker-order"})

    @pytest.fixture
    def rack(self, tmp_path):
        yield Rack(tmp_path)
        forget_bot()

    @pytest.fixture
    def engine_factory(self, rack):
        return rack.engine

    @pytest.fixture
    def rig(self, rack):
        async def move(ticker, price):
            rack.world.move(ticker, price)

        return Rig(ticker="ABCD", price=Decimal(5), may_trade=True, move_price=move, patience_s=2)
