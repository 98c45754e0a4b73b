"""A trace context from the publisher's caller to the agent's decision, over a real server."""

from live_agent import Agent, a_signal, now

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_contract.signing import SIGNATURE_HEADER
from signal_contract.tracing import TRACEPARENT

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_trace_context_reaches_the_decision_and_the_header(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    seen = []
    admin = await operator.link("monitor")

    async def listen(delivery):
        seen.append(delivery.headers)

    await admin.subscribe("signals.*.*", listen)
    async with SignalPublisher(read_settings(operator.data, now=now())) as publisher:
        await publisher.submit(a_signal(), traceparent=TRACE)
        assert (await publisher.flush(10)).failure is None
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    assert [facts[TRACEPARENT] for facts in agent.of("decision")] == [TRACE]
    await until(lambda: bool(seen), what="the signal was heard")
    assert seen[0][TRACEPARENT] == TRACE
    assert seen[0][SIGNATURE_HEADER]
