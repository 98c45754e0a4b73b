"""Publishes into a stream without waiting for one receipt before the next is sent; their receipts come as futures.

One subscription takes all answers, and no task waits for each: a request of the link's costs a task, two futures and a
time-out of its own. Knows no NATS client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Protocol

import orjson

from signal_contract.delivery import Delivery, PubAck
from signal_contract.errors import (
    BrokerRefused,
    CatalystError,
    Denied,
    DurableMissing,
    LinkError,
    RequestTimedOut,
    StreamMissing,
)

_NO_RESPONDERS = "503"
# JetStream API err_code → our class (nats-server's errors.json is the source).
_API_ERRORS: dict[int, type[LinkError]] = {10059: StreamMissing, 10014: DurableMissing}


class Carrier(Protocol):
    """What it needs of a connection."""

    def new_inbox(self) -> str: ...

    async def publish(
        self, subject: str, data: bytes = ..., *, reply: str = ..., headers: Mapping[str, str] | None = ...
    ) -> None: ...

    async def subscribe(self, subject: str, handler: Callable[[Delivery], Awaitable[None]]) -> Any: ...


class Receipts:
    """The publishes of one connection whose receipts are awaited."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._loop = asyncio.get_running_loop()
        self._inbox = ""
        self._numbers = count(1)
        self._opening = asyncio.Lock()
        self._awaited: dict[str, tuple[str, asyncio.Future[PubAck], asyncio.TimerHandle]] = {}

    async def send(
        self, subject: str, data: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> asyncio.Future[PubAck]:
        """Send; the future brings the receipt, RequestTimedOut, StreamMissing, Denied or what the server answers."""
        if not self._inbox:
            await self._open()
        number = str(next(self._numbers))
        receipt: asyncio.Future[PubAck] = self._loop.create_future()
        late = RequestTimedOut(f"no answer to {subject} within {timeout_s:g} s")
        timer = self._loop.call_later(timeout_s, self._fail, number, late)
        self._awaited[number] = (subject, receipt, timer)
        try:
            await self._carrier.publish(subject, data, reply=f"{self._inbox}.{number}", headers=headers)
        except BaseException:
            timer.cancel()
            self._awaited.pop(number, None)
            raise
        return receipt

    async def _open(self) -> None:
        async with self._opening:
            if not self._inbox:
                inbox = self._carrier.new_inbox()
                await self._carrier.subscribe(f"{inbox}.*", self._answered)
                self._inbox = inbox

    async def _answered(self, answer: Delivery) -> None:
        number = answer.subject.rpartition(".")[2]
        if number not in self._awaited:
            return
        try:
            if answer.status == _NO_RESPONDERS:
                raise StreamMissing(f"no stream takes {self._awaited[number][0]}")
            ack = receipt_from(answer.data)
        except CatalystError as error:
            self._fail(number, error)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self._fail(number, BrokerRefused("the server's answer is no receipt"))
        else:
            _, receipt, timer = self._awaited.pop(number)
            timer.cancel()
            if not receipt.done():
                receipt.set_result(ack)

    def deny(self, subject: str) -> None:
        """The server denies publishing to `subject` (in lower case): nothing of it will be answered."""
        for number, (sent_to, _, _) in list(self._awaited.items()):
            if sent_to.lower() == subject:
                self._fail(number, Denied(f"the server denies these credentials {subject}"))

    def _fail(self, number: str, error: CatalystError) -> None:
        _, receipt, timer = self._awaited.pop(number)
        timer.cancel()
        if not receipt.done():
            receipt.set_exception(error)


def receipt_from(data: bytes) -> PubAck:
    """The receipt in a stream's answer. Raises the error that it holds instead."""
    answer = orjson.loads(data)
    raise_api_error(answer)
    return PubAck(str(answer["stream"]), int(answer["seq"]), bool(answer.get("duplicate", False)))


def raise_api_error(answer: Any) -> None:
    """Raise the error that a JetStream answer holds, if any."""
    error = answer.get("error") if isinstance(answer, dict) else {"description": "not a JSON object"}
    if not error:
        return
    kind = _API_ERRORS.get(int(error.get("err_code", 0)), BrokerRefused)
    raise kind(f"the server answers: {error.get('description', 'unknown error')} ({error.get('err_code', '?')})")
