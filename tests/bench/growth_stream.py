"""A server whose stream holds much, or with many users: filled fast, then measured in the shipped configuration.

For the filling alone, nats-server runs with its own default of syncing instead of `always`, on the same store.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / each) for each in ("acceptance", "chaos", "integration/admin")]

from chaos_process import Crew, waited  # noqa: E402
from chaos_wire import Wire  # noqa: E402
from cluster_crowd import Friend, crowd_names, let_in  # noqa: E402
from harness import rss_mb, spread  # noqa: E402
from processes import a_signal  # noqa: E402

from signal_admin.desk import make_desk  # noqa: E402
from signal_admin.server.binary import find_binary  # noqa: E402
from signal_contract.codec import encode  # noqa: E402
from signal_contract.creds import read_creds  # noqa: E402
from signal_contract.link import Link, opened  # noqa: E402
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER  # noqa: E402
from signal_contract.topology import STREAM  # noqa: E402

# The stream takes 1 GiB: a million of these fit.
_FILLER = b'{"filler":"' + b"x" * 300 + b'"}'
_IN_A_ROW = 1000  # then a receipt is waited for: the server drops what it cannot take in
_ACKED_S = 10.0


class Grown:
    """One `catalyst up`, as a process, in the state that is measured."""

    def __init__(self, folder: Path, crew: Crew) -> None:
        folder.mkdir()
        self.wire = Wire(folder / "data", crew)
        self.wire.start()

    @property
    def data(self) -> Path:
        return self.wire.data

    def creds(self, name: str) -> Path:
        return self.data / "users" / name / f"{name}.creds"

    def let_in_many(self, count: int) -> None:
        """Users with durables that nobody connects to."""
        self.wire.stop()
        let_in(make_desk(self.data), crowd_names(count))
        self.wire.start()

    def filled(self, messages: Sequence[tuple[str, bytes, dict[str, str] | None]]) -> None:
        """Put messages into the stream."""
        self.wire.stop()
        conf = self.data / "server.conf"
        fast = self.data / "fast.conf"
        fast.write_text(conf.read_text().replace("sync_interval: always", 'sync_interval: "2m"'))
        server = subprocess.Popen([str(find_binary(None)), "-c", str(fast)])
        try:
            asyncio.run(self._sent(messages))
        finally:
            server.terminate()
            server.wait(60)
            fast.unlink()
        self.wire.start()

    async def _sent(self, messages: Sequence[tuple[str, bytes, dict[str, str] | None]]) -> None:
        creds = read_creds(self.data / "publisher" / "publisher.creds")
        async with opened(self.wire.urls, creds, label="filling", connect_timeout_s=30) as link:
            for number, (subject, payload, headers) in enumerate(messages):
                if number % _IN_A_ROW == _IN_A_ROW - 1:
                    await link.publish_stored(subject, payload, headers=headers or {}, timeout_s=60)
                else:
                    await link.publish(subject, payload, headers=headers)

    async def delivered(self, name: str, count: int) -> dict[str, float]:
        """Publish one after the other; milliseconds until the friend has acknowledged each."""
        publisher = read_creds(self.data / "publisher" / "publisher.creds")
        async with (
            opened(self.wire.urls, publisher, label="publisher") as link,
            opened(self.wire.urls, read_creds(self.creds(name)), label=name) as friends_link,
        ):
            friend = Friend(name, friends_link)
            await friend.begin()
            times = [await _one(link, friend) for _ in range(count + 10)]
        return {**spread(times[10:]), "server_rss_mb": rss_mb(self.wire.nats_pid())}

    def consumer_kb(self, users: int) -> float:
        """What the consumers' state takes on disk, for each."""
        folders = self.data.glob(f"jetstream/**/streams/{STREAM}/obs")
        return (
            sum(each.stat().st_size for folder in folders for each in folder.rglob("*") if each.is_file()) / users / 1e3
        )


async def _one(link: Link, friend: Friend) -> float:
    signal = a_signal(news=str(time.perf_counter_ns()))
    headers = {MESSAGE_ID_HEADER: signal.signal_id, SIGNATURE_HEADER: "A" * 86}
    before = len(friend.acked)
    began = time.perf_counter()
    await link.publish_stored(signal.subject, encode(signal), headers=headers)
    async with asyncio.timeout(_ACKED_S):
        while len(friend.acked) == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return (time.perf_counter() - began) * 1e3


def fillers(count: int) -> list[tuple[str, bytes, dict[str, str] | None]]:
    """Messages on 600 subjects that nobody reads."""
    kinds = ("fda", "acquisition", "earnings", "partnership", "offering", "other")
    return [(f"signals.{kinds[number % 6]}.T{number % 100}", _FILLER, None) for number in range(count)]


def signed_signals(grown: Grown, count: int) -> list[tuple[str, bytes, dict[str, str] | None]]:
    """Real signals for an agent to decide."""
    signer, found = grown.wire.signer(), []
    for number in range(count):
        signal = a_signal(f"T{number % 500}", news=f"long-{number}")
        payload = encode(signal)
        headers = {MESSAGE_ID_HEADER: f"{signal.signal_id}-1", SIGNATURE_HEADER: signer.sign(signal.subject, payload)}
        found.append((signal.subject, payload, headers))
    return found


def drained_rss_mb(grown: Grown, crew: Crew, config: Path, count: int) -> tuple[float, float]:
    """An agent's memory when it idles on an empty stream, and after so many signals that waited."""
    before = _idle_mb(crew, config, 0)
    grown.filled(signed_signals(grown, count))
    return before, _idle_mb(crew, config, count)


def _idle_mb(crew: Crew, config: Path, count: int) -> float:
    agent = crew.agent(config)
    agent.wait_for("caught_up", timeout_s=600)  # keeping them all takes minutes
    waited(lambda: len(agent.lines("decision")) >= count, what=f"{count} decisions", timeout_s=600, every_s=0.5)
    time.sleep(3)
    found = rss_mb(agent.process.pid)
    assert agent.stop() == 0, agent.said
    return found
