"""The pull loop against the shipped server configuration."""

import asyncio
import contextlib
import time

import pytest

from signal_contract.delivery import LinkEvent
from signal_contract.errors import Denied, DurableMissing, LinkError
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import durable_name
from subscriber_agent.receiving.feed import Feed, durable_info


async def _publish(operator, count, *, start=0, subject="signals.fda.AAPL"):
    link = await operator.link("publisher")
    for n in range(start, start + count):
        await link.publish_stored(subject, str(n).encode(), headers={MESSAGE_ID_HEADER: f"{subject}{n}"})


async def _collect(feed, count, *, within_s=10.0, ack=True):
    got = []
    async with asyncio.timeout(within_s):
        async with contextlib.aclosing(feed.batches(idle_s=0.2)) as batches:
            async for batch in batches:
                got += batch
                if ack:
                    await feed.ack(batch)
                if len({each.data for each in got}) >= count:  # acks lost in a kill make redeliveries
                    break
    return [int(each.data) for each in got]


async def test_everything_entitled_arrives_once_and_in_order(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await _publish(operator, 700)
    await _publish(operator, 5, subject="signals.clinical.AAPL")
    feed = Feed(await operator.link("alice"), "alice")
    assert await _collect(feed, 700) == list(range(700))


async def test_a_live_message_arrives_within_milliseconds(operator):
    await operator.add_user("alice", ["signals.*.*"])
    feed = Feed(await operator.link("alice"), "alice")
    collecting = asyncio.create_task(_collect(feed, 20))
    await _publish(operator, 20)
    assert await collecting == list(range(20))


async def test_unacknowledged_messages_are_not_lost(operator):
    await operator.add_user("alice", ["signals.*.*"])
    await _publish(operator, 3)
    first = Feed(await operator.link("alice"), "alice")
    assert await _collect(first, 3, ack=False) == [0, 1, 2]
    info = await durable_info(await operator.link("alice"), "alice")
    assert info["num_ack_pending"] == 3


async def test_delivery_goes_on_after_the_server_was_killed(operator):
    await operator.add_user("alice", ["signals.*.*"])
    notices = []
    creds_link = await operator.link("alice")
    feed = Feed(creds_link, "alice")
    creds_link._on_notice = lambda notice: (
        notices.append(notice),
        notice.event is LinkEvent.RECONNECTED and (feed.on_reconnect(), feed.go_on()),
    )
    collecting = asyncio.create_task(_collect(feed, 20, within_s=30))
    await _publish(operator, 10)
    await operator.restart()
    await _publish(operator, 10, start=10)
    started = time.monotonic()
    got = await collecting
    assert sorted(set(got)) == list(range(20))
    assert time.monotonic() - started < 5


async def test_after_a_reconnect_no_message_goes_to_the_pull_of_the_old_connection(operator, until):
    """It would come again after ack_wait, 30 s late; without an inbox of its own every second one does."""
    await operator.add_user("alice", ["signals.*.*"])
    events = []

    def on_notice(notice):
        events.append(notice.event)
        if notice.event is LinkEvent.DISCONNECTED:
            feed.on_disconnect()
        elif notice.event is LinkEvent.RECONNECTED:
            feed.on_reconnect()
            feed.go_on()

    link = await operator.link("alice", on_notice)
    feed = Feed(link, "alice")
    for turn in range(3):
        collecting = asyncio.create_task(_collect(feed, 20))
        await asyncio.wait_for(_waits(await operator.admin_link(), "alice"), 5)
        await link.reconnect()
        await until(lambda: events.count(LinkEvent.RECONNECTED) > turn, what="reconnected")  # noqa: B023
        await _publish(operator, 20, start=20 * turn)
        assert await collecting == list(range(20 * turn, 20 * turn + 20))
        feed = Feed(link, "alice")


async def test_a_durable_that_is_gone_is_named_and_does_not_storm(operator):
    await operator.add_user("alice", ["signals.*.*"])
    feed = Feed(await operator.link("alice"), "alice")
    collecting = asyncio.create_task(_collect(feed, 1, within_s=20))
    admin = await operator.admin_link()
    await asyncio.wait_for(_waits(admin, "alice"), 5)
    await admin.api(f"$JS.API.CONSUMER.DELETE.SIGNALS.{durable_name('alice')}")
    with pytest.raises(DurableMissing):
        await collecting
    assert feed._state.token < 20


async def _waits(admin, user):
    while True:
        info = await admin.api(f"$JS.API.CONSUMER.INFO.SIGNALS.{durable_name(user)}")
        if info["num_waiting"]:
            return


async def test_a_message_aimed_by_another_user_is_dropped(operator, until):
    await operator.add_user("alice", ["signals.*.*"])
    await operator.add_user("mallory", ["signals.*.*"])
    feed = Feed(await operator.link("alice"), "alice")
    collecting = asyncio.create_task(_collect(feed, 2))
    mallory = await operator.link("mallory")
    await _publish(operator, 1)
    # Mallory has her own durable deliver to Alice's inbox; she would have to know its random token.
    await mallory.publish(
        "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_mallory", b'{"batch":1,"no_wait":true}', reply=f"{feed._inbox}.1"
    )
    await until(lambda: feed.stray == 1, what="the stray message was seen")
    await _publish(operator, 1, start=1)
    assert await collecting == [0, 1]


async def test_another_users_durable_is_denied_at_once(operator):
    await operator.add_user("alice", ["signals.*.*"])
    await operator.add_user("bob", ["signals.*.*"])
    link: Link = await operator.link("bob")
    started = time.monotonic()
    with pytest.raises(Denied):
        await durable_info(link, "alice")
    assert time.monotonic() - started < 1


async def test_the_end_of_the_link_ends_the_feed(operator):
    await operator.add_user("alice", ["signals.*.*"])
    link = await operator.link("alice")
    collecting = asyncio.create_task(_collect(Feed(link, "alice"), 1))
    await asyncio.sleep(0)
    await link.close()
    with pytest.raises(LinkError):
        await collecting
