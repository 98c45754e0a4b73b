"""The kit on the webhook engine: with the example receiver as a process, and with one that only says `received`."""

from decimal import Decimal

import pytest
from webhook_samples import RudeReceiver, an_engine, replies, the_example

from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.suite import EngineConformance


async def nowhere(ticker, price):
    """The kit shows the engine the price, and the engine the receiver."""


class Kit(EngineConformance):
    # Both fill every limit at once, at its own price, so that no order works long enough to be cancelled.
    allowed_skips = frozenset({"quote", "symbol", "events", "unknown-ticker-order", "stop-order", "cancel"})

    @pytest.fixture
    def rig(self):
        return Rig(ticker="ABCD", price=Decimal(5), may_trade=True, move_price=nowhere, patience_s=2)


class TestExampleReceiver(Kit):
    @pytest.fixture
    def engine_factory(self, tmp_path):
        (tmp_path / "data").mkdir()
        with the_example(tmp_path) as url:
            yield lambda: an_engine(tmp_path, url)


class TestAssumedFills(Kit):
    """What the engine assumes of a receiver that never reports must hold together as well. One position a ticker."""

    allowed_skips = Kit.allowed_skips | {"side-by-side", "at-once"}

    @pytest.fixture
    async def engine_factory(self, tmp_path):
        (tmp_path / "data").mkdir()
        async with RudeReceiver(polite=replies(200, b'{"success": true}')).listening() as receiver:
            yield lambda: an_engine(tmp_path, receiver.url, template="traderspost", assumed_cash_usd="10000")
