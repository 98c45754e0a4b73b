"""A window of publishes against a real server: strict order whatever is stored, lost, doubled or killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from published import settings_of, signals, stored_ids

from publisher.service import SignalPublisher, entry_from
from publisher.settings import PublisherSettings
from signal_contract.delivery import PubAck
from signal_contract.errors import BrokerRefused, RequestTimedOut
from signal_contract.link import Link, opened
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER

_COUNT = 150
BEHIND = "Nats-Expected-Last-Msg-Id"


class Lossy:
    """The real connection, which loses the `numbers`-th of the messages that are sent in a window."""

    def __init__(self, link: Link, numbers: set[int], sent_behind: list[str]) -> None:
        self._link, self._numbers, self._behind, self._sent = link, numbers, sent_behind, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    async def send_stored(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], timeout_s: float = 5.0
    ) -> asyncio.Future[PubAck]:
        self._sent += 1
        if BEHIND in headers:
            self._behind.append(headers[BEHIND])
        if self._sent not in self._numbers:
            return await self._link.send_stored(subject, data, headers=headers, timeout_s=timeout_s)
        lost: asyncio.Future[PubAck] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(
            0.2, lambda: lost.done() or lost.set_exception(RequestTimedOut("lost on the way"))
        )
        return lost


class Losing(SignalPublisher):
    """A publisher over such a connection."""

    def __init__(self, settings: PublisherSettings, numbers: set[int] | None = None) -> None:
        super().__init__(settings)
        self.numbers, self.behind = numbers or set(), list[str]()

    async def _dial(self, timeout_s: float) -> Any:
        link = await super()._dial(timeout_s)
        assert isinstance(link, Link)
        return Lossy(link, self.numbers, self.behind)


async def test_window_keeps_the_order_and_names_the_message_before(operator: Any) -> None:
    made = signals(_COUNT)
    async with Losing(settings_of(operator)) as publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(10)
    ids = [each.message_id for each in made]
    assert [each.message_id for each in drained.receipts] == ids
    assert not any(each.is_duplicate for each in drained.receipts)
    assert await stored_ids(operator) == ids
    assert len(publisher.behind) > _COUNT // 2
    assert set(publisher.behind) < set(ids)


@pytest.mark.parametrize("numbers", [{5}, {1}, {20, 21, 90}, {64}], ids=str)
async def test_message_lost_in_the_middle_is_stored_before_what_followed_it(operator: Any, numbers: set[int]) -> None:
    made = signals(_COUNT)
    async with Losing(settings_of(operator), numbers) as publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(10)
    assert (drained.waiting, drained.failure) == (0, None)
    assert await stored_ids(operator) == [each.message_id for each in made]


async def test_messages_the_stream_has_already_are_no_gap(operator: Any) -> None:
    made, settings = signals(_COUNT), settings_of(operator)
    early = made[10], made[40], made[41]
    async with opened(settings.servers, settings.creds, label="early") as link:
        for each in early:
            entry = entry_from(each, settings.signer)
            headers = {MESSAGE_ID_HEADER: entry.message_id, SIGNATURE_HEADER: entry.signature}
            await link.publish_stored(entry.subject, entry.payload, headers=headers)
    async with SignalPublisher(settings) as publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(10)
    doubled = [each.message_id for each in drained.receipts if each.is_duplicate]
    assert {each.message_id for each in early} <= set(doubled)
    assert await stored_ids(operator) == [each.message_id for each in (*early, *(e for e in made if e not in early))]


async def test_messages_of_others_in_between_cost_time_and_no_order(operator: Any) -> None:
    made, count = signals(_COUNT * 2), 0
    link = await operator.admin_link()
    async with SignalPublisher(settings_of(operator)) as publisher:
        await publisher.submit_many(made)
        flushing = asyncio.create_task(publisher.flush(10))
        while not flushing.done():
            count += 1
            headers = {MESSAGE_ID_HEADER: f"control-{count}"}
            await link.publish_stored("control.all.notice", b"{}", headers=headers)
        assert flushing.result().failure is None
    assert await stored_ids(operator) == [each.message_id for each in made]
    assert len(await stored_ids(operator, subject="control.")) == count


async def test_server_killed_again_and_again_in_a_window_costs_no_order(operator: Any) -> None:
    made, killed = signals(_COUNT * 2), 0

    def on_receipt(_: object) -> None:
        nonlocal killed
        if len(publisher.receipts) in (40, 130, 220):
            killed += 1
            operator.kill_server()

    publisher = SignalPublisher(settings_of(operator), on_receipt=on_receipt)
    async with publisher:
        await publisher.submit_many(made)
        drained = await publisher.flush(30)
    assert killed == 3
    assert (drained.waiting, drained.failure) == (0, None)
    assert await stored_ids(operator) == [each.message_id for each in made]


async def test_server_refuses_what_does_not_follow(operator: Any) -> None:
    """What the window relies on, as the server does it: in order, a refusal each, and nothing of it stored."""
    settings = settings_of(operator)

    async def sent(link: Link, name: str, behind: str = "") -> asyncio.Future[PubAck]:
        headers = {MESSAGE_ID_HEADER: name} | ({BEHIND: behind} if behind else {})
        return await link.send_stored("signals.fda.ACME", b"{}", headers=headers)

    async with opened(settings.servers, settings.creds, label="raw") as link:
        names = (("a", ""), ("b", "a"), ("d", "c"), ("e", "d"), ("a", "b"))
        answers = await asyncio.gather(*[await sent(link, *each) for each in names], return_exceptions=True)
    stored = [(each.sequence, each.is_duplicate) for each in answers if isinstance(each, PubAck)]
    assert stored == [(1, False), (2, False), (1, True)]
    assert [type(each) for each in answers[2:4]] == [BrokerRefused, BrokerRefused]
    assert await stored_ids(operator) == ["a", "b"]
