"""Quiet is told from dead by the publisher's heartbeat, and what is missing is explained."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from live_agent import Agent, a_signal, now, publishing, running

from publisher.settings import read_settings
from signal_contract.heartbeat import ClassifierState, Heartbeat, OutboxState, heartbeat_bytes
from signal_contract.model import ClassifierMode
from signal_contract.signing import SIGNATURE_HEADER, Signer
from signal_contract.subject import HEARTBEAT_PUBLISHER

STARTED = now()


def a_heartbeat(counter=1, **changes):
    fields = {
        "started_at": STARTED,
        "counter": counter,
        "at": now(),
        "interval_s": 15,
        "state": OutboxState.UP,
        "waiting": 0,
        "first_sequence": 1,
        "last_sequence": 0,
        "classifier": None,
    }
    return Heartbeat.model_validate({**fields, **changes})


async def beat(operator, heartbeat, *, signer=None):
    link = await operator.link("publisher")
    payload = heartbeat_bytes(heartbeat)
    signed = (signer or read_settings(operator.data, now=now()).signer).sign(HEARTBEAT_PUBLISHER, payload)
    await link.publish(HEARTBEAT_PUBLISHER, payload, headers={SIGNATURE_HEADER: signed})
    await link.flush()


def heard(agent):
    text = agent.journal.meta("heartbeat")
    return None if text is None else json.loads(text)


async def test_a_stalled_classifier_makes_the_link_quiet_and_its_next_cycle_live_again(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")

    def classifier(age_s):
        at = now() - timedelta(seconds=age_s)
        return ClassifierState(name="x", mode=ClassifierMode.LLM, degraded=False, last_cycle_at=at, cycle_s=60)

    async with running(agent, until):
        await until(lambda: bool(agent.of("link")), what="it knows its state")
        await beat(operator, a_heartbeat(1, classifier=classifier(600)))
        await until(lambda: agent.of("link")[-1]["state"] == "QUIET", what="it is quiet")
        await beat(operator, a_heartbeat(2, classifier=classifier(1)))
        await until(lambda: agent.of("link")[-1]["state"] == "LIVE", what="it is live again")
    assert [each["state"] for each in agent.of("link")] == ["LIVE", "QUIET", "LIVE"]


async def test_a_forged_or_repeated_heartbeat_changes_nothing(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until):
        await beat(operator, a_heartbeat(9, last_sequence=99), signer=Signer.generate())
        await beat(operator, a_heartbeat(8, at=now() - timedelta(minutes=2), last_sequence=98))
        await beat(operator, a_heartbeat(3, last_sequence=1))
        await until(lambda: heard(agent) is not None, what="the good one was heard")
        await beat(operator, a_heartbeat(2, last_sequence=97))
        await beat(operator, a_heartbeat(4, last_sequence=2))
        await until(lambda: heard(agent)["last_sequence"] != 1, what="the next good one was heard")
        assert heard(agent)["last_sequence"] == 2


async def test_what_another_took_with_the_same_identity_is_told_once(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with publishing(operator) as publish:
        await publish(a_signal("ONE"))
        first = Agent(config, "alice")
        await first.run(until_drained=True)
        await publish(a_signal("TAKEN"))
        await _taken_by_another(operator)
        await publish(a_signal("TWO"))
        async with running(agent, until):
            await until(lambda: bool(agent.of("gap")), what="the gap is told")
    (gap,) = agent.of("gap")
    assert (gap["kind"], gap["count"]) == ("lost", 1)
    assert "somebody else" in gap["detail"]


async def _taken_by_another(operator):
    """A second copy of her credentials takes one message and acknowledges it."""
    link = await operator.link("alice")
    taken = asyncio.get_running_loop().create_future()

    async def on_message(message):
        if not message.status and not taken.done():
            taken.set_result(message.reply)

    inbox = link.new_inbox()
    await link.subscribe(inbox, on_message)
    await link.publish("FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_alice", b'{"batch":1,"no_wait":true}', reply=inbox)
    async with asyncio.timeout(5):
        await link.publish(await taken, b"+ACK")
    await link.flush()
    await link.close()
