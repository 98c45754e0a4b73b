"""Draining the outbox against a broker that fails on purpose (a fake of our own protocol; the real one is in
integration)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from publisher.circuit import FAILURES_UNTIL_DOWN, Circuit, CircuitState
from publisher.commits import Commits
from publisher.entry import Entry, Receipt, Submitted
from publisher.outbox import Outbox
from publisher.relay import Relay, Span, Wire, is_final
from signal_contract.delivery import PubAck
from signal_contract.errors import (
    AlreadyRunning,
    BrokerRefused,
    CatalystError,
    CredsExpired,
    Denied,
    LinkError,
    PlaintextRefused,
    RequestTimedOut,
    ServerUnreachable,
    StorageFailed,
    StreamMissing,
)

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)


class FakeWire:
    """A stream in memory that deduplicates by message id; `troubles` are raised one an attempt, before or after
    storing."""

    def __init__(self, before: list[CatalystError] | None = None, after: list[CatalystError] | None = None) -> None:
        self.closed = asyncio.Event()
        self.failure: CatalystError | None = None
        self.stored: list[str] = []
        self.subjects: list[str] = []
        self.before, self.after = before or [], after or []
        self.dials = 0

    async def dial(self, timeout_s: float) -> Wire:
        assert timeout_s > 0
        self.dials += 1
        self.closed.clear()
        return self

    async def publish_stored(
        self, subject: str, data: bytes, *, headers: Mapping[str, str], timeout_s: float = 5.0
    ) -> PubAck:
        assert headers["Catalyst-Signature"] == "c2ln"
        assert timeout_s > 0
        if self.before:
            raise self.before.pop(0)
        message_id = headers["Nats-Msg-Id"]
        is_duplicate = message_id in self.stored
        if not is_duplicate:
            self.stored.append(message_id)
            self.subjects.append(subject)
        if self.after:
            raise self.after.pop(0)
        return PubAck("SIGNALS", self.stored.index(message_id) + 1, is_duplicate)

    async def publish(self, subject: str, data: bytes = b"", *, headers: Mapping[str, str] | None = None) -> None:
        if self.before:
            raise self.before.pop(0)
        self.subjects.append(subject)

    async def api(self, subject: str, *, timeout_s: float = 5.0) -> dict[str, Any]:
        assert subject == "$JS.API.STREAM.INFO.SIGNALS"
        if self.before:
            raise self.before.pop(0)
        return {"state": {"first_seq": 1, "last_seq": len(self.stored)}}

    async def close(self) -> None:
        self.closed.set()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox.sqlite") as opened:
        opened.submit_many([Entry(f"id{n}.1", f"signals.fda.T{n}", b"p", "c2ln") for n in range(4)], now=NOW)
        yield opened


ALL = [f"id{n}.1" for n in range(4)]


async def test_everything_goes_out_in_order(outbox: Outbox) -> None:
    wire, told = FakeWire(), list[Receipt]()
    drained = await Relay(outbox, wire.dial, on_receipt=told.append).drain(timeout_s=5)
    assert wire.stored == ALL
    assert (drained.waiting, drained.failure) == (0, None)
    assert [each.sequence for each in drained.receipts] == [1, 2, 3, 4]
    assert tuple(told) == drained.receipts


async def test_empty_outbox_needs_no_server(outbox: Outbox) -> None:
    wire = FakeWire()
    relay = Relay(outbox, wire.dial)
    await relay.drain(timeout_s=5)
    await relay.close()
    assert (await relay.drain(timeout_s=5)).receipts == ()
    assert wire.dials == 1


async def test_lost_request_is_sent_again_before_the_next_one(outbox: Outbox) -> None:
    wire = FakeWire(before=[RequestTimedOut("x"), ServerUnreachable("x")])
    drained = await Relay(outbox, wire.dial).drain(timeout_s=5)
    assert wire.stored == ALL
    assert drained.failure is None


async def test_lost_receipt_makes_the_retry_a_duplicate_and_not_a_second_message(outbox: Outbox) -> None:
    wire = FakeWire(after=[RequestTimedOut("x")])
    drained = await Relay(outbox, wire.dial).drain(timeout_s=5)
    assert wire.stored == ALL
    assert [each.is_duplicate for each in drained.receipts] == [True, False, False, False]


async def test_patience_ends_and_the_rest_stays_in_the_outbox(outbox: Outbox) -> None:
    wire = FakeWire(before=[ServerUnreachable("away")] * 1000)
    relay = Relay(outbox, wire.dial)
    drained = await relay.drain(timeout_s=0.5)
    assert isinstance(drained.failure, ServerUnreachable)
    assert drained.waiting == 4
    assert relay.circuit.state is CircuitState.DOWN
    wire.before = []
    assert (await relay.drain(timeout_s=5)).waiting == 0
    assert relay.circuit.state is CircuitState.UP


async def test_refused_credentials_end_it_at_once(outbox: Outbox) -> None:
    wire = FakeWire(before=[Denied("no")])
    drained = await Relay(outbox, wire.dial).drain(timeout_s=60)
    assert type(drained.failure) is Denied
    assert drained.waiting == 4


async def test_reason_of_a_closed_connection_is_what_is_reported(outbox: Outbox) -> None:
    wire = FakeWire(before=[ServerUnreachable("connection closed")])
    wire.failure = CredsExpired("expired")
    drained = await Relay(outbox, wire.dial).drain(timeout_s=60)
    assert isinstance(drained.failure, CredsExpired)


async def test_connection_that_closed_is_dialled_again(outbox: Outbox) -> None:
    wire = FakeWire()
    relay = Relay(outbox, wire.dial)
    await relay.drain(timeout_s=5)
    wire.closed.set()
    outbox.submit(Entry("id9.1", "signals.fda.T9", b"p", "c2ln"), now=NOW)
    await relay.drain(timeout_s=5)
    assert wire.dials == 2
    assert wire.stored[-1] == "id9.1"


async def test_stream_missing_for_a_moment_is_waited_for(outbox: Outbox) -> None:
    wire = FakeWire(before=[StreamMissing("restarting")])
    assert (await Relay(outbox, wire.dial).drain(timeout_s=5)).failure is None


async def test_one_relay_drains_at_a_time(outbox: Outbox) -> None:
    wire = FakeWire()
    with FileLock(f"{outbox.path}.relay.lock"):
        drained = await Relay(outbox, wire.dial).drain(timeout_s=0.2)
    assert isinstance(drained.failure, AlreadyRunning)
    assert wire.stored == []
    assert (await Relay(outbox, wire.dial).drain(timeout_s=5)).waiting == 0


async def test_relay_that_waits_ends_when_the_other_one_has_sent_all(outbox: Outbox) -> None:
    wire = FakeWire()
    with FileLock(f"{outbox.path}.relay.lock"):
        waiting = asyncio.create_task(Relay(outbox, wire.dial).drain(timeout_s=30))
        for number, message_id in enumerate(ALL):
            outbox.confirm(Receipt(message_id, number + 1, is_duplicate=False), now=NOW)
        drained = await asyncio.wait_for(waiting, 10)
    assert (drained.failure, drained.waiting, wire.dials) == (None, 0, 0)


async def test_look_tells_how_far_the_stream_reaches_and_whether_it_answers(outbox: Outbox) -> None:
    wire = FakeWire()
    relay = Relay(outbox, wire.dial)
    await relay.drain(timeout_s=5)
    assert relay.last_sequence == 4
    assert await relay.look(1) == Span(1, 4)
    wire.before = [RequestTimedOut("x")]
    with pytest.raises(RequestTimedOut):
        await relay.look(1)
    assert relay.circuit.state is CircuitState.DEGRADED
    await relay.look(1)
    assert relay.circuit.state is CircuitState.UP


async def test_look_that_is_not_granted_is_no_trouble(outbox: Outbox) -> None:
    wire = FakeWire(before=[Denied("not your question")])
    assert await Relay(outbox, wire.dial).look(1) == Span(None, None)


async def test_look_does_not_excuse_signals_that_wait(outbox: Outbox) -> None:
    wire = FakeWire(before=[Denied("no")])
    relay = Relay(outbox, wire.dial)
    await relay.drain(timeout_s=5)
    assert relay.circuit.state is CircuitState.DEGRADED
    await relay.look(1)
    assert relay.circuit.state is CircuitState.DEGRADED


async def test_two_tasks_share_one_connection(outbox: Outbox) -> None:
    wire = FakeWire()
    relay = Relay(outbox, wire.dial)
    await asyncio.gather(relay.drain(timeout_s=5), relay.look(5), relay.announce("heartbeat.publisher", b"{}"))
    assert wire.dials == 1


@pytest.mark.parametrize(
    ("error", "after_s", "expected"),
    [
        (Denied("x"), 0, True),
        (CredsExpired("x"), 0, True),
        (PlaintextRefused("x"), 0, True),
        (CatalystError("x"), 0, True),
        (StreamMissing("x"), 0, False),
        (StreamMissing("x"), 2.5, True),
        (ServerUnreachable("x"), 3600, False),
        (RequestTimedOut("x"), 3600, False),
        (BrokerRefused("x"), 3600, False),
        (LinkError("x"), 3600, False),
    ],
)
def test_what_is_worth_another_attempt(error: CatalystError, after_s: float, expected: bool) -> None:
    assert is_final(error, after_s) is expected


def test_circuit_degrades_goes_down_and_comes_back() -> None:
    circuit, states = Circuit(), []
    for _ in range(FAILURES_UNTIL_DOWN):
        circuit = circuit.failed()
        states.append(circuit.state)
    assert states == [CircuitState.DEGRADED, CircuitState.DEGRADED, CircuitState.DOWN]
    assert circuit.succeeded().state is CircuitState.UP


def test_pauses_double_up_to_five_seconds_and_are_cut_by_up_to_half() -> None:
    longest = [Circuit(failures).pause_s(0) for failures in (1, 2, 3, 6, 7, 10_000)]
    assert longest == pytest.approx([0.1, 0.2, 0.4, 3.2, 5.0, 5.0])
    assert Circuit(1).pause_s(1) == pytest.approx(0.05)


class Refusing(Outbox):
    """Takes no receipts until it is told to."""

    is_full = True

    def write(
        self, groups: Sequence[Sequence[Entry]], receipts: Sequence[Receipt], *, now: datetime
    ) -> list[tuple[Submitted, ...]]:
        if receipts and self.is_full:
            raise StorageFailed("the disk is full")
        return super().write(groups, receipts, now=now)


async def test_receipts_that_the_disk_refuses_are_asked_for_again(outbox: Outbox) -> None:
    wire, told = FakeWire(), list[Receipt]()
    with Refusing.open(outbox.path) as refusing:
        relay = Relay(refusing, wire.dial, on_receipt=told.append)
        with pytest.raises(StorageFailed):
            await relay.drain(timeout_s=5)
        assert (told, refusing.waiting()) == ([], 4)
        refusing.is_full = False
        drained = await relay.drain(timeout_s=5)
    assert wire.stored == ALL
    assert tuple(told) == drained.receipts
    assert [each.message_id for each in told] == ALL
    assert told[0].is_duplicate


async def test_what_is_submitted_during_a_drain_goes_out_behind_the_rest(outbox: Outbox) -> None:
    wire = FakeWire()
    commits = Commits(outbox)
    relay = Relay(outbox, wire.dial, commits=commits)
    draining = asyncio.create_task(relay.drain(timeout_s=5))
    more = [Entry(f"id{n}.1", f"signals.fda.T{n}", b"p", "c2ln") for n in range(4, 7)]
    for each in more:
        await commits.submit([each])
    assert (await draining).failure is None
    assert (await relay.drain(timeout_s=5)).failure is None
    assert wire.stored == [*ALL, *(each.message_id for each in more)]
    await commits.close()


async def test_drain_that_is_cancelled_keeps_the_receipts_that_came(outbox: Outbox) -> None:
    wire, told = FakeWire(), list[Receipt]()

    def on_receipt(receipt: Receipt) -> None:
        told.append(receipt)
        if len(told) == 2:
            draining.cancel()

    draining = asyncio.create_task(Relay(outbox, wire.dial, on_receipt=on_receipt).drain(timeout_s=5))
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert len(told) >= 2
    assert outbox.waiting() == 4 - len(told)


async def test_fault_of_who_is_told_ends_the_drain(outbox: Outbox) -> None:
    def on_receipt(_: Receipt) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Relay(outbox, FakeWire().dial, on_receipt=on_receipt).drain(timeout_s=5)
