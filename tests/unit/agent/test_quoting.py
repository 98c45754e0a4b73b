"""Pretend money at a broker's prices: the broker is asked for quotes, started and closed, and gets no order."""

from decimal import Decimal

import pytest
from agent_samples import NOW, a_config

from signal_contract.errors import EngineUnusable, StorageFailed
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Account, OutcomeState
from subscriber_agent.engines.paper.engine import make
from subscriber_agent.engines.quoting import WithQuotesOf
from subscriber_agent.engines.registry import build_engine
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce
from subscriber_agent.risk.market import Capabilities, Quote

QUOTING = {"paper": {"price_source": "engine", "quotes_from": "alpaca"}}
PLAN = OrderPlan(
    ticker="ABCD",
    side=Side.BUY,
    leg=Leg.ENTRY,
    quantity=Decimal(10),
    order_type=OrderType.MARKET,
    limit_price=None,
    stop_price=Decimal("4.75"),
    target_price=None,
    time_in_force=TimeInForce.DAY,
    reference_price=Decimal(5),
    reference_price_at=NOW,
    catalyst="fda",
)


class Broker:
    """Prices and nothing else: an order here would be an attribute that does not exist."""

    name, is_paper = "broker", False

    def __init__(self, *, fails=False):
        self.calls = []
        self._fails = fails

    def capabilities(self):
        return Capabilities(quotes=True)

    async def start(self):
        self.calls.append("start")
        if self._fails:
            raise EngineUnusable("the key is refused")

    async def close(self):
        self.calls.append("close")

    async def quote(self, ticker):
        self.calls.append(ticker)
        return Quote(Decimal("5.00"), Decimal("5.02"), Decimal("5.01"), NOW)


def paper_at(tmp_path, broker):
    settings = a_config(tmp_path, engine=QUOTING).engine.paper
    context = EngineContext(tmp_path, tmp_path, "alice", clock=lambda: NOW)
    return WithQuotesOf(make(settings, context, quotes=broker.quote), broker)


async def test_orders_stay_on_paper_at_the_brokers_prices(tmp_path):
    broker = Broker()
    engine = paper_at(tmp_path, broker)
    await engine.start()
    try:
        assert (engine.name, engine.is_paper, engine.capabilities().quotes) == ("paper", True, True)
        outcome = await engine.submit(PLAN, "cs-1-entry")
        assert (outcome.state, outcome.price) == (OutcomeState.FILLED, Decimal("5.02"))
        assert (await engine.lookup("cs-1-entry")).quantity == 10
        assert [each.ticker for each in await engine.positions()] == ["ABCD"]
        assert isinstance(await engine.account(), Account)
        assert [each.side for each in await engine.orders()] == [Side.SELL]
        assert (await engine.quote("ABCD")).ask == Decimal("5.02")
        assert await engine.symbol("ABCD") is None
        assert await engine.observe("ABCD", Decimal(5), NOW) == ()
        assert (await engine.cancel("cs-1-entry")).state is OutcomeState.FILLED
    finally:
        await engine.close()
    assert broker.calls[0] == "start"
    assert broker.calls[-1] == "close"
    assert set(broker.calls) == {"start", "close", "ABCD"}


async def test_prices_that_cannot_be_had_stop_the_start(tmp_path):
    broker = Broker(fails=True)
    with pytest.raises(EngineUnusable, match="the key is refused"):
        await paper_at(tmp_path, broker).start()


async def test_a_paper_account_that_cannot_be_opened_closes_the_broker_again(tmp_path):
    broker = Broker()
    engine = paper_at(tmp_path / "data", broker)
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StorageFailed):
        await engine.start()
    assert broker.calls == ["start", "close"]


def test_the_config_names_whose_prices(tmp_path):
    context = EngineContext(
        tmp_path, tmp_path, "alice", environ={"APCA_API_KEY_ID": "PK" + "A" * 18, "APCA_API_SECRET_KEY": "s" * 40}
    )
    engine = build_engine(a_config(tmp_path, engine=QUOTING), context)
    assert isinstance(engine, WithQuotesOf)
    assert (engine.name, engine.is_paper) == ("paper", True)


def test_whose_prices_it_is_must_be_set_up_too(tmp_path):
    with pytest.raises(EngineUnusable):
        build_engine(a_config(tmp_path, engine=QUOTING), EngineContext(tmp_path, tmp_path, "alice", environ={}))


async def test_an_engine_without_quotes_is_no_source_of_prices(tmp_path):
    broker = Broker()
    broker.capabilities = Capabilities
    with pytest.raises(EngineUnusable, match="has no quotes"):
        await paper_at(tmp_path, broker).start()
    assert broker.calls == ["start", "close"]
