"""Publishes into a stream without waiting for one receipt before the next is sent; their receipts come as futures.

One subscription takes all answers, and no task waits for each: a request of the link's costs a task, two futures and a
time-out of its own. Knows no NATS client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import orjson

from signal_contract.delivery import PubAck
from signal_contract.errors import (
    BrokerRefused,
    CatalystError,
    Denied,
    DurableMissing,
    LinkError,
    RequestTimedOut,
    StreamMissing,
)

_NO_RESPONDERS = b"NATS/1.0 503"
# JetStream API err_code → our class (nats-server's errors.json is the source).
_API_ERRORS: dict[int, type[LinkError]] = {10059: StreamMissing, 10014: DurableMissing}


class Carrier(Protocol):
    """What it needs of a connection."""

    def new_inbox(self) -> str: ...

    async def publish(
        self, subject: str, data: bytes = ..., *, reply: str = ..., headers: Mapping[str, str] | None = ...
    ) -> None: ...

    async def listen(self, subject: str, handler: Callable[[str, bytes, bytes], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A publish that has no receipt yet; `until` on the event loop's clock."""

    subject: str
    receipt: asyncio.Future[PubAck]
    timeout_s: float
    until: float


class Receipts:
    """The publishes of one connection whose receipts are awaited."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._loop = asyncio.get_running_loop()
        self._inbox = ""
        self._numbers = count(1)
        self._opening = asyncio.Lock()
        self._awaited: dict[str, _Awaited] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def send(
        self, subject: str, data: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> asyncio.Future[PubAck]:
        """Send; the future brings the receipt, RequestTimedOut, StreamMissing, Denied or what the server answers."""
        if not self._inbox:
            await self._open()
        number = str(next(self._numbers))
        awaited = _Awaited(subject, self._loop.create_future(), timeout_s, self._loop.time() + timeout_s)
        self._awaited[number] = awaited
        if self._timer is None or self._timer.when() > awaited.until:
            self._look_at(awaited.until)
        try:
            await self._carrier.publish(subject, data, reply=f"{self._inbox}.{number}", headers=headers)
        except BaseException:
            self._awaited.pop(number, None)
            raise
        return awaited.receipt

    def _look(self) -> None:
        """Fail what is late; look again when the next one will be. A timer for each would cost more than it does."""
        now = self._loop.time()
        for number, awaited in list(self._awaited.items()):
            if awaited.until <= now:
                late = RequestTimedOut(f"no answer to {awaited.subject} within {awaited.timeout_s:g} s")
                self._fail(number, late)
        nearest = min((each.until for each in self._awaited.values()), default=None)
        self._timer = None
        if nearest is not None:
            self._look_at(nearest)

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    async def _open(self) -> None:
        async with self._opening:
            if not self._inbox:
                inbox = self._carrier.new_inbox()
                await self._carrier.listen(f"{inbox}.*", self._answered)
                self._inbox = inbox

    def _answered(self, subject: str, data: bytes, headers: bytes) -> None:
        number = subject.rpartition(".")[2]
        if number not in self._awaited:
            return
        try:
            if headers.startswith(_NO_RESPONDERS):
                raise StreamMissing(f"no stream takes {self._awaited[number].subject}")
            ack = receipt_from(data)
        except CatalystError as error:
            self._fail(number, error)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            self._fail(number, BrokerRefused("the server's answer is no receipt"))
        else:
            receipt = self._awaited.pop(number).receipt
            if not receipt.done():
                receipt.set_result(ack)

    def deny(self, subject: str) -> None:
        """The server denies publishing to `subject` (in lower case): nothing of it will be answered."""
        for number, awaited in list(self._awaited.items()):
            if awaited.subject.lower() == subject:
                self._fail(number, Denied(f"the server denies these credentials {subject}"))

    def _fail(self, number: str, error: CatalystError) -> None:
        receipt = self._awaited.pop(number).receipt
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
