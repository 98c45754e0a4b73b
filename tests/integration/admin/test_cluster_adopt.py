"""From a single server to three nodes: the same messages, the same places, and friends go on where they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cluster_crowd import connected, let_in
from test_cluster_migrate import Publishing, role, three_ports

from signal_admin.cluster.adopting import carried_over
from signal_admin.cluster.running import cluster_brought_up
from signal_admin.desk import make_desk
from signal_admin.prepare import make_ready
from signal_admin.settings import UpSettings
from signal_contract.errors import AlreadyRunning, Conflict
from signal_contract.topology import STREAM


async def test_friends_go_on_where_they_were_on_three_nodes_and_nothing_is_lost(data_dir, start_operator, until):
    desk, said = make_desk(data_dir), []
    make_ready(desk, UpSettings(), datetime.now(UTC))
    let_in(desk, ["alice"])
    single = await start_operator(data_dir)
    publishing = Publishing(await single.link("publisher"))
    for number in range(40):
        await publishing.one(number)
    async with connected(desk, ["alice"], [single.url]) as (alice,):
        alice.takes = lambda sequence: sequence <= 15
        await alice.begin()
        await until(lambda: len(alice.got) == 40, what="alice has all")
        await alice.link.flush()
        with pytest.raises(AlreadyRunning):
            await carried_over(data_dir, UpSettings(port=three_ports()), 3, said.append)
    await single.stop()
    settings = UpSettings(port=three_ports())
    done = await carried_over(data_dir, settings, 3, said.append)
    assert (done.streams[STREAM].messages, done.places) == (40, 1)
    assert done.kept.is_dir()
    async with cluster_brought_up(data_dir, settings, 3, said.append) as up:
        async with role(up, "publisher") as publisher:
            publishing.link = publisher
            publishing.receipts.clear()
            for number in range(35, 45):  # five of them are known already
                await publishing.one(number)
        async with role(up, "admin") as admin, connected(desk, ["alice"], list(up.urls)) as (alice,):
            found = await admin.api(f"$JS.API.STREAM.INFO.{STREAM}")
            assert (found["state"]["last_seq"], found["config"]["num_replicas"]) == (45, 3)
            await alice.begin()
            await until(lambda: set(alice.got) == set(range(16, 46)), what="alice goes on behind 15", timeout_s=60)
    with pytest.raises(Conflict):
        await carried_over(data_dir, settings, 3, said.append)


async def test_a_directory_without_a_log_has_nothing_to_carry(data_dir):
    make_ready(make_desk(data_dir), UpSettings(), datetime.now(UTC))
    with pytest.raises(Conflict):
        await carried_over(data_dir, UpSettings(port=three_ports()), 3, [].append)
