"""The limits that the server enforces, on the real server and past the client library's own checks: docs/limits.md."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from signal_contract.creds import claims_of, read_creds
from signal_contract.errors import BrokerRefused, CatalystError
from signal_contract.permissions import ROLES, RoleName
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import ACCOUNT_CONNECTIONS, Account, info_subject, pull_subject

SERVER_PAYLOAD = 128 * 1024


class Wire:
    """The bare protocol, logged in as a user: it sends whatever it is told."""

    def __init__(self, reader, writer) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, text: str | bytes) -> None:
        self._writer.write(text if isinstance(text, bytes) else text.encode())
        await self._writer.drain()

    async def publish(self, subject: str, size: int) -> None:
        await self.send(f"PUB {subject} {size}\r\n".encode() + b"x" * size + b"\r\n")

    async def said(self) -> str:
        """What the server answers to a PING: PONG, or the error with which it ends the connection."""
        try:
            await self.send("PING\r\n")
            while line := (await asyncio.wait_for(self._reader.readline(), 5)).decode():
                if line.startswith(("PONG", "-ERR")):
                    return line.strip()
        except ConnectionError:
            pass
        return "closed"


@asynccontextmanager
async def wire(operator, name: str):
    place, creds = urlsplit(operator.url), read_creds(operator.creds_path(name))
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
    try:
        info = json.loads((await reader.readline()).removeprefix(b"INFO "))
        signed = base64.urlsafe_b64encode(creds.key.sign(info["nonce"].encode())).decode().rstrip("=")
        options = {"jwt": creds.jwt, "sig": signed, "verbose": False, "pedantic": False, "protocol": 1}
        raw = Wire(reader, writer)
        await raw.send(f"CONNECT {json.dumps(options)}\r\n")
        yield raw
    finally:
        writer.close()


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    return operator


@pytest.mark.parametrize(
    ("name", "role", "subject"),
    [
        ("alice", RoleName.SUBSCRIBER, "feedback.alice.status"),
        ("publisher", RoleName.PUBLISHER, "signals.fda.AAPL"),
        ("monitor", RoleName.MONITOR, "WATCH.CONSUMER.LIST.SIGNALS"),
    ],
)
async def test_a_message_over_the_roles_size_ends_the_connection(friends, name, role, subject):
    limit = ROLES[role].max_payload_bytes
    async with wire(friends, name) as raw:
        await raw.publish(subject, limit)
        assert await raw.said() == "PONG"
        await raw.publish(subject, limit + 1)
        assert await raw.said() in ("-ERR 'Maximum Payload Violation'", "closed")
        assert await raw.said() == "closed"


async def test_nobody_sends_more_than_the_server_takes(friends):
    assert max(each.max_payload_bytes for each in ROLES.values()) <= SERVER_PAYLOAD
    async with wire(friends, "system") as raw:
        await raw.publish("$SYS.REQ.SERVER.PING", SERVER_PAYLOAD + 1)
        assert await raw.said() in ("-ERR 'Maximum Payload Violation'", "closed")


@pytest.mark.parametrize(("name", "role"), [("alice", RoleName.SUBSCRIBER), ("monitor", RoleName.MONITOR)])
async def test_one_subscription_too_many_ends_the_connection(friends, name, role):
    async with wire(friends, name) as raw:
        for number in range(ROLES[role].max_subscriptions):
            await raw.send(f"SUB _INBOX_{name}.a{number} {number}\r\n")
        assert await raw.said() == "PONG"
        await raw.send(f"SUB _INBOX_{name}.more 999\r\n")
        assert await raw.said() in ("-ERR 'maximum subscriptions exceeded'", "closed")


async def test_a_control_line_over_8_kb_ends_the_connection(friends):
    async with wire(friends, "alice") as raw:
        await raw.send(f"PUB feedback.alice.{'x' * 9000} 0\r\n\r\n")
        assert await raw.said() in ("-ERR 'maximum control line exceeded'", "closed")


async def test_an_account_that_is_full_lets_nobody_else_in_and_the_others_stay(friends):
    limit = ACCOUNT_CONNECTIONS[Account.OBSERVERS]
    here = [await friends.link("monitor") for _ in range(limit)]
    async with wire(friends, "monitor") as raw:
        assert await raw.said() in ("-ERR 'maximum account active connections exceeded'", "closed")
    assert all(link.is_connected for link in here)
    assert (await friends.link("alice")).is_connected
    assert (await friends.link("publisher")).is_connected
    await here[0].close()
    again = await friends.link("monitor")
    assert (await again.api("WATCH.STREAM.INFO.SIGNALS"))["config"]["name"] == "SIGNALS"


async def test_friends_and_observers_together_leave_room_for_publisher_and_operator(friends):
    issued = {claims["name"]: claims for claims in _accounts(friends)}
    for account, limit in ACCOUNT_CONNECTIONS.items():
        assert issued[account.value]["nats"]["limits"]["conn"] == limit
    config = friends.up.desk.server_conf.read_text(encoding="utf-8")
    assert "max_connections: 2000" in config
    assert sum(ACCOUNT_CONNECTIONS.values()) <= 2000 - 150


def _accounts(operator):
    return [claims_of(path.read_text().strip()) for path in operator.up.desk.accounts.glob("*.jwt")]


async def test_more_than_eight_pulls_do_not_wait(friends):
    alice = await friends.link("alice")

    async def ignore(_delivery):
        pass

    await alice.subscribe(f"{alice.new_inbox().rpartition('.')[0]}.>", ignore)
    for _ in range(12):
        await alice.publish(pull_subject("alice"), b'{"batch":1,"expires":9000000000}', reply=alice.new_inbox())
    async with asyncio.timeout(10):
        while (await alice.api(info_subject("alice")))["num_waiting"] < 8:  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.02)
    assert (await alice.api(info_subject("alice")))["num_waiting"] == 8


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"batch":257,"expires":1000000000}', "Exceeded MaxRequestBatch of 256"),
        (b'{"batch":1,"expires":61000000000}', "Exceeded MaxRequestExpires of 1m0s"),
    ],
)
async def test_a_pull_over_the_durables_limits_is_refused(friends, body, words):
    alice = await friends.link("alice")
    reply = await alice.request(pull_subject("alice"), body)
    assert (reply.status, reply.headers["Description"]) == ("409", words)


async def test_an_unacknowledged_backlog_is_held_at_256(friends):
    publisher, alice = await friends.link("publisher"), await friends.link("alice")
    for number in range(260):
        await publisher.publish_stored(f"signals.fda.T{number}", b"{}", headers={MESSAGE_ID_HEADER: str(number)})
    got, all_there = [], asyncio.Event()

    async def on_message(delivery):
        if not delivery.status:
            got.append(delivery)
        if len(got) == 256:
            all_there.set()

    inbox = alice.new_inbox()
    await alice.subscribe(inbox, on_message)
    for _ in range(2):
        await alice.publish(pull_subject("alice"), b'{"batch":256,"no_wait":true}', reply=inbox)
    async with asyncio.timeout(10):
        await all_there.wait()
    info = await (await friends.admin_link()).api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert (len(got), info["num_ack_pending"], info["num_pending"]) == (256, 256, 4)


async def test_the_client_library_says_the_same_before_it_sends(friends):
    alice = await friends.link("alice")
    with pytest.raises(BrokerRefused, match="payload"):
        await alice.request("feedback.alice.status", b"x" * SERVER_PAYLOAD * 2)
    assert alice.is_connected


async def test_streams_beyond_the_accounts_eight_cannot_be_made_by_anybody(friends):
    limits = next(claims for claims in _accounts(friends) if claims["name"] == "SIGNALS")["nats"]["limits"]
    assert (limits["streams"], limits["consumer"]) == (8, 10_000)
    with pytest.raises(CatalystError):
        await (await friends.admin_link()).api("$JS.API.STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["o"]})
