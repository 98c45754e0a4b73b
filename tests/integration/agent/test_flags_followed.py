"""An agent follows the operator's flags: before its first decision, over restarts, and never into more than its own
config allows.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from live_agent import Agent, a_signal, publishing, running

from signal_admin.flags.bucket import apply, change_from
from signal_admin.rotation import rotate_publisher_key
from signal_contract.signing import SIGNATURE_HEADER
from signal_contract.topology import FLAGS_SUBJECT
from subscriber_agent.cli.lines import report_line
from subscriber_agent.flags import FLAGS, known_from
from subscriber_agent.settings.config import Mode


async def flag(operator, name, value, percent=100):
    desk = operator.up.desk
    return await apply(desk, change_from(desk, name, value, percent), now=datetime.now(UTC))


def a_close(ticker="AAPL"):
    nothing = {"stop_price": None, "target_price": None, "expires_at": None}
    return a_signal(ticker, signal_id="c" * 32, action="close", **nothing)


async def decided(config, operator, *signals, **changes):
    """What an agent decides about signals that were published while it was away."""
    async with publishing(operator) as publish:
        await publish(*signals)
    agent = Agent(config, "alice", **changes)
    await agent.run(until_drained=True)
    return agent


async def test_without_entries_nothing_is_opened_and_exits_go_on(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    assert (await decided(config, operator, a_signal("AAPL"))).labels == ["FILLED"]
    await flag(operator, "entries_percent", "0")
    agent = await decided(config, operator, a_signal("MSFT"), a_close("AAPL"))
    assert agent.labels == ["REDUCING", "FILLED"]
    (told,) = agent.of("flags")
    assert report_line("flags", told) == "flags from the operator: no new positions; entries_percent 0"
    await flag(operator, "entries_percent", "100")
    assert (await decided(config, operator, a_signal("NVDA"))).labels == ["FILLED"]


async def test_a_floor_of_approval_asks_for_each_entry_and_for_no_exit(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    assert (await decided(config, operator, a_signal("AAPL"))).labels == ["FILLED"]
    await flag(operator, "mode_floor", "approve")
    agent = await decided(config, operator, a_signal("MSFT"), a_close("AAPL"))
    assert agent.labels == ["APPROVAL_REQUIRED", "FILLED"]


async def test_a_floor_of_paper_leaves_paper_engines_alone(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await flag(operator, "mode_floor", "paper")
    assert (await decided(config, operator, a_signal("AAPL"))).labels == ["FILLED"]


async def test_flags_that_allow_everything_loosen_nothing_of_the_friends_own(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await flag(operator, "entries_percent", "100")
    await flag(operator, "mode_floor", "paper")
    agent = await decided(config, operator, a_signal("AAPL"), mode=Mode.NOTIFY)
    assert agent.labels == ["NOTIFY_ONLY"]


async def test_a_share_counts_for_those_who_are_in_it(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    await flag(operator, "entries_percent", "50")  # alice stands at 50.98
    assert (await decided(config, operator, a_signal("AAPL"))).labels == ["REDUCING"]
    await flag(operator, "entries_percent", "51")
    assert (await decided(config, operator, a_signal("MSFT"))).labels == ["FILLED"]


@pytest.mark.parametrize("what", ["unsigned", "not flags"])
async def test_what_cannot_be_believed_leaves_the_last_known_flags_in_force(operator, what):
    config = await operator.add_user("alice", ["signals.*.*"])
    await flag(operator, "entries_percent", "0")
    assert (await decided(config, operator, a_signal("AAPL"))).labels == ["REDUCING"]
    signature = {} if what == "unsigned" else {SIGNATURE_HEADER: "x"}
    loose = b'{"schema_version":1,"issued_at":"2099-01-01T00:00:00Z","flags":{}}' if what == "unsigned" else b"{}"
    await (await operator.admin_link()).publish_stored(FLAGS_SUBJECT, loose, headers=signature)
    agent = await decided(config, operator, a_signal("MSFT"))
    assert (agent.labels, agent.of("flags")) == (["REDUCING"], [])


async def test_flags_that_a_new_key_signed_count_before_the_first_decision_too(operator):
    """The agent was away while the publisher's key changed: it learns the key only from the stream."""
    config = await operator.add_user("alice", ["signals.*.*"])
    assert (await decided(config, operator, a_signal("AAPL"))).labels == ["FILLED"]
    await rotate_publisher_key(operator.up.desk, now=datetime.now(UTC))
    await flag(operator, "entries_percent", "0")
    agent = await decided(config, operator, a_signal("MSFT"))
    assert agent.labels == ["REDUCING"]


async def test_flags_are_followed_while_the_agent_runs_also_past_a_change_of_the_publishers_key(operator, until):
    config = await operator.add_user("alice", ["signals.*.*"])
    agent = Agent(config, "alice")
    async with running(agent, until):
        watch = agent.worker._receiver.flags
        await flag(operator, "entries_percent", "0")
        await watch.look()
        assert known_from(agent.journal.meta(FLAGS)).held.entries
        await rotate_publisher_key(operator.up.desk, now=datetime.now(UTC))
        await until(lambda: bool(agent.of("key_changed")), what="she follows the new key")
        await flag(operator, "entries_percent", None)
        await watch.look()
    assert [each["entries"] for each in agent.of("flags")] == [True, False]
