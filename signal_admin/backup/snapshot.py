"""One stream with its durables as bytes, and back: JetStream's snapshot and restore API (NATS ADR-63, before it ADR-1).

The server bounds every durable to the snapshot's last sequence, so a restored durable never points behind the stream.
The bytes are the server's own; only a server as new as the one that wrote them can read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from signal_admin.backup.private_files import created
from signal_contract.delivery import Delivery
from signal_contract.errors import BrokerRefused, Denied, RequestTimedOut, StorageFailed
from signal_contract.link import Link
from signal_contract.receipts import raise_api_error
from signal_contract.topology import API_PREFIX

_CHUNK_BYTES = 128 * 1024
# The server itself gives up after 5 s without progress.
_SILENCE_S = 15.0
_FINISH_S = 600.0

Bytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the server said of the stream when it took the snapshot: its config and state, as its API has them."""

    stream: str
    config: Mapping[str, Any]
    state: Mapping[str, Any]


class _Receiving:
    """Writes chunk after chunk, acknowledges each, and knows when the last one was here or nothing comes any more."""

    def __init__(self, link: Link, file: IO[bytes], on_bytes: Bytes) -> None:
        self._link, self._file, self._on_bytes = link, file, on_bytes
        self._moved = asyncio.Event()
        self._ended: Delivery | None = None
        self._failure: OSError | None = None
        self._count = 0

    async def take(self, message: Delivery) -> None:
        if not message.data:
            self._ended = message
        elif self._failure is None:
            try:
                self._file.write(message.data)
            except OSError as error:
                # Unanswered, the server gives up by itself.
                self._failure = error
            else:
                self._count += len(message.data)
                self._on_bytes(self._count)
                if message.reply:
                    await self._link.publish(message.reply)
        self._moved.set()

    async def ended(self, stream: str) -> None:
        """Wait for the end. Raises RequestTimedOut (silence), BrokerRefused (the server gave up) or OSError."""
        while self._ended is None and self._failure is None:
            self._moved.clear()
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._moved.wait()
            except TimeoutError as error:
                raise RequestTimedOut(f"the snapshot of {stream} stopped coming") from error
        if self._failure is not None:
            raise self._failure
        status = self._ended.status if self._ended is not None else ""
        if status not in ("", "204"):
            words = self._ended.headers.get("Description", "") if self._ended is not None else ""
            raise BrokerRefused(f"the server gave up the snapshot of {stream}: {status} {words}".rstrip())


async def take_snapshot(link: Link, stream: str, path: Path, on_bytes: Bytes) -> Snapshot:
    """Write the stream and its durables to a new file (0600); `on_bytes` hears how many bytes have come.

    Raises StreamMissing, Denied (a server started by an older version), RequestTimedOut, BrokerRefused, StorageFailed.
    """
    inbox = link.new_inbox()
    try:
        with created(path) as file:
            receiving = _Receiving(link, file, on_bytes)
            subscription = await link.subscribe(inbox, receiving.take)
            try:
                answer = await _asked(link, stream, inbox)
                await receiving.ended(stream)
            finally:
                await subscription.unsubscribe()
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
    return Snapshot(stream, answer["config"], answer["state"])


async def _asked(link: Link, stream: str, inbox: str) -> dict[str, Any]:
    body = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": _CHUNK_BYTES, "jsck": True}
    try:
        # The check of all blocks comes before the answer.
        return await link.api(f"{API_PREFIX}.STREAM.SNAPSHOT.{stream}", body, timeout_s=120)
    except Denied as error:
        raise Denied(
            error.message, hint="`catalyst up` was started by an older version: stop it and start it once."
        ) from error


async def put_back(
    link: Link, stream: str, config: Mapping[str, Any], state: Mapping[str, Any], path: Path
) -> Mapping[str, Any]:
    """Make the stream and its durables from a snapshot's file, on a server that has no such stream; its stream info.

    Raises BrokerRefused when the server does not accept the bytes or has the stream already, StorageFailed.
    """
    body = {"config": dict(config), "state": dict(state)}
    answer = await link.api(f"{API_PREFIX}.STREAM.RESTORE.{stream}", body, timeout_s=30)
    target = str(answer["deliver_subject"])
    async with _reading(path) as chunks:
        async for chunk in chunks:
            reply = await link.request(target, chunk, timeout_s=60)
            if reply.data:
                raise_api_error(orjson.loads(reply.data))
    done: dict[str, Any] = orjson.loads((await link.request(target, b"", timeout_s=_FINISH_S)).data)
    raise_api_error(done)
    return done


@asynccontextmanager
async def _reading(path: Path) -> AsyncIterator[AsyncIterator[bytes]]:
    async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk

    try:
        with path.open("rb") as file:
            yield chunks(file)
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror or error}") from error
