"""Three nodes: from one copy to three while signals are published, and a node that dies without a gap."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from cluster_crowd import connected, let_in

from signal_admin.addresses import public_servers
from signal_admin.cluster.replicas import migrated
from signal_admin.cluster.running import cluster_brought_up
from signal_admin.desk import make_desk
from signal_admin.prepare import make_ready
from signal_admin.settings import UpSettings
from signal_contract.creds import read_creds
from signal_contract.errors import Conflict, LinkError
from signal_contract.link import opened
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import STREAM, durable_name

SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def three_ports() -> int:
    """The first of three neighbouring ports that were free a moment ago, and three more behind them."""
    for _ in range(50):
        # Below the range that the system gives to outgoing connections: those come and go all the time.
        first = random.randrange(20_000, 29_000)
        if all(_is_free(first + offset) for offset in range(6)):
            return first
    pytest.fail("no free ports")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@asynccontextmanager
async def cluster(data, said):
    async with cluster_brought_up(data, UpSettings(port=three_ports()), 3, said.append) as up:
        yield up


@asynccontextmanager
async def role(up, name):
    async with opened(list(up.urls), read_creds(up.desk.role_creds(name)), label=f"test-{name}") as link:
        yield link


class Publishing:
    """Publishes numbered messages one after the other until it is stopped; each until there is a receipt."""

    def __init__(self, link):
        self.link, self.receipts, self.wanted = link, {}, True

    async def run(self):
        number = 0
        while self.wanted:
            await self.one(number)
            number += 1
            await asyncio.sleep(0.005)

    async def one(self, number):
        headers = {MESSAGE_ID_HEADER: f"m-{number}"}
        while number not in self.receipts:
            try:
                receipt = await self.link.publish_stored(
                    "signals.fda.ACME", str(number).encode(), headers=headers, timeout_s=1
                )
                self.receipts[number] = receipt.sequence
            except LinkError:
                await asyncio.sleep(0.05)


async def state(link):
    return await link.api(f"$JS.API.STREAM.INFO.{STREAM}")


async def with_one_copy(link):
    info = await state(link)
    await link.api(f"$JS.API.STREAM.UPDATE.{STREAM}", {**info["config"], "num_replicas": 1}, timeout_s=20)


async def hurry(link, name):
    """Have the server send again sooner what this user did not acknowledge."""
    config = (await link.api(f"$JS.API.CONSUMER.INFO.{STREAM}.{durable_name(name)}"))["config"]
    body = {"stream_name": STREAM, "config": config | {"ack_wait": 1_000_000_000}, "action": "update"}
    await link.api(f"$JS.API.CONSUMER.CREATE.{STREAM}.{durable_name(name)}", body)


async def ask_on(friend):
    """What an agent does when its pull shows no sign of life: the move of a durable ends a pull without a word."""
    while True:
        await asyncio.sleep(0.5)
        await friend.ask()


async def test_from_one_copy_to_three_while_signals_are_published_nothing_is_lost_or_doubled(data_dir, until):
    desk, said = make_desk(data_dir), []
    make_ready(desk, UpSettings(), datetime.now(UTC))
    let_in(desk, ["alice"])
    async with cluster(data_dir, said) as up, role(up, "admin") as admin, role(up, "publisher") as publisher:
        await with_one_copy(admin)
        async with connected(desk, ["alice"], list(up.urls)) as (alice,):
            await hurry(admin, "alice")
            await alice.begin()
            publishing = Publishing(publisher)
            running = asyncio.create_task(publishing.run())
            await until(lambda: len(publishing.receipts) > 50, what="50 signals")
            done = await migrated(admin, 3, said.append, timeout_s=60)
            at_the_end = len(publishing.receipts)
            await until(lambda: len(publishing.receipts) > at_the_end + 20, what="20 more signals")
            publishing.wanted = False
            await running
            asking = asyncio.create_task(ask_on(alice))
            await until(lambda: len(alice.got) == len(publishing.receipts), what="alice has all", timeout_s=20)
            asking.cancel()
            found = await state(admin)
            assert found["config"]["num_replicas"] == 3
            assert len(found["cluster"]["replicas"]) == 2
            assert found["state"]["messages"] == len(publishing.receipts) == len(set(publishing.receipts.values()))
            assert set(alice.got) == set(publishing.receipts.values())
            assert at_the_end > 50, "signals went on while it was moved"
            moved = next(each for each in done.moved if each.stream == STREAM)
            assert (moved.replicas_before, moved.replicas, moved.consumers) == (1, 3, 1)


async def test_a_node_that_is_killed_comes_back_and_nothing_stored_is_lost(data_dir, until):
    said = []
    async with cluster(data_dir, said) as up, role(up, "publisher") as publisher, role(up, "admin") as admin:
        publishing = Publishing(publisher)
        running = asyncio.create_task(publishing.run())
        await until(lambda: len(publishing.receipts) > 30, what="30 signals")
        victim = up.processes[0]
        os.kill(victim.pid, SIGKILL)
        await until(lambda: victim.is_up is False, what="the node is gone")
        assert up.desk.server_record().url == up.urls[1], "other commands are sent to a node that lives"
        await until(lambda: victim.is_up, what="it is up again", timeout_s=20)
        before = len(publishing.receipts)
        await until(lambda: len(publishing.receipts) > before + 30, what="30 more signals", timeout_s=30)
        publishing.wanted = False
        await running
        found = await state(admin)
        assert found["state"]["messages"] == len(set(publishing.receipts.values())) == len(publishing.receipts)


async def test_a_cluster_that_is_stopped_and_started_goes_on_where_it_was(data_dir):
    first = three_ports()
    make_ready(make_desk(data_dir), UpSettings(), datetime.now(UTC))
    let_in(make_desk(data_dir), ["alice"])
    settings = UpSettings(port=first)
    for number in (1, 2):
        async with cluster_brought_up(data_dir, settings, 3, [].append) as up, role(up, "publisher") as publisher:
            await Publishing(publisher).one(number)
            async with role(up, "admin") as admin:
                assert (await state(admin))["state"]["last_seq"] == number
                durable = await admin.api(f"$JS.API.CONSUMER.INFO.{STREAM}.sub_alice")
                assert durable["num_pending"] == number


async def test_the_log_of_a_single_server_is_never_given_to_a_node(operator, data_dir):
    await operator.stop()
    with pytest.raises(Conflict, match="single server"):
        async with cluster(data_dir, []):
            pass
    assert operator.up.desk.stream_json.exists()


async def test_friends_and_the_publisher_are_told_all_three_addresses(data_dir):
    async with cluster(data_dir, []) as up:
        assert tuple(public_servers(up.desk)) == up.urls
        assert json.loads((up.desk.publisher / "settings.json").read_text())["servers"] == list(up.urls)
        for each in up.processes:
            assert each.node.conf.stat().st_mode & 0o077 == 0
