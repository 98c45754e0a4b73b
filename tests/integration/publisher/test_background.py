"""The publisher that sends by itself, against a real server: at once, for ever, with a heartbeat to be trusted."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from published import last_sequence, settings_of, signals

from publisher.background import SLOW_PAUSE_S, StateChange, needs_operator, pause_from
from publisher.circuit import CircuitState
from publisher.entry import entry_from
from publisher.outbox import Outbox
from publisher.pulse import Pulse
from publisher.service import SignalPublisher
from publisher.settings import PublisherSettings
from signal_contract.delivery import Delivery
from signal_contract.errors import (
    AlreadyRunning,
    CatalystError,
    ConfigInvalid,
    Conflict,
    CredsRevoked,
    Denied,
    RequestTimedOut,
    ServerUnreachable,
    TlsFailed,
)
from signal_contract.heartbeat import ClassifierState, Heartbeat, OutboxState, read_heartbeat
from signal_contract.model import ClassifierMode


class Heard:
    """The heartbeats that a friend hears, their signatures checked."""

    def __init__(self, settings: PublisherSettings) -> None:
        self._verifier = settings.signer.verifier
        self.beats: list[Heartbeat] = []

    async def __call__(self, delivery: Delivery) -> None:
        self._verifier.check(delivery.subject, delivery.data, delivery.headers.get("Catalyst-Signature"))
        self.beats.append(read_heartbeat(delivery.data))

    @classmethod
    async def by_a_friend(cls, operator: Any) -> Heard:
        await operator.add_user("alice", ["signals.>"])
        heard = cls(settings_of(operator))
        link = await operator.link("alice")
        await link.subscribe("heartbeat.publisher", heard)
        await link.flush()
        return heard


async def test_submitted_signal_goes_out_without_a_flush(operator: Any, until: Callable[..., Any]) -> None:
    async with SignalPublisher(settings_of(operator), background=True) as publisher:
        await publisher.submit(signals(1)[0])
        await until(lambda: len(publisher.receipts) == 1, what="receipt")
        assert publisher.last_sequence == await last_sequence(operator)


async def test_what_another_process_submits_goes_out_as_well(operator: Any, until: Callable[..., Any]) -> None:
    settings = settings_of(operator)
    async with SignalPublisher(settings, background=True) as publisher:
        with Outbox.open(settings.outbox) as other:
            other.submit(entry_from(signals(1)[0], settings.signer), now=datetime.now(UTC))
        await until(lambda: len(publisher.receipts) == 1, what="receipt")


async def test_flush_and_another_publisher_still_get_in(operator: Any) -> None:
    made, settings = signals(40), settings_of(operator)
    async with SignalPublisher(settings, background=True) as running, SignalPublisher(settings) as once:
        for each in made[:20]:
            await running.submit(each)
        await once.submit_many(made[20:])
        assert (await once.flush(10)).failure is None
        assert (await running.flush(10)).waiting == 0
    assert await last_sequence(operator) == 40


async def test_heartbeat_says_who_sends_how_far_and_how_well(operator: Any, until: Callable[..., Any]) -> None:
    heard = await Heard.by_a_friend(operator)
    async with SignalPublisher(settings_of(operator), background=True, heartbeat_s=0.1) as publisher:
        state = ClassifierState(
            name="bot", mode=ClassifierMode.LLM, degraded=False, last_cycle_at=datetime.now(UTC), cycle_s=60
        )
        publisher.classifier = state
        await publisher.submit_many(signals(3))
        await until(
            lambda: any((each.last_sequence, each.waiting) == (3, 0) for each in heard.beats), what="a beat after it"
        )
        beat = heard.beats[-1]
    assert [each.counter for each in heard.beats] == list(range(1, len(heard.beats) + 1))
    assert len({each.started_at for each in heard.beats}) == 1
    assert (beat.state, beat.first_sequence, beat.classifier, beat.interval_s) == (OutboxState.UP, 1, state, 1)
    assert sorted(heard.beats, key=lambda each: each.at) == heard.beats


async def test_one_publisher_beats_and_the_next_one_takes_over(operator: Any, until: Callable[..., Any]) -> None:
    heard, settings = await Heard.by_a_friend(operator), settings_of(operator)
    async with SignalPublisher(settings, background=True, heartbeat_s=0.1) as other:
        async with SignalPublisher(settings, background=True, heartbeat_s=0.1):
            await until(lambda: len(heard.beats) >= 3, what="three beats")
            assert len({each.started_at for each in heard.beats}) == 1
        await until(lambda: len({each.started_at for each in heard.beats}) <= 2 and len(heard.beats) >= 6, what="six")
        assert other.state is CircuitState.UP
    order = [(each.started_at, each.counter) for each in heard.beats]
    assert order == sorted(order)


async def test_server_restart_under_load_loses_nothing_and_is_said_once(
    operator: Any, until: Callable[..., Any]
) -> None:
    made, changes = signals(200), list[StateChange]()
    async with SignalPublisher(settings_of(operator), background=True, on_state=changes.append) as publisher:
        for number, each in enumerate(made):
            await publisher.submit(each)
            if number == 60:
                operator.kill_server()
        await until(lambda: len(publisher.receipts) == 200, what="all receipts", timeout_s=30)
        await until(lambda: changes[-1].state is CircuitState.UP, what="up again")
    assert await last_sequence(operator) == 200
    states = [each.state for each in changes]
    assert states[0] is CircuitState.UP
    assert states[-1] is CircuitState.UP
    assert all(one is not other for one, other in itertools.pairwise(states))


async def test_server_away_is_seen_while_nothing_waits_and_in_the_state_file(
    operator: Any, until: Callable[..., Any], start_operator: Callable[..., Any]
) -> None:
    settings, changes = settings_of(operator), list[StateChange]()
    data, port = operator.data, int(operator.url.rsplit(":", 1)[1])
    path = data / "publisher" / "state.json"

    def said() -> Any:
        return json.loads(path.read_bytes()) if path.exists() else {"state": None}

    publisher = SignalPublisher(settings, background=True, on_state=changes.append, heartbeat_s=0.5, closing_s=0.5)
    async with publisher:
        await until(lambda: said()["state"] == "up", what="up")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await operator.stop()
        await until(lambda: said()["state"] == "down", what="down", timeout_s=30)
        assert said()["reason"]
        await publisher.submit_many(signals(2))
        again = await start_operator(data, port=port)
        try:
            await until(lambda: len(publisher.receipts) == 2, what="both sent", timeout_s=20)
            await until(lambda: (said()["state"], said()["last_sequence"]) == ("up", 2), what="up again")
        finally:
            await again.stop()
    states = [each.state for each in changes][:4]
    assert states == [CircuitState.UP, CircuitState.DEGRADED, CircuitState.DOWN, CircuitState.UP]


async def test_refused_creds_are_said_once_and_read_again(
    operator: Any, until: Callable[..., Any], tmp_path: Path
) -> None:
    settings, problems = settings_of(operator), list[CatalystError]()
    creds = operator.creds_path("publisher")
    kept = shutil.copy(creds, tmp_path / "kept.creds")
    foreign = await operator.add_user("mallory", ["signals.>"])
    broken = PublisherSettings(
        **{name: getattr(settings, name) for name in settings.__slots__ if name != "creds"},
        creds=_creds_of(foreign.with_suffix(".creds")),
    )
    async with SignalPublisher(
        broken, background=True, on_problem=problems.append, heartbeat_s=0.1, closing_s=0.1
    ) as publisher:
        await publisher.submit(signals(1)[0])
        await until(lambda: bool(problems), what="the refusal is said")
        assert isinstance(problems[0], Denied)
        assert kept.exists()
        # What is on disk is the right file: the next slow retry reads it.
        await until(
            lambda: len(publisher.receipts) == 1, what="sent with the creds on disk", timeout_s=SLOW_PAUSE_S + 10
        )
    assert len(problems) == 1


def _creds_of(path: Path) -> Any:
    from signal_contract.creds import read_creds

    return read_creds(path)


async def test_leaving_sends_what_waits(operator: Any) -> None:
    async with SignalPublisher(settings_of(operator), background=True) as publisher:
        await publisher.submit_many(signals(30))
    assert await last_sequence(operator) == 30


async def test_leaving_does_not_hang_when_the_server_is_away(operator: Any) -> None:
    settings = settings_of(operator)
    await operator.stop()
    async with asyncio.timeout(15):
        async with SignalPublisher(settings, background=True, closing_s=0.5) as publisher:
            await publisher.submit_many(signals(3))
    with Outbox.open(settings.outbox) as outbox:
        assert outbox.waiting() == 3


async def test_changed_bytes_in_the_outbox_are_never_signed_and_sent(operator: Any, until: Callable[..., Any]) -> None:
    import sqlite3

    settings, problems, made = settings_of(operator), list[CatalystError](), signals(3)
    with Outbox.open(settings.outbox) as outbox:
        outbox.submit_many([entry_from(each, settings.signer) for each in made], now=datetime.now(UTC))
    connection = sqlite3.connect(settings.outbox)
    connection.execute(
        "UPDATE outbox SET payload = CAST(replace(CAST(payload AS TEXT), 'buy', 'sell') AS BLOB) WHERE message_id = ?",
        (made[1].message_id,),
    )
    connection.commit()
    connection.close()
    async with SignalPublisher(settings, background=True, on_problem=problems.append) as publisher:
        await until(lambda: len(publisher.receipts) == 2, what="the two sound ones")
        assert [each.message_id for each in publisher.receipts] == [made[0].message_id, made[2].message_id]
        await until(lambda: bool(problems), what="the damage is said")
    assert problems[0].code == "OUTBOX_REPLACED"
    assert await last_sequence(operator) == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Denied("x"), SLOW_PAUSE_S),
        (CredsRevoked("x"), SLOW_PAUSE_S),
        (TlsFailed("x"), SLOW_PAUSE_S),
        (ConfigInvalid("x"), SLOW_PAUSE_S),
        (ServerUnreachable("x"), 0.7),
        (RequestTimedOut("x"), 0.7),
        (AlreadyRunning("x"), 0.2),
        (Conflict("x"), 2.0),
    ],
)
def test_pause_depends_on_who_can_help(error: CatalystError, expected: float) -> None:
    assert pause_from(error, 0.7) == expected
    assert needs_operator(error) is (expected == SLOW_PAUSE_S)


def test_heartbeats_are_not_numbered_without_the_lock(tmp_path: Path) -> None:
    from publisher.pulse import Health
    from publisher.relay import Span

    one, other = (Pulse(tmp_path / "outbox.sqlite", 15, lambda: datetime.now(UTC)) for _ in range(2))
    health = Health(CircuitState.UP, "", 0, Span(1, 2))
    assert one.is_ours()
    assert not other.is_ours()
    assert one.next(health, None).counter == 1
    with pytest.raises(RuntimeError, match="another publisher"):
        other.next(health, None)
    one.close()
    assert other.is_ours()
    assert other.next(health, None).counter == 1
    other.close()
