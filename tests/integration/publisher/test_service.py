"""The publisher against a real server: stored once, in order, signed; nothing lost or doubled over a restart."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from published import header, payload, settings_of, signals, stored, stored_ids

from publisher.circuit import CircuitState
from publisher.entry import Entry
from publisher.outbox import Outbox
from publisher.service import SignalPublisher, entry_from
from signal_contract.codec import decode
from signal_contract.errors import Denied, ServerUnreachable, StreamMissing


async def test_signals_are_stored_once_in_order_and_signed(operator: Any) -> None:
    made, settings = signals(5), settings_of(operator)
    async with SignalPublisher(settings) as publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(10)
        assert publisher.state is CircuitState.UP
    assert (drained.waiting, drained.failure) == (0, None)
    messages = await stored(operator)
    assert [decode(payload(each)) for each in messages] == made
    assert [each.sequence for each in drained.receipts] == [each["seq"] for each in messages]
    for message in messages:
        settings.signer.verifier.check(message["subject"], payload(message), header(message, "Catalyst-Signature"))


async def test_friend_receives_what_was_published(operator: Any) -> None:
    await operator.add_user("alice", ["signals.fda.*"])
    async with SignalPublisher(settings_of(operator)) as publisher:
        await publisher.submit(signals(1)[0])
        await publisher.flush(10)
    link = await operator.link("alice")
    info = json.loads((await link.request("FEED.CONSUMER.INFO.SIGNALS.sub_alice")).data)
    assert info["num_pending"] == 1


async def test_publishing_again_adds_nothing(operator: Any) -> None:
    made = signals(3)
    async with SignalPublisher(settings_of(operator)) as publisher:
        await publisher.submit_many(made)
        await publisher.flush(10)
        again = await publisher.submit_many(made)
        assert (await publisher.flush(10)).receipts == ()
    assert [each.is_new for each in again] == [False, False, False]
    assert await stored_ids(operator) == [each.message_id for each in made]


async def test_lost_outbox_does_not_double_what_the_stream_holds(operator: Any) -> None:
    made, settings = signals(3), settings_of(operator)
    async with SignalPublisher(settings) as publisher:
        await publisher.submit_many(made)
        await publisher.flush(10)
    for each in settings.outbox.parent.glob("outbox.sqlite*"):
        each.unlink()
    async with SignalPublisher(settings) as publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(10)
    assert [each.is_duplicate for each in drained.receipts] == [True, True, True]
    assert await stored_ids(operator) == [each.message_id for each in made]


async def test_restart_in_the_middle_loses_and_doubles_nothing(operator: Any) -> None:
    made, killed = signals(120), asyncio.Event()

    def on_receipt(_: object) -> None:
        if len(publisher.receipts) in (30, 80):
            operator.kill_server()
            killed.set()

    publisher = SignalPublisher(settings_of(operator), on_receipt=on_receipt)
    async with publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(30)
    assert killed.is_set()
    assert (drained.failure, drained.waiting) == (None, 0)
    assert await stored_ids(operator) == [each.message_id for each in made]


async def test_server_away_keeps_everything_for_the_next_flush(operator: Any) -> None:
    made, settings = signals(4), settings_of(operator)
    from signal_admin.up import UpSettings, brought_up

    data, port = operator.data, int(operator.url.rsplit(":", 1)[1])
    await operator.stop()
    async with SignalPublisher(settings) as publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(0.5)
        assert isinstance(drained.failure, ServerUnreachable)
        assert drained.waiting == 4
        async with brought_up(data, UpSettings(port=port), lambda _: None):
            assert (await publisher.flush(20)).waiting == 0
    assert [each.message_id for each in publisher.receipts] == [each.message_id for each in made]


async def test_subject_that_no_stream_takes_is_an_error_and_stays_in_the_outbox(operator: Any) -> None:
    # The publisher may publish `heartbeat.publisher`, which no stream stores: what a missing stream looks like.
    settings = settings_of(operator)
    with Outbox.open(settings.outbox) as outbox:
        outbox.submit(Entry("lost.1", "heartbeat.publisher", b"{}", "c2ln"), now=datetime.now(UTC))
    async with SignalPublisher(settings) as publisher:
        drained = await publisher.flush(30)
    assert isinstance(drained.failure, StreamMissing)
    assert drained.waiting == 1


async def test_subject_that_is_not_the_publishers_is_denied_at_once(operator: Any) -> None:
    settings = settings_of(operator)
    with Outbox.open(settings.outbox) as outbox:
        outbox.submit(Entry("stolen.1", "control.all.halt", b"{}", "c2ln"), now=datetime.now(UTC))
    async with SignalPublisher(settings) as publisher:
        drained = await asyncio.wait_for(publisher.flush(30), 10)
    assert isinstance(drained.failure, Denied)


async def test_two_publishers_share_one_outbox(operator: Any) -> None:
    made, settings = signals(60), settings_of(operator)
    async with SignalPublisher(settings) as one, SignalPublisher(settings) as other:
        await asyncio.gather(one.submit_many(made[:30]), other.submit_many(made[30:]))
        results = await asyncio.gather(one.flush(20), other.flush(20))
    assert [each.failure for each in results] == [None, None]
    ids = await stored_ids(operator)
    assert sorted(ids) == sorted(each.message_id for each in made)


def test_entry_is_on_the_signals_own_subject() -> None:
    from signal_contract.signing import Signer

    signal, signer = signals(1)[0], Signer.generate()
    entry = entry_from(signal, signer)
    assert (entry.subject, entry.message_id) == (signal.subject, signal.message_id)
    signer.verifier.check(entry.subject, entry.payload, entry.signature)


async def test_publisher_that_was_not_entered_says_so(operator: Any) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await SignalPublisher(settings_of(operator)).counts()
