"""The worker and its engine: started first, heard at once, compared with, looked after without the server."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from engine_agent import HandAgent, HandEngine, at_work, in_session, now
from live_agent import a_signal, publishing

from signal_contract.errors import DurableMissing, EngineUnusable, ServerUnreachable
from subscriber_agent.accounting.book import Leg
from subscriber_agent.engines.engine import EngineEvent


async def bought(operator, until, agent):
    """The config of a friend who holds 100 AAPL with a stop at 4.75; the agent has run once and ended."""
    async with at_work(agent, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.labels == ["FILLED"], what="it is held")


async def test_the_engine_is_started_before_anything_is_asked_and_closed_at_the_end(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    async with at_work(agent, until):
        pass
    assert agent.engine.calls[0] == "start"
    assert (agent.engine.calls[-1], agent.engine.calls.count("start")) == ("close", 1)


async def test_an_engine_that_can_never_work_ends_the_agent_before_it_connects(operator):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    agent.engine.start_trouble = [EngineUnusable("the keys were refused")]
    with pytest.raises(EngineUnusable):
        await agent.run()
    assert (agent.of("connected"), agent.engine.calls) == ([], ["start", "close"])


async def test_signals_are_kept_while_an_engine_does_not_start_and_decided_once_it_has(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    agent.engine.start_trouble = [ConnectionError("away")]
    async with at_work(agent, until, up_to="connected"), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.labels == ["FILLED"], what="it was started, and the signal traded")
    assert (len(agent.of("engine_not_ready")), len(agent.of("engine_ready"))) == (1, 1)
    assert agent.engine.calls[:2] == ["start", "start"]


async def test_a_hint_of_the_engine_wakes_the_agent_at_once(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    async with at_work(agent, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.labels == ["FILLED"], what="it is held")
        (entry,) = agent.engine.outcomes
        agent.engine.stop_out(entry, "4.70")
        agent.engine.hints.put_nowait(EngineEvent(entry))
        await until(lambda: agent.journal.held("AAPL") == 0, what="the stop's fill is booked", timeout_s=3)
        last = agent.journal.fills()[-1]
        assert (last.leg, last.price) == (Leg.STOP, Decimal("4.70"))
        await until(lambda: agent.of("leg_filled"), what="it is told")
        assert [(each["leg"], each["ticker"], each["price"]) for each in agent.of("leg_filled")] == [
            ("stop", "AAPL", "4.7")
        ]


async def test_events_that_die_never_end_the_agent(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    async with at_work(agent, until) as task:
        agent.engine.hints.put_nowait(ValueError("no JSON"))
        await until(lambda: agent.of("engine_deaf"), what="it is told")
        agent.engine.hints.put_nowait(EngineEvent("cs-1"))
        await until(lambda: agent.of("engine_heard"), what="it is heard again")
        assert not task.done()


async def test_no_entry_is_made_while_the_engine_holds_what_nobody_bought_and_it_resolves_by_itself(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    agent.engine.held = {"TSLA": Decimal(7)}
    async with at_work(agent, until), publishing(operator) as publish:
        (told,) = agent.of("reconcile")
        assert [(each["kind"], each["ticker"]) for each in told["differences"]] == [("POSITION_UNKNOWN", "TSLA")]
        await publish(a_signal("AAPL"))
        await until(lambda: agent.labels == ["LEDGER_MISMATCH"], what="the entry is refused")
        agent.engine.held = {}
        agent.engine.hints.put_nowait(EngineEvent(is_gap=True))
        await until(lambda: agent.of("reconciled"), what="both agree again")
        await publish(a_signal("MSFT"))
        await until(lambda: agent.labels[1:] == ["FILLED"], what="entries are made again")


async def test_after_a_reconnect_the_engine_is_compared_with(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    async with at_work(agent, until):
        before = agent.engine.calls.count("orders")
        await operator.restart()
        await until(lambda: agent.engine.calls.count("orders") > before, what="it was looked at again")
        assert agent.of("reconnected")


async def test_exits_go_while_an_earlier_pull_is_waited_for(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = HandAgent(config)
    async with at_work(first, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: first.labels == ["FILLED"], what="it is held")
        second = HandAgent(config, engine=first.engine)
        task = asyncio.create_task(second.run())
        await until(lambda: second.of("occupied"), what="it waits for the first to end")
        second.journal.request_flatten("", now())
        await until(lambda: first.engine.held == {"AAPL": Decimal(0)}, what="it is closed")
        await until(lambda: second.of("all_closed") or first.of("all_closed"), what="it is told")
        # Both copies share a journal here, as no real ones can: one exit all the same.
        assert sum(plan.leg is Leg.EXIT for plan in first.engine.plans.values()) == 1
        second.stop.set()
        await task


async def test_flatten_closes_everything_while_the_server_is_away(operator, until):
    agent = HandAgent(await operator.add_user("alice", ["signals.*.*"]))
    async with at_work(agent, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.labels == ["FILLED"], what="it is held")
        await operator.up.supervisor.stop()
        await until(lambda: agent.of("disconnected"), what="the server is gone")
        agent.journal.request_flatten("the server is gone", now())
        await until(lambda: agent.of("all_closed"), what="everything is closed")
        assert agent.engine.held == {"AAPL": Decimal(0)}


async def test_an_agent_that_finds_no_server_looks_after_its_positions_and_ends_once_nothing_is_held(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = HandAgent(config)
    await bought(operator, until, first)
    await operator.stop()
    agent = HandAgent(config, engine=first.engine)
    task = asyncio.create_task(agent.run(connect_timeout_s=0.5))
    await until(lambda: agent.of("not_connected"), what="it stays up")
    assert agent.of("not_connected")[0]["positions"] == 1
    agent.journal.request_flatten("no server", now())
    await until(lambda: agent.engine.held == {"AAPL": Decimal(0)}, what="flatten works all the same")
    with pytest.raises(ServerUnreachable):
        await task
    assert len(agent.of("not_connected")) == 1


async def test_an_agent_that_holds_nothing_and_finds_no_server_ends(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await operator.stop()
    with pytest.raises(ServerUnreachable):
        await HandAgent(config).run(connect_timeout_s=0.5)


async def test_a_watched_stop_closes_its_position_before_the_first_connection(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    engine = HandEngine(brackets=False)
    engine.quotes = {"AAPL": Decimal(5)}
    await bought(operator, until, HandAgent(config, engine=engine))
    await operator.stop()
    engine.quotes = {"AAPL": Decimal("4.70")}
    agent = HandAgent(config, engine=engine, clock=in_session)
    with pytest.raises(ServerUnreachable):
        await agent.run(connect_timeout_s=0.5)
    assert engine.held == {"AAPL": Decimal(0)}
    assert [each["kind"] for each in agent.of("own_exit")] == ["stop"]


async def test_an_agent_without_its_durable_stays_only_for_a_stop_that_nobody_else_holds(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    engine = HandEngine(brackets=False)
    engine.quotes = {"AAPL": Decimal(5)}
    await bought(operator, until, HandAgent(config, engine=engine))
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    agent = HandAgent(config, engine=engine, clock=in_session)
    task = asyncio.create_task(agent.run())
    await until(lambda: agent.of("not_connected"), what="it stays up")
    assert agent.of("not_connected")[0]["is_tried_again"] is False
    engine.quotes = {"AAPL": Decimal("4.70")}
    with pytest.raises(DurableMissing):
        await task
    assert engine.held == {"AAPL": Decimal(0)}
    # Nothing needs it now.
    with pytest.raises(DurableMissing):
        await HandAgent(config, engine=engine).run()


async def test_an_agent_without_its_durable_ends_where_the_engine_holds_its_stops(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = HandAgent(config)
    await bought(operator, until, first)
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    agent = HandAgent(config, engine=first.engine)
    with pytest.raises(DurableMissing):
        await agent.run()
    assert agent.of("not_connected") == []


async def test_a_stop_ends_an_agent_that_is_still_looking_for_the_server(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = HandAgent(config)
    await bought(operator, until, first)
    await operator.stop()
    agent = HandAgent(config, engine=first.engine)
    task = asyncio.create_task(agent.run(connect_timeout_s=60))
    await until(lambda: agent.engine.calls.count("start") == 2, what="it has started")
    agent.stop.set()
    async with asyncio.timeout(5):
        await task
