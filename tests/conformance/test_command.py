"""The kit on the command engine, with each example broker as a program behind it."""

import shutil
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from command_samples import an_engine

from subscriber_agent.conformance.bench import Rig
from subscriber_agent.conformance.suite import EngineConformance

_EXAMPLES = Path(__file__).parents[2] / "examples/engines"


async def nowhere(ticker, price):
    """The kit shows the engine the price, and the engine the program."""


class Kit(EngineConformance):
    allowed_skips = frozenset({"quote", "symbol", "events", "at-once", "unknown-ticker-order"})
    argv: tuple[str, ...] = ()

    @pytest.fixture
    def engine_factory(self, tmp_path):
        return lambda: an_engine(tmp_path, list(self.argv))

    @pytest.fixture
    def rig(self):
        return Rig(ticker="ABCD", price=Decimal(5), may_trade=True, move_price=nowhere, patience_s=2)


class TestPython(Kit):
    argv = (sys.executable, str(_EXAMPLES / "paper_engine.py"), "orders.json")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on this machine")
class TestNode(Kit):
    argv = ("node", str(_EXAMPLES / "paper_engine.mjs"), "orders.json")
