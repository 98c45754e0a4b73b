"""200 friends, consumers in memory, and a server that is killed: nothing is lost, nothing comes a third time."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from cluster_crowd import connected, crowd_names, let_in

from signal_admin.apply import read_durables
from signal_admin.cluster.consumers import brought_in_step, consumers_kept
from signal_admin.cluster.settings import ScaleSettings, keep_scale
from signal_admin.desk import make_desk
from signal_admin.prepare import make_ready
from signal_admin.registry import registry_held
from signal_admin.repair import Source
from signal_admin.settings import UpSettings
from signal_contract.signing import MESSAGE_ID_HEADER

USERS, SIGNALS = 200, 20


def prepared(data, names):
    desk = make_desk(data)
    make_ready(desk, UpSettings(port=-1), datetime.now(UTC))
    let_in(desk, names)
    return desk


async def in_step(running, **options):
    async with registry_held(running.up.desk):
        return await brought_in_step(await running.admin_link(), running.up.desk, **options)


async def publish(running, count):
    link = await running.link("publisher")
    for _ in range(count):
        headers = {MESSAGE_ID_HEADER: secrets.token_hex(8)}
        await link.publish_stored("signals.fda.ACME", b"{}", headers=headers)


@asynccontextmanager
async def keeping(data, said):
    task = asyncio.create_task(consumers_kept(data, said.append))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def durables(running):
    return await read_durables(await running.admin_link())


@pytest.mark.timeout(240)
async def test_after_a_restart_each_of_200_friends_gets_what_he_had_not_acknowledged(data_dir, start_operator, until):
    names = crowd_names(USERS)
    desk = prepared(data_dir, names)
    keep_scale(desk, ScaleSettings(100))
    running, said = await start_operator(data_dir), []
    try:
        done = await in_step(running)
        assert len(done.converts) == USERS
        found = await durables(running)
        assert all(each["config"]["mem_storage"] for each in found.values())
        async with connected(desk, names, [running.url]) as friends:
            for number, friend in enumerate(friends):
                # Friend 7 of 20 acknowledges 7 and then every second one; every tenth never reports.
                friend.takes = lambda sequence, some=number % SIGNALS: sequence <= some or sequence % 2 == 0
                await friend.begin()
            await publish(running, SIGNALS)
            await until(lambda: all(len(each.got) == SIGNALS for each in friends), what="all have all", timeout_s=60)
            silent = friends[::10]
            for friend in friends:
                await friend.link.flush()
                if friend not in silent:
                    await friend.tell_position()
            had = {friend.name: set(friend.acked) for friend in friends}
            position = {friend.name: friend.position for friend in friends}
            async with keeping(data_dir, said):
                await running.restart()
                admin = await running.admin_link()
                await until(lambda: bool(said), what="the consumers were made again", timeout_s=60)
                assert len(await read_durables(admin)) == USERS
                await until(lambda: all(each.link.is_connected for each in friends), what="all are back", timeout_s=60)
                for friend in friends:
                    friend.takes = lambda sequence: True
                    await friend.ask()
                await until(
                    lambda: all(each.position == SIGNALS for each in friends), what="nothing is lost", timeout_s=60
                )
            assert max(count for friend in friends for count in friend.got.values()) == 2, "at most twice"
            for friend in friends:
                known = 0 if friend in silent else position[friend.name]
                once = {sequence for sequence, count in friend.got.items() if count == 1}
                assert once == set(range(1, known + 1)), friend.name
                assert set(range(1, SIGNALS + 1)) - had[friend.name] <= friend.acked
        assert said == [
            "200 consumers made again: 180 behind the position that the agent reported, 20 from where the friend began"
        ]
    finally:
        await running.stop()


async def test_who_acknowledged_all_gets_nothing_again_when_the_storage_changes(data_dir, start_operator, until):
    names = ("alice", "bob")
    desk = prepared(data_dir, names)
    running = await start_operator(data_dir)
    try:
        async with connected(desk, names, [running.url]) as (alice, bob):
            bob.takes = lambda sequence: sequence <= 2
            await alice.begin()
            await bob.begin()
            await publish(running, 5)
            await until(lambda: len(alice.got) == len(bob.got) == 5, what="both have five")
            await alice.link.flush()
            keep_scale(desk, ScaleSettings(1))
            done = await in_step(running)
            assert {each.user.name: each.start for each in done.converts} == {"alice": 6, "bob": 3}
            bob.takes = lambda sequence: True
            await alice.ask()
            await bob.ask()
            await publish(running, 1)
            await until(lambda: alice.position == bob.position == 6, what="both go on")
            assert set(alice.got.values()) == {1}
            assert [bob.got[each] for each in range(1, 7)] == [1, 1, 2, 2, 2, 1]
        keep_scale(desk, ScaleSettings())
        assert len((await in_step(running)).converts) == 2
        assert not any(each["config"].get("mem_storage") for each in (await durables(running)).values())
    finally:
        await running.stop()


async def test_a_consumer_is_made_again_before_provisioning_would_begin_it_from_the_start(data_dir, start_operator):
    desk = prepared(data_dir, ("alice",))
    keep_scale(desk, ScaleSettings(0))
    running = await start_operator(data_dir)
    try:
        await publish(running, 4)
        async with connected(desk, ("alice",), [running.url]) as (alice,):
            alice.acked = {1, 2, 3}
            await alice.tell_position()
        admin = await running.admin_link()
        await admin.api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
        (restore,) = (await in_step(running)).restores
        assert (restore.where.start, restore.where.source) == (4, Source.REPORT)
        (found,) = (await durables(running)).values()
        assert (found["config"]["opt_start_seq"], found["num_pending"]) == (4, 1)
        assert (await in_step(running)).restores == ()
    finally:
        await running.stop()
