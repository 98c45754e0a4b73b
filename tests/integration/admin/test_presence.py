"""Presence on the real server: who is there, what waits for him, what his agent says, and that a crowd is no burden."""

import asyncio
import json
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.presence.lookout import looked, lookout
from signal_admin.presence.rows import Link
from signal_admin.registry import User, write_user
from signal_contract.codec import signal_id_from
from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, feedback_bytes
from signal_contract.model import Action, Signal
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.resources import resource_path
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import durable_config, durable_name, pull_subject

CROWD = 500


def a_status(position=7, **changes):
    fields = {
        "version": "0.3.0",
        "mode": "paper",
        "engine": "paper",
        "link_state": "LIVE",
        "trading_state": "ACTIVE",
        "position": position,
        "last_sequence": 9,
        "pending": 2,
        "undecided": 0,
        "privacy": Privacy.DECISIONS,
    }
    return AgentStatus(**{**fields, **changes})


async def report(link, name, **changes):
    sent = Feedback(
        feedback_id=secrets.token_hex(16), kind=Kind.STATUS, at=datetime.now(UTC), status=a_status(**changes)
    )
    await link.publish_stored(sent.subject(name), feedback_bytes(sent), headers={MESSAGE_ID_HEADER: sent.feedback_id})


def a_signal(ticker):
    now = datetime.now(UTC)
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    changes = {
        "signal_id": signal_id_from("news", ticker, Action.BUY),
        "ticker": ticker,
        "classified_at": now.isoformat(),
        "published_at": now.isoformat(),
        "expires_at": (now + timedelta(hours=2)).isoformat(),
    }
    return Signal.model_validate_json(json.dumps({**document, **changes}))


async def publish(operator, *tickers):
    async with SignalPublisher(read_settings(operator.data, now=datetime.now(UTC))) as publisher:
        await publisher.submit_many([a_signal(each) for each in tickers])
        assert (await publisher.flush(10)).failure is None


async def pulling(link, name):
    """Ask for messages as an agent does, and take what comes."""

    async def ignore(_delivery):
        pass

    inbox = link.new_inbox()
    await link.subscribe(inbox, ignore)
    body = b'{"batch":10,"expires":30000000000,"idle_heartbeat":5000000000}'
    await link.publish(pull_subject(name), body, reply=inbox)
    await link.flush()


@pytest.fixture
async def friends(operator):
    for name in ("alice", "bob", "carol"):
        await operator.add_user(name, ["signals.*.*"])
    return operator


def row_of(snapshot, name):
    return next(row for row in snapshot.rows if row.state.user.name == name)


async def test_who_waits_for_messages_is_online_and_who_only_connects_is_not(friends):
    await pulling(await friends.link("alice"), "alice")
    await friends.link("bob")
    snapshot = await looked(friends.up.desk, "test")
    assert [row.link for row in snapshot.rows] == [Link.ONLINE, Link.CONNECTED, Link.OFFLINE]
    (seen,) = row_of(snapshot, "alice").connections
    assert (seen.ip, seen.label, seen.client.split()[0]) == ("127.0.0.1", "test", "python3")
    assert 0 < seen.rtt_s < 5
    assert abs(datetime.now(UTC) - seen.connected_at) < timedelta(seconds=60)
    assert snapshot.gaps == ()


async def test_what_an_agent_says_of_itself_is_in_its_row_and_only_there(friends):
    await report(await friends.link("alice"), "alice", mode="live", link_state="DEAF")
    snapshot = await looked(friends.up.desk, "test")
    assert row_of(snapshot, "alice").state.report.status.mode == "live"
    assert row_of(snapshot, "bob").state.report is None
    assert row_of(snapshot, "alice").feedback_stored == 1


async def test_the_wire_shows_rate_size_and_latency(friends):
    async with lookout(friends.up.desk, "test") as out:
        first = (await out.look()).wire
        assert (first.messages, first.latency_s, first.signals_per_min) == (0, None, None)
        await publish(friends, "AAPL", "MSFT")
        snapshot = await out.look()
    wire = snapshot.wire
    assert (wire.messages, wire.last_sequence, len(wire.latencies_s)) == (2, 2, 2)
    assert wire.size_bytes > 1000
    assert wire.signals_per_min > 0
    assert 0 <= wire.latency_s < 30
    assert 0 < wire.answer_s < 5
    assert row_of(snapshot, "alice").lag == 2


async def test_reports_that_come_too_fast_are_seen_at_the_next_look(friends):
    bob = await friends.link("bob")
    async with lookout(friends.up.desk, "test") as out:
        await out.look()
        await asyncio.gather(*(report(bob, "bob") for _ in range(150)))
        snapshot = await out.look()
    assert row_of(snapshot, "bob").feedback_per_s > 10
    assert "reports faster than an agent may" in row_of(snapshot, "bob").concerns
    assert row_of(snapshot, "alice").concerns == ()


async def test_a_second_look_reads_only_the_reports_that_are_new(friends):
    alice = await friends.link("alice")
    await report(alice, "alice", position=1)
    async with lookout(friends.up.desk, "test") as out:
        assert row_of(await out.look(), "alice").state.report.status.position == 1
        assert row_of(await out.look(), "alice").state.report.status.position == 1
        await report(alice, "alice", position=2)
        assert row_of(await out.look(), "alice").state.report.status.position == 2


async def test_two_connections_of_one_friend_are_a_concern(friends):
    await pulling(await friends.link("alice"), "alice")
    await friends.link("alice")
    snapshot = await looked(friends.up.desk, "test")
    assert row_of(snapshot, "alice").concerns == ("several connections",)


async def test_without_a_server_there_are_the_friends_and_a_word_about_what_is_not_seen(friends):
    desk = friends.up.desk
    await friends.stop()
    snapshot = await looked(desk, "test")
    assert [row.state.user.name for row in snapshot.rows] == ["alice", "bob", "carol"]
    assert {row.link for row in snapshot.rows} == {None}
    assert snapshot.wire is None
    assert "connections not seen: the server is not reached" in snapshot.gaps


async def provide_in_memory(admin, names):
    """Durables that live in memory: as many on disk take seconds to make, and look the same from outside."""

    async def provide(name):
        config = durable_config(name, ("signals.fda.*",)) | {"mem_storage": True}
        subject = f"$JS.API.CONSUMER.CREATE.SIGNALS.{durable_name(name)}"
        await admin.api(subject, {"stream_name": "SIGNALS", "config": config, "action": "create"}, timeout_s=30)

    await asyncio.gather(*map(provide, names))


async def test_five_hundred_friends_are_seen_in_less_than_three_seconds(operator):
    desk, now = operator.up.desk, datetime.now(UTC)
    for number in range(CROWD):
        key = KeyPair.generate(KeyKind.USER).public
        write_user(desk, User(f"friend{number:03}", key, ("signals.fda.*",), created_at=now, start_sequence=1))
    await provide_in_memory(await operator.admin_link(), [f"friend{number:03}" for number in range(CROWD)])
    began = time.monotonic()
    snapshot = await looked(desk, "test")
    took_s = time.monotonic() - began
    assert len(snapshot.rows) == CROWD
    assert {(row.link, row.lag) for row in snapshot.rows} == {(Link.OFFLINE, 0)}
    assert took_s < 3.0
