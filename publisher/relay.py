"""Drains the outbox into the stream: strictly in order (see `sending`), the same message id on every retry.

A receipt that got lost on the way makes the retry a duplicate in the stream, not a second message. One relay drains
an outbox at a time, held by `<outbox>.relay.lock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from filelock import FileLock, Timeout

from publisher.circuit import Circuit
from publisher.commits import Commits
from publisher.entry import Entry, Receipt
from publisher.outbox import Outbox
from publisher.sending import Sending, Ways
from publisher.supply import News
from signal_contract.delivery import PubAck
from signal_contract.edges import reached
from signal_contract.errors import (
    AlreadyRunning,
    CatalystError,
    Denied,
    LinkError,
    PlaintextRefused,
    StreamMissing,
    TlsFailed,
)
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import API_PREFIX, STREAM
from signal_contract.tracing import trace_headers

# On their way at once. On a stream with replicas one: there the server leaves a refused order unanswered (2.15.1), so
# that each foreign message in between would cost a time-out.
_WIDTH = 64
_ATTEMPT_S = 2.0
_CONNECT_S = 5.0
# A restarted server takes connections a moment before its stream answers.
_STREAM_GRACE_S = 2.0
_LOCK_POLL_S = 0.05
_UNKNOWN = 1 << 62
_BEHIND_HEADER = "Nats-Expected-Last-Msg-Id"


class Wire(Protocol):
    """What the relay needs of a connection; `signal_contract.link.Link` is the real one."""

    closed: asyncio.Event
    failure: CatalystError | None

    async def publish_stored(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], timeout_s: float = ...
    ) -> PubAck: ...

    async def send_stored(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], timeout_s: float = ...
    ) -> asyncio.Future[PubAck]: ...

    async def publish(self, subject: str, data: bytes = ..., *, headers: Mapping[str, str] | None = ...) -> None: ...

    async def api(self, subject: str, *, timeout_s: float = ...) -> dict[str, Any]: ...

    async def close(self) -> None: ...


Dial = Callable[[float], Awaitable[Wire]]


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain achieved: receipts in order, how many still wait, and why it ended before the last one."""

    receipts: tuple[Receipt, ...]
    waiting: int
    failure: CatalystError | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The stream's first and last sequence; None: the server does not tell this publisher."""

    first: int | None
    last: int | None


def is_final(error: CatalystError, failing_for_s: float) -> bool:
    """Whether trying again is pointless: refused creds or certificate, clear text, or a stream that stays missing."""
    if isinstance(error, StreamMissing):
        return failing_for_s >= _STREAM_GRACE_S
    return isinstance(error, Denied | PlaintextRefused | TlsFailed) or not isinstance(error, LinkError)


