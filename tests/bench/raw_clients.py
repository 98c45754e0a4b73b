"""What the three raw clients of `fan_out` share: who has a signal, and what a crowd must offer.

They speak just enough of each protocol to be correct and are as light as Python allows: clients share the machine with
the server that is measured, and one that decoded more would be measured with it. Nothing here knows a protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

HOST = "127.0.0.1"
# Logging in costs a server far more than a signal does; a thousand at once would only wait for each other.
_AT_ONCE = 20
_LOGIN_TIMEOUT_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Message:
    """The one signal that everybody carries, byte for byte the same: JSON, and its signature in base64."""

    subject: str
    payload: bytes
    signature: bytes


class Publishes(Protocol):
    """The operator's end: sends a signal, without waiting for anything."""

    def publish(self, message_id: str) -> None: ...


class Tally:
    """Counts how many friends have the signal that is on its way."""

    __slots__ = ("_all_have", "_left", "failed")

    def __init__(self) -> None:
        self._left = 0
        self._all_have: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failed = ""

    def expect(self, friends: int) -> asyncio.Future[None]:
        """Begin to count; done as soon as so many have said `arrived`."""
        self._left = friends
        self._all_have = asyncio.get_running_loop().create_future()
        self._give_up()
        return self._all_have

    def arrived(self) -> None:
        """A friend has the signal."""
        self._left -= 1
        if self._left == 0 and not self._all_have.done():
            self._all_have.set_result(None)

    def fail(self, why: str) -> None:
        """A connection was closed or an error came: what is measured from now on is worth nothing."""
        self.failed = self.failed or why
        self._give_up()

    def _give_up(self) -> None:
        if self.failed and not self._all_have.done():
            self._all_have.set_exception(RuntimeError(self.failed))


class RawClient(asyncio.Protocol):
    """One TCP connection. `ready` is set when it is logged in and listens; `parse` takes what has arrived."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.write: Callable[[bytes], None]
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast("asyncio.WriteTransport", transport).write  # uvloop's is not registered as one
        self.greet()

    def greet(self) -> None:
        """The first words, where they are the client's."""

    def parse(self, data: bytes) -> int:
        """Do what whole messages ask for; how many bytes they were."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        used = self.parse(data)
        self._rest = data[used:] if used < len(data) else b""

    def connection_lost(self, exc: Exception | None) -> None:
        self.refused(f"a connection was closed: {exc or 'by the server'}")

    def is_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def refused(self, why: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(why))
        self.tally.fail(why)


Client = TypeVar("Client", bound=RawClient)


async def opened(make: Callable[[], Client], port: int) -> Client:
    """A connection that is ready."""
    _, client = await asyncio.get_running_loop().create_connection(make, HOST, port)
    async with asyncio.timeout(_LOGIN_TIMEOUT_S):
        await client.ready
    return client


async def few_at_a_time(opening: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Open them all, twenty at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await each()

    return list(await asyncio.gather(*(one(each) for each in opening)))
