"""`SignalPublisher`: what a program that publishes signals holds. Submit returns once the signal is safe on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Self

from publisher.circuit import CircuitState
from publisher.outbox import Counts, Entry, Outbox, Receipt, Submitted
from publisher.relay import Drained, Relay, Wire
from publisher.settings import PublisherSettings, current_signer
from signal_contract.codec import encode
from signal_contract.link import Link
from signal_contract.model import Signal
from signal_contract.signing import Signer


def entry_from(signal: Signal, signer: Signer) -> Entry:
    """The signal as it goes out: on its own subject, in its canonical bytes, signed over both."""
    payload = encode(signal)
    return Entry(signal.message_id, signal.subject, payload, signer.sign(signal.subject, payload))


class SignalPublisher:
    """`async with SignalPublisher(settings) as publisher`: submit signals, flush them into the stream.

    The server may be away: `submit` needs the disk only, and what is not flushed goes out at the next flush, of this
    process or another one.
    """

    def __init__(self, settings: PublisherSettings, *, on_receipt: Callable[[Receipt], None] | None = None) -> None:
        self._settings = settings
        self._on_receipt = on_receipt
        self._receipts: list[Receipt] = []
        self._outbox: Outbox | None = None
        self._relay: Relay | None = None

    async def __aenter__(self) -> Self:
        self._outbox = await asyncio.to_thread(Outbox.open, self._settings.outbox)
        self._relay = Relay(
            self._outbox, self._dial, on_receipt=self._note, signer=lambda: current_signer(self._settings)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._relay is not None:
            await self._relay.close()
        if self._outbox is not None:
            self._outbox.close()

    async def _dial(self, timeout_s: float) -> Wire:
        settings = self._settings
        return await Link.open(
            settings.servers,
            settings.creds,
            label="publisher",
            connect_timeout_s=timeout_s,
            ca_file=settings.ca_file,
            tls_name=settings.tls_name,
        )

    def _note(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        if self._on_receipt is not None:
            self._on_receipt(receipt)

    @property
    def _opened(self) -> tuple[Outbox, Relay]:
        if self._outbox is None or self._relay is None:
            raise RuntimeError("use it as `async with SignalPublisher(…) as publisher`")
        return self._outbox, self._relay

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The stream's receipts so far, in order; also for signals that waited from an earlier run."""
        return tuple(self._receipts)

    @property
    def state(self) -> CircuitState:
        """The way to the broker: up, degraded or down."""
        return self._opened[1].circuit.state

    async def submit(self, signal: Signal) -> Submitted:
        """Sign and keep a signal; on return it survives a power cut. Raises StorageFailed."""
        return (await self.submit_many([signal]))[0]

    async def submit_many(self, signals: Sequence[Signal]) -> tuple[Submitted, ...]:
        """Sign and keep signals in their order, all or none of them. Raises StorageFailed."""
        entries = [entry_from(signal, self._settings.signer) for signal in signals]
        return await asyncio.to_thread(self._opened[0].submit_many, entries, now=datetime.now(UTC))

    async def flush(self, timeout_s: float) -> Drained:
        """Send all that waits; gives up after `timeout_s` seconds without a receipt. Raises StorageFailed."""
        return await self._opened[1].drain(timeout_s=timeout_s)

    async def receipt(self, message_id: str) -> Receipt | None:
        """The receipt of one message, also when another process sent it; None while it waits."""
        return await asyncio.to_thread(self._opened[0].receipt, message_id)

    async def counts(self) -> Counts:
        """How many signals wait in the outbox and how many the stream has."""
        return await asyncio.to_thread(self._opened[0].counts)
