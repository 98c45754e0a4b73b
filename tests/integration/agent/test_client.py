"""`SignalClient` against a real server: what a friend's own program sees, and what comes again."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from live_agent import a_signal, publishing, revised

from signal_admin.invites import Handover, Invitation, invite
from signal_admin.users import entitlement_from
from signal_contract.errors import AlreadyRunning, CredsInvalid, DurableMissing, InputError
from signal_contract.model import Event
from subscriber_agent.client import SignalClient
from subscriber_agent.receiving.link_state import LinkState

EXAMPLE = Path(__file__).parents[3] / "examples" / "own_program.py"


async def taken(client, count, *, done=True, **filters):
    """The next signals, called done or not."""
    got = []
    async with asyncio.timeout(20), aclosing(client.signals(**filters)) as signals:
        async for received in signals:
            got.append(received)
            if done:
                await received.done()
            if len(got) == count:
                break
    return got


def tickers(got):
    return [each.signal.ticker for each in got]


async def test_signals_come_in_order_and_what_is_not_done_comes_again_at_the_next_start(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    async with publishing(operator) as publish:
        await publish(*(a_signal(f"T{n}") for n in range(4)))
    async with SignalClient.from_config(config) as client:
        assert tickers(await taken(client, 2)) == ["T0", "T1"]
        assert tickers(await taken(client, 1, done=False)) == ["T2"]
        assert tickers(await taken(client, 1, done=False)) == ["T3"], "once in a session"
    async with SignalClient.from_config(config) as client:
        assert tickers(await taken(client, 2)) == ["T2", "T3"]
    info = await (await operator.admin_link()).api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert (info["num_ack_pending"], info["num_pending"]) == (0, 0)


async def test_a_live_signal_comes_while_the_program_waits(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    async with SignalClient.from_config(config) as client, publishing(operator) as publish:
        waiting = asyncio.create_task(taken(client, 1))
        await publish(a_signal("LIVE"))
        (received,) = await waiting
    assert (received.signal.ticker, received.is_retracted) == ("LIVE", False)
    assert received.stream_seq > 0


async def test_retractions_and_updates_come_as_signals_and_what_is_withdrawn_says_so(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    wrong, right = a_signal("AAPL"), a_signal("MSFT")
    async with publishing(operator) as publish:
        await publish(wrong, right, revised(right, Event.UPDATE), revised(wrong, Event.RETRACT))
    async with SignalClient.from_config(config) as client:
        got = await taken(client, 4)
    assert [each.signal.event for each in got] == [Event.NEW, Event.NEW, Event.UPDATE, Event.RETRACT]
    assert [each.is_retracted for each in got] == [True, False, False, True]


async def test_what_is_filtered_out_does_not_come(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    async with publishing(operator) as publish:
        await publish(a_signal("LOW", confidence="0.2"), a_signal("OTHER"), a_signal("GOOD"))
    async with SignalClient.from_config(config) as client:
        got = await taken(client, 1, min_confidence=Decimal("0.5"), tickers=["GOOD"], catalysts=[a_signal().catalyst])
        assert tickers(got) == ["GOOD"]
        with pytest.raises(InputError, match="0 to 1"):
            await anext(client.signals(min_confidence=float("nan")))


async def test_link_state_filters_and_position_can_be_seen(operator, until):
    config = await operator.add_user("alice", ["signals.fda.*"])
    changes = []
    client = SignalClient.from_config(config, on_link_change=lambda state, reason: changes.append(state))
    assert (client.link_state, client.position, client.filters) == (LinkState.CUT, 0, ())
    async with client:
        assert "signals.fda.*" in client.filters
        await until(lambda: client.link_state.is_flowing, what="signals flow")
        await until(lambda: bool(changes), what="the change was told")


async def test_one_identity_is_one_program(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    async with SignalClient.from_config(config):
        with pytest.raises(AlreadyRunning):
            async with SignalClient.from_config(config):
                pass


async def test_why_the_receiving_ended_reaches_the_program(operator):
    config = await operator.add_user("alice", ["signals.*.*"])
    async with SignalClient.from_config(config) as client:
        waiting = asyncio.create_task(taken(client, 1))
        await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
        with pytest.raises(DurableMissing):
            await waiting


async def _invited(operator, path, passphrase=None):
    wanted = Invitation("alice", entitlement_from([], ["signals.*.*"]), None)
    await invite(operator.up.desk, wanted, Handover(path, passphrase, False), now=datetime.now(UTC), dry_run=False)


async def test_an_invite_is_joined_once_and_found_again(operator, tmp_path):
    file = tmp_path / "alice.invite"
    await _invited(operator, file)
    async with publishing(operator) as publish:
        await publish(a_signal("ONE"), a_signal("TWO"))
        async with SignalClient.from_invite(file) as client:
            assert tickers(await taken(client, 1)) == ["ONE"]
        file.unlink()
        async with SignalClient.from_invite(file) as client:
            assert tickers(await taken(client, 1)) == ["TWO"]


async def test_an_invite_under_a_passphrase_needs_it(operator, tmp_path):
    file = tmp_path / "alice.invite"
    await _invited(operator, file, "correct horse")
    with pytest.raises(CredsInvalid, match="passphrase"):
        async with SignalClient.from_invite(file):
            pass
    async with SignalClient.from_invite(file, home=tmp_path / "home", passphrase="correct horse") as client:
        assert client.filters


async def test_the_example_runs(operator, tmp_path, capsys):
    file = tmp_path / "alice.invite"
    await _invited(operator, file)
    first = a_signal("AAPL")
    async with publishing(operator) as publish:
        await publish(first, a_signal("LOW", confidence="0.1"), revised(first, Event.RETRACT), a_signal("MSFT"))
    spec = importlib.util.spec_from_file_location("own_program", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    async with asyncio.timeout(20):
        await example.main(str(file), how_many=3)
    shown = capsys.readouterr().out
    assert "AAPL: withdrawn" in shown
    assert "MSFT: buy at" in shown
    assert "LOW" not in shown
    assert "AAPL: buy" not in shown, "it was withdrawn before the program saw it"
