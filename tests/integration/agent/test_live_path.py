"""A live signal costs one fsync before the engine has it; a reconnect is over at once, or waits for what is due."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from live_agent import Agent, Slow, a_signal, publishing, revised, running

from signal_contract.errors import DurableMissing, LinkNotLive
from signal_contract.feedback import Privacy
from signal_contract.model import Event
from subscriber_agent.receiving.feed import Feed, durable_info


async def test_a_live_signal_costs_one_commit_before_the_engine_has_it(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", wrap=Slow)
    async with running(agent, until), publishing(operator) as publish:
        await until(lambda: bool(agent.of("link")), what="the link's first state is noted")
        before, live = agent.journal.commits, a_signal()
        await publish(live)
        await until(lambda: agent.engine.asked == 1, what="the engine has the order")
        assert agent.journal.commits - before == 1
        assert agent.journal.decision(live.signal_id, 1) is not None
        assert len(agent.journal.open_intents()) == 1


async def test_and_one_after_it_beside_the_engines_own_for_the_outcome_with_its_fill_and_stop(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    # Reports that were sent are taken out of the journal at their own time.
    agent = Agent(config, "alice", privacy=Privacy.NONE)
    async with running(agent, until), publishing(operator) as publish:
        await until(lambda: bool(agent.of("link")), what="the link's first state is noted")
        before = agent.journal.commits
        await publish(a_signal())
        await until(lambda: agent.labels == ["FILLED"], what="it is filled")
        assert agent.journal.commits - before == 2


async def test_the_order_goes_out_before_the_acknowledgement(operator, until, monkeypatch):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent, steps = Agent(config, "alice"), []
    submit, ack = agent.engine.submit, Feed.ack

    async def submitted(plan, order_id):
        steps.append("order")
        return await submit(plan, order_id)

    async def acknowledged(feed, batch):
        steps.append("ack")
        await ack(feed, batch)

    monkeypatch.setattr(agent.engine, "submit", submitted)
    monkeypatch.setattr(Feed, "ack", acknowledged)
    async with running(agent, until), publishing(operator) as publish:
        await until(lambda: bool(agent.of("link")), what="the link's first state is noted")
        await publish(a_signal())
        await until(lambda: len(steps) == 2, what="it is acknowledged too")
    assert (steps, agent.labels) == (["order", "ack"], ["FILLED"])


async def test_a_burst_leaves_no_pulls_behind_that_would_keep_the_next_ones_out(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until), publishing(operator) as publish:
        await publish(*(a_signal(f"T{number}", confidence="0.1") for number in range(900)))
        await until(lambda: len(agent.labels) == 900, what="all are decided", timeout_s=60)
        state = await durable_info(agent.worker._receiver._link, "alice")
    assert 1 <= state["num_waiting"] <= 3
    assert [facts["state"] for facts in agent.of("link")] == ["LIVE"]


class Pondering:
    """The paper engine, which thinks about one question for ever; whoever gives it up is answered at once next time."""

    def __init__(self, inner):
        self._inner = inner
        self.is_thinking = self.thinks = False

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def positions(self):
        if self.thinks:
            self.is_thinking = True
            try:
                await asyncio.Event().wait()
            finally:
                self.thinks = self.is_thinking = False
        return await self._inner.positions()


async def test_a_signal_does_not_wait_for_the_engines_word_on_what_is_looked_after(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", wrap=Pondering)
    async with running(agent, until), publishing(operator) as publish:
        agent.engine.thinks = True
        await until(lambda: agent.engine.is_thinking, what="it looks after what is open")
        began = time.monotonic()
        await publish(a_signal())
        await until(lambda: agent.labels == ["FILLED"], what="it is filled")
        assert time.monotonic() - began < 3  # the question's own limit is 10 s
        assert not agent.of("engine_fault")
        through_at = agent.worker._rhythm.through_at
        await until(lambda: agent.worker._rhythm.through_at > through_at, what="what was broken off is done again")


async def test_a_live_batch_with_its_own_retraction_is_not_traded(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent, wrong = Agent(config, "alice"), a_signal()
    async with running(agent, until), publishing(operator) as publish:
        await publish(wrong, revised(wrong, Event.RETRACT))
        await until(lambda: len(agent.labels) == 2, what="both are decided")
    assert agent.labels[1] == "RETRACTION"


async def test_after_a_restart_with_nothing_in_flight_signals_flow_within_a_second(operator, until, capsys):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until), publishing(operator) as publish:
        took = []
        for turn in range(3):
            old = operator.kill_server()
            await operator.wait_restarted(old)
            back = time.monotonic()
            await publish(a_signal(f"T{turn}"))
            await until(lambda: len(agent.labels) == turn + 1, what="it is decided")  # noqa: B023
            took.append(time.monotonic() - back)
    with capsys.disabled():
        print(f"\nserver ready → published → reconnected → traded: {', '.join(f'{each:.3f}' for each in took)} s")
    assert agent.labels == ["FILLED"] * 3
    assert max(took) < 1


async def test_after_a_reconnect_nothing_is_decided_before_what_was_in_flight_has_come_back(operator, until):
    """The retraction was in flight on the connection that died; the signal that it withdraws must not be traded."""
    config = await operator.add_user("alice", ["signals.*.*"])
    await _shorten_ack_wait(await operator.admin_link())
    agent, wrong = Agent(config, "alice"), a_signal("AAPL")
    async with running(agent, until), publishing(operator) as publish:
        link = agent.worker._receiver._link
        await _one_taken_away(link, lambda n: publish(a_signal(f"G{n}", confidence="0.1")))
        await until(lambda: agent.journal.undecided_count() == 0, what="the others are decided")
        seen = len(agent.labels)
        await link.reconnect()
        await until(lambda: len(agent.of("reconnected")) == 1, what="connected again")
        await publish(wrong)
        await until(lambda: agent.journal.undecided_count() == 1, what="it is on disk")
        assert len(agent.labels) == seen
        await publish(revised(wrong, Event.RETRACT))
        await until(lambda: len(agent.labels) == seen + 3, what="all is decided", timeout_s=40)
    assert sorted(agent.labels[seen:]) == ["LOW_CONFIDENCE", "RETRACTED", "RETRACTION"]


async def _shorten_ack_wait(admin):
    info = await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    config = {**info["config"], "ack_wait": 4_000_000_000}
    change = {"stream_name": "SIGNALS", "config": config, "action": "update"}
    await admin.api("$JS.API.CONSUMER.CREATE.SIGNALS.sub_alice", change)


async def _one_taken_away(link, publish):
    """Let one message be delivered to another pull of the same user, which does nothing with it."""
    taken = asyncio.Event()

    async def on_message(message):
        if not message.status:
            taken.set()

    inbox = link.new_inbox()
    subscription = await link.subscribe(inbox, on_message)
    await link.publish("FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_alice", b'{"batch":1,"expires":20000000000}', reply=inbox)
    await link.flush()
    for number in range(4):  # the server takes turns between the pulls that wait
        await publish(number)
        await link.flush()
        if taken.is_set():
            break
    assert taken.is_set()
    await subscription.unsubscribe()


async def test_a_durable_that_goes_away_is_named_with_the_place_to_restore_it_from(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with publishing(operator) as publish:
        await publish(a_signal("AAPL"), a_signal("MSFT"))
        running_task = asyncio.create_task(agent.run())
        await until(lambda: len(agent.labels) == 2, what="both are decided")
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    with pytest.raises(DurableMissing) as caught:
        await running_task
    assert caught.value.exit_code == 16
    assert "catalyst user repair alice --from" in caught.value.hint


async def test_each_state_of_the_link_is_told_once_and_a_long_cut_is_an_alert(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", alert_after_s=1)
    async with running(agent, until):
        await until(lambda: bool(agent.of("link")), what="it knows its state")
        first = agent.of("link")[-1]["state"]
        await _cut_for(agent, operator, until)
        await until(lambda: agent.of("link")[-1]["state"] == first, what="it is as before", timeout_s=20)
    states = [each["state"] for each in agent.of("link")]
    assert states == [first, "CUT", first]
    assert len(agent.of("alert")) == len(agent.of("alert_over")) == 1


async def _cut_for(agent, operator, until):
    pid = operator.up.supervisor.running.nats_pid
    # A server that does not answer: the connection is closed from our side, and cannot be made anew.
    os.kill(pid, signal.SIGSTOP)
    try:
        cutting = asyncio.create_task(agent.worker._receiver._link.reconnect())
        await until(lambda: bool(agent.of("alert")), what="she is alerted", timeout_s=20)
    finally:
        os.kill(pid, signal.SIGCONT)
    await cutting


async def test_it_ends_with_its_own_status_when_the_config_wants_that(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice", exit_when_not_live_s=1)
    task = asyncio.create_task(agent.run())
    await until(lambda: bool(agent.of("caught_up")), what="it is up to date")
    await operator.stop()
    with pytest.raises(LinkNotLive) as caught:
        await task
    assert caught.value.exit_code == 18
