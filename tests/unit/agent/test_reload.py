"""Hot reload with real files: stricter at once, looser by the friend's word, and a bad file changes nothing."""

import asyncio
import os
import signal
import stat
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from agent_samples import KEY

from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.settings import consent
from subscriber_agent.settings.config import Mode, load_config
from subscriber_agent.settings.events import (
    ConfigChange,
    ConfigKept,
    ConfigNeedsRestart,
    ConfigPending,
    start_change,
)
from subscriber_agent.settings.reload import ConfigWatcher

GOOD = f'servers: ["nats://127.0.0.1:4222"]\ncreds: alice.creds\ndata: data\npublisher_key: "{KEY}"\n'
NOW = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)


class Ticking:
    """A clock that is a second later at each look, so that no two moments are one."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


class Friend:
    """A friend with an editor, and an agent that watches his file; `events` is all that it told."""

    def __init__(self, folder, text):
        self.path, self.data, self.events = folder / "agent.yaml", folder / "data", []
        self.write(text)
        self.watcher = ConfigWatcher(
            self.path, load_config(self.path, environ={}), data=self.data, environ={}, clock=Ticking()
        )
        self.watcher.on_change(self.events.append)

    @property
    def risk(self):
        return self.watcher.current.risk

    def write(self, text, name="agent.yaml"):
        """As editors do: beside it, then moved over it."""
        draft = self.path.with_name("draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.path.with_name(name))

    async def look(self, times=3):
        """Look until what was written has been seen, stood still and been taken; returns what was told meanwhile."""
        before = len(self.events)
        for _ in range(times):
            await self.watcher.look()
        return self.events[before:]

    async def save(self, text):
        self.write(text)
        return await self.look()

    def accept(self):
        return consent.accept(self.data, load_config(self.path, environ={}))


@pytest.fixture
def friend(tmp_path):
    return Friend(tmp_path, GOOD + "risk: {fixed_usd: 500, max_age_s: 60}\n")


def keys(event):
    return [each.key for each in event.changes]


async def test_an_unchanged_file_tells_nothing(friend):
    assert await friend.look() == []
    assert await friend.save(friend.path.read_text(encoding="utf-8") + "# a comment\n") == []
    assert not (friend.data / "config.pending").exists()


async def test_stricter_settings_count_at_once(friend):
    before = friend.watcher.current
    (event,) = await friend.save(GOOD + "risk: {fixed_usd: 100, max_age_s: 60}\n")
    assert isinstance(event, ConfigChange)
    assert (event.before_hash, event.after_hash) == (before.config_hash(), friend.watcher.current.config_hash())
    assert (keys(event), event.is_loosening, event.confirmed) == (["risk.fixed_usd"], False, False)
    assert friend.risk.fixed_usd == 100
    assert before.risk.fixed_usd == 500
    assert event.as_dict()["type"] == "config_changed"


async def test_looser_settings_wait_for_the_word_and_then_count(friend):
    (event,) = await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    assert isinstance(event, ConfigPending)
    assert keys(event) == ["risk.fixed_usd"]
    assert (friend.risk.fixed_usd, friend.watcher.pending) == (500, event.changes)
    assert await friend.look() == []
    waiting = consent.read_pending(friend.data)
    assert (waiting.changes, waiting.config_hash) == (event.changes, event.config_hash)
    friend.accept()
    (accepted,) = await friend.look()
    assert (accepted.is_loosening, accepted.confirmed, accepted.after_hash) == (True, True, event.config_hash)
    assert friend.risk.fixed_usd == 900
    assert list(friend.data.iterdir()) == []
    assert friend.watcher.pending == ()


async def test_a_mixed_change_takes_the_stricter_part_and_waits_with_the_rest(friend):
    changed, pending = await friend.save(GOOD + "mode: notify\nrisk: {fixed_usd: 900, max_age_s: 30}\n")
    assert (keys(changed), changed.is_loosening) == (["mode", "risk.max_age_s"], False)
    assert keys(pending) == ["risk.fixed_usd"]
    current = friend.watcher.current
    assert (current.mode, current.risk.fixed_usd, current.risk.max_age_s) == (Mode.NOTIFY, 500, 30)
    friend.accept()
    await friend.look()
    assert friend.watcher.current == load_config(friend.path, environ={})


async def test_a_removed_section_is_no_way_around_the_word(friend):
    (event,) = await friend.save(GOOD)
    assert keys(event) == ["risk.max_age_s"]
    assert friend.risk.max_age_s == 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold"),
        (GOOD + "risk: {fixed_usd: 0, max_agee: 1}\n", "risk.fixed_usd: is outside the range"),
        (GOOD + "risk: {fixed_usd: [\n", "not valid YAML"),
        ("mode: paper\n", "servers: is missing"),
    ],
)
async def test_a_bad_file_keeps_the_old_config_and_is_named_once(friend, text, words):
    before = friend.watcher.current
    (event,) = await friend.save(text)
    assert isinstance(event, ConfigKept)
    assert any(words in line for line in event.violations)
    assert friend.watcher.current is before
    assert event.as_dict()["config_hash"] == before.config_hash()
    assert await friend.look() == []
    assert await friend.save(GOOD + "risk: {fixed_usd: 500, max_age_s: 60}\n") == []
    assert isinstance((await friend.save(text))[0], ConfigKept)


async def test_a_missing_file_keeps_the_old_config(friend):
    friend.path.unlink()
    (event,) = await friend.look()
    assert "cannot be read" in event.violations[0]
    assert friend.risk.fixed_usd == 500


async def test_a_half_written_file_is_not_read_while_it_grows(friend):
    # An editor that writes in place: what stands there in between would be valid and stricter, and must not count.
    for text in (GOOD, GOOD + "risk: {fixed_usd: 1}\n", GOOD + "risk: {fixed_usd: 1, max_age_s: 6}\n"):
        friend.path.write_text(text, encoding="utf-8")
        assert await friend.look(times=1) == []
    friend.path.write_text(GOOD + "risk: {fixed_usd: 499, max_age_s: 60}\n", encoding="utf-8")
    (event,) = await friend.look()
    assert [each.after for each in event.changes] == ["499"]


async def test_a_profile_is_watched_too(friend):
    friend.write("risk: {fixed_usd: 400}\n", "mine.yaml")
    await friend.save("extends: mine.yaml\n" + GOOD + "risk: {max_age_s: 60}\n")
    assert friend.risk.fixed_usd == 400
    await friend.look()
    friend.write("risk: {fixed_usd: 300}\n", "mine.yaml")
    await friend.look()
    assert friend.risk.fixed_usd == 300


async def test_a_profile_that_comes_after_the_file_is_noticed(friend):
    text = "extends: mine.yaml\n" + GOOD + "risk: {max_age_s: 60}\n"
    (kept,) = await friend.save(text)
    assert isinstance(kept, ConfigKept)
    friend.write("risk: {fixed_usd: 300}\n", "mine.yaml")
    await friend.look()
    assert friend.risk.fixed_usd == 300


async def test_what_needs_a_restart_is_named_and_left(friend):
    text = GOOD.replace("4222", "4223") + "engine: {paper: {slippage_bps: 5}}\nrisk: {fixed_usd: 500, max_age_s: 60}\n"
    (event,) = await friend.save(text)
    assert event == ConfigNeedsRestart(event.at, ("servers", "engine.paper.slippage_bps"))
    assert friend.watcher.current.engine.paper.slippage_bps == 0
    assert event.as_dict()["keys"] == ["servers", "engine.paper.slippage_bps"]
    (event,) = await friend.save(GOOD + "risk: {fixed_usd: 500, max_age_s: 60}\n")
    assert event.keys == ()


async def test_a_change_taken_back_waits_no_longer(friend):
    await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    (event,) = await friend.save(GOOD + "risk: {fixed_usd: 500, max_age_s: 60}\n")
    assert (type(event), event.changes) == (ConfigPending, ())
    with pytest.raises(NotFound):
        friend.accept()


# The word ---------------------------------------------------------------------------------------------------------


async def test_the_word_is_for_one_config_and_one_moment(friend):
    looser, same = (GOOD + f"risk: {{fixed_usd: {usd}, max_age_s: 60}}\n" for usd in (900, 500))
    await friend.save(looser)
    friend.accept()
    word = (friend.data / "config.accepted").read_bytes()
    await friend.look()
    await friend.save(same)
    await friend.save(looser)
    (friend.data / "config.accepted").write_bytes(word)
    assert await friend.look() == []
    assert friend.risk.fixed_usd == 500


async def test_the_word_for_a_file_that_changed_meanwhile_is_refused(friend):
    await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    friend.write(GOOD + "risk: {fixed_usd: 9000, max_age_s: 60, max_notional_usd: 9000}\n")
    with pytest.raises(Conflict, match="not the one that waits"):
        friend.accept()


async def test_a_word_given_before_the_next_change_does_not_count_for_it(friend):
    await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    friend.accept()
    (event,) = await friend.save(GOOD + "risk: {fixed_usd: 950, max_age_s: 60}\n")
    assert isinstance(event, ConfigPending)
    assert friend.risk.fixed_usd == 500


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"id": "x", "config_hash": null}'])
async def test_what_cannot_be_read_is_no_word(friend, content):
    await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    (friend.data / "config.accepted").write_bytes(content)
    assert await friend.look() == []
    (friend.data / "config.pending").write_bytes(content)
    with pytest.raises(NotFound, match="no looser settings wait"):
        friend.accept()


async def test_what_waits_is_private(friend):
    await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    assert stat.S_IMODE((friend.data / "config.pending").stat().st_mode) == 0o600


async def test_a_data_directory_that_cannot_be_written_keeps_the_old_config_and_says_so(friend):
    friend.data.write_text("in the way", encoding="utf-8")
    kept, pending = await friend.save(GOOD + "risk: {fixed_usd: 900, max_age_s: 60}\n")
    assert "cannot be written" in kept.violations[0]
    assert isinstance(pending, ConfigPending)
    assert friend.risk.fixed_usd == 500
    with pytest.raises(StorageFailed):
        await friend.watcher.run()


# Running ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(friend, **options):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(friend.watcher.run(**options), name="watcher")
        yield
        task.cancel()


async def test_a_running_watcher_follows_the_file_and_forgets_words_of_before(friend, until):
    friend.data.mkdir()
    (friend.data / "config.accepted").write_text("{}", encoding="utf-8")
    async with running(friend, poll_s=0.01):
        friend.write(GOOD + "risk: {fixed_usd: 900, max_age_s: 30}\n")
        await until(lambda: friend.risk.max_age_s == 30 and friend.watcher.pending, what="the stricter part")
        friend.accept()
        await until(lambda: friend.risk.fixed_usd == 900, what="the looser part")
    assert not (friend.data / "config.accepted").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
async def test_sighup_reads_the_file_at_once(friend, until):
    async with running(friend, poll_s=60):
        await until(lambda: signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL, what="the handler")
        friend.write(GOOD + "risk: {fixed_usd: 100, max_age_s: 60}\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: friend.risk.fixed_usd == 100, what="the reload")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_start_with_another_config_is_told_and_asks_nothing(friend):
    config = friend.watcher.current
    change = start_change("0" * 16, config, NOW)
    assert change == ConfigChange(NOW, "0" * 16, config.config_hash(), (), is_loosening=True, confirmed=True)
    assert start_change(config.config_hash(), config, NOW) is None
    assert start_change(None, config, NOW) is None
