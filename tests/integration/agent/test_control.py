"""The operator's word and his retractions, in one order with the signals; and what cannot be used."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from live_agent import Agent, Slow, a_signal, drained, publishing, put, revised, running, say

from signal_contract.control import Verb
from signal_contract.model import Event
from subscriber_agent.cli.lines import report_line


async def test_what_was_published_during_a_halt_is_refused_also_when_the_resume_is_known(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    async with publishing(operator) as publish:
        await say(operator, Verb.HALT, "wrong prices")
        await publish(a_signal("AAPL"))
        await say(operator, Verb.RESUME)
        await publish(a_signal("MSFT"))
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    assert agent.labels == ["HALTED", "FILLED"]
    assert [(each["verb"], each["scope"], each["reason"]) for each in agent.of("control")] == [
        ("halt", "all", "wrong prices"),
        ("resume", "all", ""),
    ]
    (caught_up,) = agent.of("caught_up")
    assert caught_up == {"missed": 4, "outcomes": {"CONTROL": 2, "HALTED": 1, "FILLED": 1}, "acted_on": 1}
    assert report_line("caught_up", caught_up) == "caught up: 4 missed: 2 from the operator, 1 halted, 1 acted on"


async def test_a_halt_for_one_friend_stops_him_at_once_and_his_resume_lets_him_go_on(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until), publishing(operator) as publish:
        await say(operator, Verb.REDUCE, "ask me first", user="alice")
        await until(lambda: len(agent.of("control")) == 1, what="she has heard it")
        await publish(a_signal("AAPL"))
        await until(lambda: len(agent.labels) == 1, what="it is decided")
        await say(operator, Verb.RESUME, user="alice")
        await publish(a_signal("MSFT"))
        await until(lambda: len(agent.labels) == 2, what="it is decided")
    assert agent.labels == ["REDUCING", "FILLED"]
    told = [(each["scope"], each["state"]) for each in agent.of("control")]
    assert told == [("user", "REDUCING"), ("user", "ACTIVE")]


async def test_a_notice_is_shown_and_changes_nothing(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until), publishing(operator) as publish:
        await say(operator, Verb.NOTICE, "server moves on Sunday")
        await publish(a_signal())
        await until(lambda: len(agent.labels) == 1, what="it is decided")
    (notice,) = agent.of("control")
    assert report_line("control", notice) == "NOTICE from the operator to everybody: server moves on Sunday"
    assert agent.labels == ["FILLED"]


async def test_an_exit_counts_the_state_of_now_only(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = a_signal("AAPL")
    async with publishing(operator) as publish:
        await publish(first)
        await Agent(config, "alice").run(until_drained=True)
        await say(operator, Verb.HALT)
        close = a_signal(
            "AAPL", signal_id="c" * 32, action="close", stop_price=None, target_price=None, expires_at=None
        )
        await publish(close)
        await say(operator, Verb.RESUME)
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    assert agent.labels == ["FILLED"]


async def test_the_friend_is_told_when_what_he_traded_is_withdrawn(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent, first = Agent(config, "alice"), a_signal("AAPL")
    async with running(agent, until), publishing(operator) as publish:
        await publish(first)
        await until(lambda: agent.labels == ["FILLED"], what="it is traded")
        await publish(revised(first, Event.RETRACT))
        await until(lambda: bool(agent.of("retracted_after_trade")), what="she is told")
    (told,) = agent.of("retracted_after_trade")
    assert (told["ticker"], told["orders"], told["position"]["average_price"]) == ("AAPL", 1, "5")
    assert "you hold" in report_line("retracted_after_trade", told)


async def test_a_retraction_of_what_was_never_traded_is_no_alarm(operator):
    first = a_signal(confidence="0.1")
    agent = await drained(operator, first, revised(first, Event.RETRACT))
    assert agent.of("retracted_after_trade") == []


async def test_a_retraction_that_comes_while_an_order_is_under_way_counts_for_the_next_signal(operator, until):
    """Receiving does not wait for the engine."""
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", wrap=Slow)
    second = a_signal("MSFT")
    async with running(agent, until), publishing(operator) as publish:
        await publish(a_signal("AAPL"))
        await until(lambda: agent.engine.asked == 1, what="the engine has the first order")
        await publish(second, revised(second, Event.RETRACT))
        await say(operator, Verb.HALT)
        await until(lambda: bool(agent.of("control")), what="the halt is known", timeout_s=3)
        agent.engine.gate.set()
        await until(lambda: len(agent.labels) == 3, what="all is decided")
        info = await (await operator.admin_link()).api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert agent.labels[0] == "FILLED"
    assert set(agent.labels[1:]) <= {"RETRACTED", "HALTED", "RETRACTION"}
    assert info["num_ack_pending"] == 0, "what is on disk is acknowledged, whatever the engine does"


@pytest.mark.parametrize(
    ("subject", "payload", "code"),
    [
        ("control.all.dance", b"{}", "CONTROL_UNKNOWN"),
        ("control.all.halt", b"{}", "SCHEMA_INVALID"),
        ("signals.fda.AAPL", b"not json", "SCHEMA_INVALID"),
    ],
)
async def test_poison_is_set_aside_once_and_never_in_the_way_of_the_next_signal(operator, subject, payload, code):
    config = await operator.add_user("alice", ["signals.*.*"])
    link = await operator.link("admin" if subject.startswith("control") else "publisher")
    async with publishing(operator) as publish:
        sequence = await put(link, operator, subject, payload, "poison")
        await publish(a_signal())
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    assert [(each["seq"], each["code"]) for each in agent.of("parked")] == [(sequence, code)]
    assert agent.labels == ["FILLED"]
    info = await (await operator.admin_link()).api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert (info["num_ack_pending"], info["num_pending"]) == (0, 0)
    again = Agent(config, "alice")
    await again.run(until_drained=True)
    assert again.of("parked") == []


async def test_a_forged_halt_halts_nobody(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await put(await operator.link("admin"), operator, "control.all.halt", b"{}", "forged", signature="A" * 86)
    async with publishing(operator) as publish:
        await publish(a_signal(reference_price=str(Decimal("5.00"))))
    agent = Agent(config, "alice")
    await asyncio.wait_for(agent.run(until_drained=True), 20)
    assert agent.of("control") == []
    assert agent.labels == ["FILLED"]
