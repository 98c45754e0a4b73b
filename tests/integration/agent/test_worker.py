"""The worker against a real server: what waited is read to its end before anything is decided."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from live_agent import Agent, a_signal, drained, now, publishing, revised

from publisher.settings import read_settings
from signal_contract.errors import DurableMissing, ServerUnreachable
from signal_contract.model import Event
from subscriber_agent.journal import Journal


async def test_a_signal_that_was_withdrawn_further_back_is_never_traded(operator):
    wrong, fine = a_signal("AAPL"), a_signal("MSFT")
    others = [a_signal(f"T{n}", confidence="0.1") for n in range(250)]  # more than one pull's worth in between
    agent = await drained(operator, wrong, fine, *others, revised(wrong, Event.RETRACT))
    assert (agent.labels[0], agent.labels[1], agent.labels[-1]) == ("RETRACTED", "FILLED", "RETRACTION")
    (caught_up,) = agent.of("caught_up")
    assert caught_up["missed"] == 253
    assert caught_up["outcomes"]["FILLED"] == 1
    kinds = [event for event, _ in agent.reports]
    assert kinds.index("decision") > kinds.index("connected")


async def test_an_update_supersedes_what_came_before_it(operator):
    first = a_signal()
    second = revised(first, Event.UPDATE, reference_price=Decimal("4.90"))
    third = revised(first, Event.UPDATE, 3, reference_price=Decimal("5.10"))
    agent = await drained(operator, first, second, third)
    assert agent.labels == ["SUPERSEDED", "SUPERSEDED", "FILLED"]
    assert agent.of("decision")[-1]["outcome"]["price"] == "5.1"


async def test_an_update_of_what_was_traded_is_not_traded_again(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = a_signal()
    async with publishing(operator) as publish:
        await publish(first)
        agent = Agent(config, "alice")
        await agent.run(until_drained=True)
        await publish(revised(first, Event.UPDATE))
        again = Agent(config, "alice")
        await again.run(until_drained=True)
    assert agent.labels + again.labels == ["FILLED", "DUPLICATE"]


async def test_what_is_withdrawn_stays_withdrawn_whatever_comes_later(operator):
    first = a_signal()
    agent = await drained(
        operator, first, revised(first, Event.RETRACT), revised(first, Event.UPDATE, 3, confidence=Decimal(1))
    )
    assert agent.labels == ["RETRACTED", "RETRACTION", "RETRACTED"]


async def test_a_second_payload_for_one_revision_is_set_aside_and_the_first_one_stands(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    first = a_signal()
    other = first.model_copy(update={"reference_price": Decimal("4.00"), "stop_price": Decimal("3.80")})
    settings = read_settings(operator.data, now=now())
    from publisher.service import entry_from
    from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER

    link = await operator.link("publisher")
    for number, signal in enumerate((first, other)):
        entry = entry_from(signal, settings.signer)
        headers = {MESSAGE_ID_HEADER: f"own-{number}", SIGNATURE_HEADER: entry.signature}
        await link.publish_stored(entry.subject, entry.payload, headers=headers)
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    assert agent.labels == ["FILLED"]
    assert agent.of("decision")[0]["outcome"]["price"] == "5"


async def test_a_live_signal_is_decided_at_once_and_a_stop_ends_it(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    running = asyncio.create_task(agent.run())
    await until(lambda: bool(agent.of("caught_up")), what="it is up to date")
    async with publishing(operator) as publish:
        for number in range(3):
            await publish(a_signal(f"T{number}"))
            await until(lambda seen=number: len(agent.labels) == seen + 1, what="it has decided", timeout_s=2)
    agent.stop.set()
    await running
    assert agent.labels == ["FILLED"] * 3
    assert agent.reports[-1][0] == "stopped"
    assert agent.of("disconnected") == [], "an end that was asked for is no lost connection"


async def test_what_came_while_the_server_was_killed_is_decided_after_it(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    running = asyncio.create_task(agent.run())
    await until(lambda: bool(agent.of("caught_up")), what="it is up to date")
    async with publishing(operator) as publish:
        old = operator.kill_server()
        await publish(a_signal("AAPL"))  # waits for the server in its outbox
        await operator.wait_restarted(old)
        await until(lambda: agent.labels == ["FILLED"], what="it has decided", timeout_s=15)
    agent.stop.set()
    await running
    assert len(agent.of("reconnected")) == len(agent.of("disconnected")) == 1


@pytest.mark.parametrize("heard", [1, 40])
async def test_each_of_many_stale_signals_is_reported_once_though_it_is_stopped_in_the_middle(operator, heard):
    config = await operator.add_user("alice", ["signals.*.*"])
    long_ago = (now() - timedelta(hours=1)).isoformat()
    signals = [a_signal(f"T{number}", published_at=long_ago, classified_at=long_ago) for number in range(300)]
    async with publishing(operator) as publish:
        await publish(*signals)
    first = Stopped(config, "alice", after=heard)
    await first.run(until_drained=True)
    again = Agent(config, "alice")
    await again.run(until_drained=True)
    told = [facts["signal_id"] for agent in (first, again) for facts in agent.of("decision")]
    assert heard <= len(first.labels) < 300
    assert set(first.labels + again.labels) == {"STALE"}
    assert told == [each.signal_id for each in signals]
    with Journal.open(first.journal.path, read_only=True) as journal:
        assert [row.columns["signal_id"] for row in journal.chain_rows()] == told
        assert journal.first_break() is None


class Stopped(Agent):
    """An agent that is told to stop while it says its decision number `after`."""

    def __init__(self, config: Path, name: str, *, after: int) -> None:
        super().__init__(config, name)
        self._after = after

    def _note(self, event: str, facts: dict[str, Any]) -> None:
        super()._note(event, facts)
        if len(self.labels) >= self._after:
            self.stop.set()


async def test_a_durable_that_is_gone_ends_it(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    with pytest.raises(DurableMissing):
        await Agent(config, "alice").run()


async def test_a_server_that_was_never_there_is_no_lost_connection(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await operator.stop()
    agent = Agent(config, "alice")
    with pytest.raises(ServerUnreachable):
        await agent.run()
    assert agent.reports == []
