"""An agent that is ahead of a wire that was restored from a backup: sequences are given again, to other messages."""

from __future__ import annotations

from live_agent import Agent, a_signal, publishing, say

from signal_admin.backup.restoring import restore
from signal_admin.backup.taking import take_backup
from signal_contract.codec import signal_id_from
from signal_contract.control import Verb
from signal_contract.model import Action


def quiet(_line: str) -> None:
    """Nobody listens."""


def a_close(ticker="AAPL"):
    nothing = {"stop_price": None, "target_price": None, "expires_at": None}
    return a_signal(ticker, signal_id=signal_id_from("news", ticker, Action.CLOSE), action="close", **nothing)


async def published(operator, *signals):
    async with publishing(operator) as publish:
        await publish(*signals)


async def caught_up(config):
    agent = Agent(config, "alice")
    await agent.run(until_drained=True)
    return agent


def by_ticker(agent):
    return [(each["ticker"], each["label"]) for each in agent.of("decision")]


async def restored(operator, data_dir, file, start_operator):
    """The wire as it was when the backup was taken, at the same port."""
    port = int(operator.url.rpartition(":")[2])
    await operator.stop()
    await restore(file, data_dir.with_name("again"), None, quiet)
    return await start_operator(data_dir.with_name("again"), port=port)


async def test_new_signals_under_sequences_that_the_agent_knows_are_traded_and_old_ones_not_again(
    data_dir, start_operator, tmp_path
):
    first = await start_operator(data_dir)
    config = await first.add_user("alice", ["signals.*.*"])
    bought, closed = a_signal("MSFT"), a_close("AAPL")
    await published(first, a_signal("AAPL"))
    await take_backup(first.up.desk, tmp_path / "f", None, quiet, is_checked=False)
    await published(first, bought, closed)
    assert by_ticker(await caught_up(config)) == [("AAPL", "FILLED"), ("MSFT", "FILLED"), ("AAPL", "FILLED")]
    second = await restored(first, data_dir, tmp_path / "f", start_operator)
    try:
        # Their sequences are 2 and 3, as those of MSFT and of the exit were; the source is published again after them.
        await published(second, a_signal("NVDA"), a_signal("TSLA"))
        await published(second, bought, closed)
        again = await caught_up(config)
        assert by_ticker(again) == [("NVDA", "FILLED"), ("TSLA", "FILLED")]
        assert by_ticker(await caught_up(config)) == []
    finally:
        await second.stop()


async def test_a_halt_that_the_backup_does_not_know_stands_until_the_operator_resumes(
    data_dir, start_operator, tmp_path
):
    first = await start_operator(data_dir)
    config = await first.add_user("alice", ["signals.*.*"])
    await published(first, a_signal("AAPL"))
    await take_backup(first.up.desk, tmp_path / "f", None, quiet, is_checked=False)
    await published(first, a_signal("MSFT"))
    await say(first, Verb.HALT, "stop")
    await caught_up(config)
    second = await restored(first, data_dir, tmp_path / "f", start_operator)
    try:
        await published(second, a_signal("NVDA"))
        assert by_ticker(await caught_up(config)) == [("NVDA", "HALTED")]
        await say(second, Verb.RESUME, "on")
        await published(second, a_signal("TSLA"))
        assert by_ticker(await caught_up(config)) == [("TSLA", "FILLED")]
    finally:
        await second.stop()


async def test_a_halt_after_the_restore_is_heard_by_who_heard_a_later_place_before(data_dir, start_operator, tmp_path):
    first = await start_operator(data_dir)
    config = await first.add_user("alice", ["signals.*.*"])
    await take_backup(first.up.desk, tmp_path / "f", None, quiet, is_checked=False)
    await published(first, a_signal("AAPL"), a_signal("MSFT"))
    await say(first, Verb.REDUCE, "slowly")
    await say(first, Verb.RESUME, "on")
    await caught_up(config)
    second = await restored(first, data_dir, tmp_path / "f", start_operator)
    try:
        await say(second, Verb.HALT, "stop")
        await published(second, a_signal("NVDA"))
        assert by_ticker(await caught_up(config)) == [("NVDA", "HALTED")]
    finally:
        await second.stop()
