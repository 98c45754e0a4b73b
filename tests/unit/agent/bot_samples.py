"""Catalyst-Bot's stand-in as an engine, with the exchange behind it in the test's hands."""

import secrets
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from plugin_samples import a_plan

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.catalyst_bot.engine import make
from subscriber_agent.engines.catalyst_bot.settings import CatalystBotSettings
from subscriber_agent.engines.context import EngineContext

STAND_IN = Path(__file__).parents[2] / "stand_in"
ENTRY = a_plan(quantity=Decimal(20))
EXIT = a_plan(quantity=Decimal(20), side=Side.SELL, leg=Leg.EXIT, stop_price=None, target_price=None)
ID = f"cs-{'0' * 32}-entry"
EXIT_ID = f"cs-{'0' * 32}-exit"


def bot_modules():
    """The stand-in's modules, once they can be imported."""
    if str(STAND_IN) not in sys.path:
        sys.path.append(str(STAND_IN))
    from catalyst_bot.broker import alpaca_client
    from catalyst_bot.execution import order_executor

    return alpaca_client, order_executor


class Rack:
    """One friend's machine: a folder, keys, a clock that a test can move on, and the exchange behind the keys."""

    def __init__(self, folder, timeout_s=5):
        self.folder = folder
        self.key = secrets.token_hex(4)
        self.late = timedelta(0)
        # Shorter than a friend may set it: a test does not wait for five seconds.
        self.settings = CatalystBotSettings.model_construct(folder=STAND_IN, timeout_s=timeout_s)
        self.world = bot_modules()[0].WORLDS[self.key]

    def clock(self):
        return datetime.now(UTC) + self.late

    def engine(self):
        environ = {"ALPACA_API_KEY": self.key, "ALPACA_API_SECRET": "s3cr3t"}
        context = EngineContext(data=self.folder, home=self.folder, user="alice", clock=self.clock, environ=environ)
        return make(self.settings, context)

    @asynccontextmanager
    async def running(self):
        engine = self.engine()
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()


def forget_bot():
    """Leave no stand-in behind: other tests are about a machine without the bot."""
    while str(STAND_IN) in sys.path:
        sys.path.remove(str(STAND_IN))
    for name in [each for each in sys.modules if each.partition(".")[0] == "catalyst_bot"]:
        del sys.modules[name]