class Relay:
    """Owns the connection, which it dials when first needed and keeps between drains.

    `dial(timeout_s)` opens a connection; `on_receipt` is told of every receipt as it comes. `signer()` is the key of
    the moment: what waited while the key was changed goes out under the new one. Without it the outbox's signatures
    are sent as they are.
    """

    def __init__(
        self,
        outbox: Outbox,
        dial: Dial,
        *,
        on_receipt: Callable[[Receipt], None] | None = None,
        signer: Callable[[], Signer] | None = None,
        commits: Commits | None = None,
    ) -> None:
        self._outbox = outbox
        self._commits = commits or Commits(outbox)
        self._news = News()
        self._dial = dial
        self._signer = signer
        self._signing: Signer | None = None
        self._on_receipt = on_receipt or (lambda receipt: None)
        self._wire: Wire | None = None
        self._dialling = asyncio.Lock()
        self.circuit = Circuit()
        self.last_sequence: int | None = None
        self._replicas: int | None = None  # of the stream, 0: it does not tell
        self._has_receipt = False  # since it was connected

    def wake(self) -> None:
        """Something was submitted past `commits`: a drain that runs reads it from the outbox."""
        self._news.submitted()

    async def drain(self, *, timeout_s: float) -> Drained:
        """Send until nothing waits, or until `timeout_s` seconds pass without a receipt. Raises StorageFailed only."""
        receipts: tuple[Receipt, ...] = ()
        async with self._held(timeout_s) as is_held:
            if is_held:
                receipts, failure = await self._sent(timeout_s)
            else:
                failure = AlreadyRunning(
                    "another publish is sending from this outbox", hint="It sends these signals as well: let it end."
                )
        waiting = await asyncio.to_thread(self._outbox.waiting) if failure is not None else 0
        return Drained(receipts, waiting, failure if waiting else None)

    async def _sent(self, timeout_s: float) -> tuple[tuple[Receipt, ...], CatalystError | None]:
        failure = await self._take_key()
        receipts: list[Receipt] = []
        while failure is None:
            ways = Ways(
                send=lambda entry, behind: self._send(entry, behind, timeout_s),
                deliver=lambda entry: self._deliver(entry, timeout_s),
                width=self._width,
                told=self._told,
            )
            sending = Sending(self._commits, ways, self._news)
            failure, damaged = await sending.run()
            receipts += sending.receipts
            if damaged is None:
                break
            await self._condemn(damaged)
        return tuple(receipts), failure

    async def _take_key(self) -> CatalystError | None:
        # Under the relay's lock, which a change of the key holds as well: no key is changed during a drain.
        if self._signer is None:
            return None
        try:
            self._signing = await self._commits.brief(self._signer)
        except CatalystError as error:
            return error
        return None

    @asynccontextmanager
    async def _held(self, timeout_s: float) -> AsyncIterator[bool]:
        """The relay's lock, waited for as long as the relay that holds it makes progress."""
        lock = FileLock(f"{self._outbox.path}.relay.lock", mode=0o600, thread_local=False)
        clock = asyncio.get_running_loop().time
        deadline, least = clock() + timeout_s, _UNKNOWN
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                pending = await asyncio.to_thread(self._outbox.waiting)
                if pending < least:
                    deadline, least = clock() + timeout_s, pending
                if clock() >= deadline or not pending:
                    break
                await asyncio.sleep(_LOCK_POLL_S)
        try:
            yield lock.is_locked
        finally:
            lock.release()

    async def _condemn(self, entry: Entry) -> None:
        reason = f"{entry.message_id} is not what was submitted"
        await asyncio.to_thread(self._outbox.condemn, reason)

    async def _deliver(self, entry: Entry, timeout_s: float) -> PubAck | CatalystError:
        clock = asyncio.get_running_loop().time
        started = clock()
        while True:
            left_s = started + timeout_s - clock()
            try:
                return await self._attempt(entry, left_s)
            except CatalystError as error:
                reason = error
            self.circuit = self.circuit.failed()
            pause_s = self.circuit.pause_s(random.random())  # noqa: S311  # jitter, not a secret
            if is_final(reason, clock() - started) or clock() + pause_s >= started + timeout_s:
                return reason
            await asyncio.sleep(pause_s)

    async def _attempt(self, entry: Entry, left_s: float) -> PubAck:
        wire = await self._connected(left_s)
        headers = self._headers(entry)
        reached("relay.taken")
        try:
            ack = await wire.publish_stored(
                entry.subject, entry.payload, headers=headers, timeout_s=max(0.1, min(_ATTEMPT_S, left_s))
            )
        except LinkError as error:
            raise (wire.failure or error) from error
        reached("relay.sent")
        return ack

    def _headers(self, entry: Entry) -> dict[str, str]:
        signing, signature = self._signing, entry.signature
        if signing is not None and signing.public_key != entry.signed_by:
            signature = signing.sign(entry.subject, entry.payload)
        return {**trace_headers(entry.payload), MESSAGE_ID_HEADER: entry.message_id, SIGNATURE_HEADER: signature}

    async def _send(self, entry: Entry, behind: str, timeout_s: float) -> asyncio.Future[PubAck]:
        """Put one on its way; `behind` is the message id that the stream must hold last, when it is not empty."""
        wire = await self._connected(timeout_s)
        headers = self._headers(entry)
        if behind:
            headers[_BEHIND_HEADER] = behind
        reached("relay.taken")
        return await wire.send_stored(
            entry.subject, entry.payload, headers=headers, timeout_s=max(0.1, min(_ATTEMPT_S, timeout_s))
        )

    async def _width(self) -> int:
        """How many may be on their way at once; asked of the stream after the first receipt of a connection."""
        if self._replicas is None and self.circuit.failures == 0 and self._has_receipt:
            self._replicas = 0
            with contextlib.suppress(CatalystError):
                await self._asked(_ATTEMPT_S)
        return _WIDTH if self._replicas == 1 else 1

    async def _connected(self, left_s: float) -> Wire:
        async with self._dialling:
            if self._wire is not None and self._wire.closed.is_set():
                self._wire = None
            if self._wire is None:
                self._replicas, self._has_receipt = None, False
                self._wire = await self._dial(max(0.1, min(_CONNECT_S, left_s)))
            return self._wire

    async def look(self, timeout_s: float) -> Span:
        """Ask the stream how far it reaches; tells at the same time whether it answers. Raises CatalystError.

        The circuit follows only while nothing waits: otherwise the sending itself decides how things stand.
        """
        is_idle = not await asyncio.to_thread(self._outbox.waiting)
        try:
            span = await self._asked(timeout_s)
        except CatalystError:
            if is_idle:
                self.circuit = self.circuit.failed()
            raise
        if is_idle:
            self.circuit = self.circuit.succeeded()
        if span.last is not None:
            self.last_sequence = span.last
        return span

    async def _asked(self, timeout_s: float) -> Span:
        wire = await self._connected(timeout_s)
        try:
            answer = await wire.api(f"{API_PREFIX}.STREAM.INFO.{STREAM}", timeout_s=timeout_s)
        except Denied:
            if wire.failure is not None:
                raise
            return Span(None, None)  # creds of an older operator, who did not grant the question
        except LinkError as error:
            raise (wire.failure or error) from error
        self._replicas = int(answer.get("config", {}).get("num_replicas", 0))
        return Span(int(answer["state"]["first_seq"]), int(answer["state"]["last_seq"]))

    async def announce(self, subject: str, payload: bytes) -> None:
        """Publish a signed message that no stream keeps. Raises CatalystError."""
        wire = await self._connected(_CONNECT_S)
        signer = await asyncio.to_thread(self._signer) if self._signer is not None else None
        headers = {SIGNATURE_HEADER: signer.sign(subject, payload)} if signer is not None else None
        await wire.publish(subject, payload, headers=headers)

    def _told(self, receipt: Receipt) -> None:
        if not receipt.is_duplicate:
            self.last_sequence = receipt.sequence
        self.circuit, self._has_receipt = self.circuit.succeeded(), True
        self._on_receipt(receipt)

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._wire is not None:
            await self._wire.close()
            self._wire = None
