"""Receipts come to whom they belong, and what is late, denied or nonsense is an error and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from signal_contract.broker import Client
from signal_contract.delivery import PubAck
from signal_contract.errors import BrokerRefused, CatalystError, Denied, RequestTimedOut, StreamMissing
from signal_contract.receipts import Receipts


class Wire:
    """A connection that keeps what is sent; the test answers."""

    def __init__(self) -> None:
        self.replies: list[str] = []
        self.handler: Callable[[str, bytes, bytes], None] = lambda *_: None

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        if subject == "closed":
            raise BrokerRefused("closed")
        self.replies.append(reply)

    async def listen(self, subject: str, handler: Callable[[str, bytes, bytes], None]) -> None:
        assert subject == "_INBOX.x.*"
        self.handler = handler


async def sent(receipts: Receipts, count: int, timeout_s: float = 5.0) -> list[asyncio.Future[PubAck]]:
    return [await receipts.send(f"s.{number}", b"", {}, timeout_s) for number in range(count)]


async def test_answers_come_to_their_publishes_in_any_order() -> None:
    wire = Wire()
    answers = await sent(Receipts(wire), 3)
    for number in (2, 0, 1):
        wire.handler(wire.replies[number], b'{"stream":"S","seq":%d}' % (number + 10), b"")
        wire.handler(wire.replies[number], b'{"stream":"S","seq":99}', b"")  # doubled on the way
    assert [each.result().sequence for each in answers] == [10, 11, 12]


@pytest.mark.parametrize(
    ("data", "headers", "expected"),
    [
        (b"", b"NATS/1.0 503\r\n\r\n", StreamMissing),
        (b"", b"", BrokerRefused),
        (b"[]", b"", BrokerRefused),
        (b'{"error":"x"}', b"", BrokerRefused),
        (b'{"error":{"err_code":10059}}', b"", StreamMissing),
        (b'{"stream":"S","seq":null}', b"", BrokerRefused),
    ],
)
async def test_what_is_no_receipt_is_an_error(data: bytes, headers: bytes, expected: type[CatalystError]) -> None:
    wire = Wire()
    (answer,) = await sent(Receipts(wire), 1)
    wire.handler(wire.replies[0], data, headers)
    assert type(answer.exception()) is expected


async def test_each_has_its_own_time_limit() -> None:
    wire = Wire()
    receipts = Receipts(wire)
    slow, quick = await sent(receipts, 1, timeout_s=60), await sent(receipts, 2, timeout_s=0.02)
    wire.handler(wire.replies[2], b'{"stream":"S","seq":1}', b"")
    with pytest.raises(RequestTimedOut, match=r"s\.0 within 0\.02 s"):
        await quick[0]
    assert quick[1].result().sequence == 1
    assert not slow[0].done()
    with pytest.raises(RequestTimedOut):
        await (await sent(receipts, 1, timeout_s=0.02))[0]
    receipts.deny("s.0")
    assert type(slow[0].exception()) is Denied


async def test_what_could_not_be_sent_is_not_awaited() -> None:
    wire = Wire()
    receipts = Receipts(wire)
    with pytest.raises(BrokerRefused):
        await receipts.send("closed", b"", {}, 5)
    receipts.deny("closed")


async def test_publish_is_written_as_nats_py_writes_it() -> None:
    async def frames(client: Client, write: Callable[..., object]) -> list[bytes]:
        for headers in ({"A": "1", "B-c": "x y"}, {"A": "two\r\nC: 3"}, None):
            await write(client, "a.b", "r.1", b"body", 4, headers)  # type: ignore[misc]
        return [bytes(each) for each in client._pending]

    theirs, ours = Client(), Client()
    assert await frames(ours, Client._send_publish) == await frames(theirs, super(Client, Client)._send_publish)
    assert (ours.stats["out_msgs"], ours.stats["out_bytes"]) == (theirs.stats["out_msgs"], theirs.stats["out_bytes"])
