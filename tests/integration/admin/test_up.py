"""The operator's server as a whole: what is made, kept, refused and repaired."""

import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_admin.accounts import all_account_claims
from signal_admin.apply import provision
from signal_admin.claims import signed_jwt
from signal_admin.desk import make_desk
from signal_admin.issuing import issue_own_creds
from signal_admin.registry import User, all_users, registry_locked, write_user
from signal_admin.up import UpSettings, brought_up
from signal_admin.users import add_user, user_states
from signal_admin.vault import make_vault, public_file, read_vault
from signal_contract.creds import read_creds
from signal_contract.errors import (
    AlreadyRunning,
    BrokerRefused,
    Conflict,
    CredsExpired,
    Denied,
    PortTaken,
    ServerBinaryMissing,
    ServerTooOld,
    StoreDamaged,
)
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import Account, info_subject, stream_config

NOW = datetime.now(UTC)


async def publish(operator, *tickers):
    link = await operator.link("publisher")
    return [
        (await link.publish_stored(f"signals.fda.{each}", b"{}", headers={MESSAGE_ID_HEADER: each})).sequence
        for each in tickers
    ]


async def api(operator, subject, body=None):
    return await (await operator.admin_link()).api(f"$JS.API.{subject}", body)


async def test_the_stream_is_the_agreed_one_and_every_publish_is_synced(operator):
    config = (await api(operator, "STREAM.INFO.SIGNALS"))["config"]
    for key, value in stream_config().items():
        assert config.get(key) == value, key
    assert "sync_interval: always" in operator.up.desk.server_conf.read_text()


async def test_what_others_need_is_written_at_start_and_removed_at_stop(operator):
    desk = operator.up.desk
    settings = orjson.loads((desk.publisher / "settings.json").read_bytes())
    assert settings == {
        "servers": [operator.url],
        "creds": "publisher.creds",
        "signing_seed": "signing.seed",
        "outbox": "outbox.sqlite",
    }
    assert (desk.publisher / "signing.seed").read_text().strip() == read_vault(desk.vault).signer.secret_text
    record = desk.server_record()
    assert (record.url, record.pid) == (operator.url, os.getpid())
    await operator.stop()
    assert not desk.server_json.exists()


async def test_an_added_user_has_a_durable_with_his_filters_and_control(operator):
    await operator.add_user("alice", ["signals.fda.*", "signals.merger.*"])
    config = (await api(operator, "CONSUMER.INFO.SIGNALS.sub_alice"))["config"]
    assert sorted(config["filter_subjects"]) == [
        "control.all.*",
        "control.user.alice.*",
        "signals.fda.*",
        "signals.merger.*",
    ]
    assert (config["max_batch"], config["max_waiting"], config["ack_policy"]) == (256, 8, "explicit")


async def test_a_user_added_while_the_server_was_down_gets_his_durable_at_the_next_start(data_dir, start_operator):
    first = await start_operator(data_dir)
    await publish(first, "AAPL")
    await first.stop()
    made = await add_user(first.up.desk, "alice", ("signals.fda.*",), now=NOW)
    assert not made.has_durable
    again = await start_operator(data_dir)
    try:
        info = await api(again, "CONSUMER.INFO.SIGNALS.sub_alice")
        assert info["config"]["opt_start_seq"] == 2
        assert "durable of alice made, from sequence 2" in again.said
    finally:
        await again.stop()


async def test_a_deleted_durable_is_made_again_where_it_began_so_nothing_is_missed(data_dir, start_operator):
    first = await start_operator(data_dir)
    await first.add_user("alice", ["signals.fda.*"])
    await publish(first, "A", "B", "C")
    await api(first, "CONSUMER.DELETE.SIGNALS.sub_alice")
    await first.stop()
    again = await start_operator(data_dir)
    try:
        assert (await api(again, "CONSUMER.INFO.SIGNALS.sub_alice"))["num_pending"] == 3
    finally:
        await again.stop()


async def test_filters_changed_in_the_registry_are_changed_on_the_server(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    desk = operator.up.desk
    (alice,) = all_users(desk)
    write_user(desk, User(alice.name, alice.public_key, ("signals.*.*",), alice.created_at, None, 1))
    with registry_locked(desk):
        todo = await provision(await operator.admin_link(), desk, [stream_config()])
    assert [type(each).__name__ for each in todo.actions] == ["UpdateDurable"]
    config = (await api(operator, "CONSUMER.INFO.SIGNALS.sub_alice"))["config"]
    assert "signals.*.*" in config["filter_subjects"]


async def test_provisioning_twice_changes_nothing(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    with registry_locked(operator.up.desk):
        todo = await provision(await operator.admin_link(), operator.up.desk, [stream_config()])
    assert (todo.actions, todo.refusals, todo.strangers) == ((), (), ())


async def test_an_unchangeable_difference_is_refused_before_anything_is_changed(operator):
    desired = {**stream_config(), "retention": "workqueue", "max_bytes": 123_000_000}
    with registry_locked(operator.up.desk), pytest.raises(Conflict, match="retention"):
        await provision(await operator.admin_link(), operator.up.desk, [desired])
    assert (await api(operator, "STREAM.INFO.SIGNALS"))["config"]["max_bytes"] == 1 << 30


async def test_five_hundred_users_are_provisioned_and_listed(data_dir, start_operator):
    desk = make_desk(data_dir)
    make_vault(desk.vault)
    for number in range(500):
        write_user(desk, User(f"friend-{number:03}", f"U{number}", ("signals.fda.*",), NOW))
    running = await start_operator(data_dir)
    try:
        states = await user_states(desk)
        assert len(states) == 500
        assert all(state.pending == 0 and state.is_online is False for state in states)
    finally:
        await running.stop()


async def test_a_restart_keeps_messages_durables_port_and_keys(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await publish(operator, "AAPL", "MSFT")
    url = operator.url
    await operator.restart()
    assert operator.up.supervisor.running.url == url
    assert operator.up.desk.server_record().nats_pid == operator.up.supervisor.running.nats_pid
    assert await publish(operator, "AAPL", "NVDA") == [1, 3]
    assert (await api(operator, "CONSUMER.INFO.SIGNALS.sub_alice"))["num_pending"] == 3
    assert any("ended unexpectedly" in line for line in operator.said)


async def test_a_server_that_keeps_dying_is_given_up(operator, until):
    watching = operator.up.watching
    for _ in range(4):
        await operator.restart()
    operator.kill_server()
    await until(watching.done, what="supervisor gives up")
    assert "died 5 times" in str(watching.exception())


async def test_a_second_up_on_the_same_directory_is_refused_with_the_pid(operator):
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        async with brought_up(operator.data, UpSettings(port=-1), print):
            pass
    assert await publish(operator, "AAPL") == [1]


async def test_a_taken_port_is_named(operator, tmp_path):
    settings = UpSettings(port=operator.up.running.port)
    with pytest.raises(PortTaken, match=str(operator.up.running.port)):
        async with brought_up(tmp_path / "other", settings, print):
            pass


async def test_a_missing_binary_is_told(tmp_path):
    with pytest.raises(ServerBinaryMissing):
        async with brought_up(tmp_path / "data", UpSettings(port=-1, nats_server=tmp_path / "absent"), print):
            pass


async def test_an_old_binary_is_told(tmp_path):
    binary = tmp_path / "nats-server"
    binary.write_text("#!/bin/sh\necho 'nats-server: v2.10.7'\n")
    binary.chmod(0o755)
    with pytest.raises(ServerTooOld, match=r"2\.10\.7"):
        async with brought_up(tmp_path / "data", UpSettings(port=-1, nats_server=binary), print):
            pass


async def stopped_with_messages(start_operator, data_dir):
    running = await start_operator(data_dir)
    await publish(running, "AAPL", "MSFT", "NVDA")
    await running.stop()
    return running.up.desk


@pytest.mark.parametrize("damage", ["metadata", "emptied", "another"])
async def test_a_store_that_lost_the_stream_is_refused_and_not_begun_anew(data_dir, start_operator, damage):
    desk = await stopped_with_messages(start_operator, data_dir)
    (meta,) = desk.jetstream.glob("*/streams/SIGNALS/meta.inf")
    if damage == "metadata":
        meta.write_text("xx")
    else:
        meta.parents[2].rename(desk.root / "moved-away")
    if damage == "another":
        desk.stream_json.rename(desk.root / "kept.json")
        await (await start_operator(data_dir)).stop()
        (desk.root / "kept.json").rename(desk.stream_json)
    with pytest.raises(StoreDamaged):
        await start_operator(data_dir)
    assert not desk.server_json.exists()


async def test_a_stream_that_became_shorter_is_refused(data_dir, start_operator):
    desk = await stopped_with_messages(start_operator, data_dir)
    (block,) = desk.jetstream.glob("*/streams/SIGNALS/msgs/1.blk")
    block.write_bytes(b"")
    (block.parent / "index.db").unlink()
    with pytest.raises(StoreDamaged, match="sequence"):
        await start_operator(data_dir)


async def test_expired_creds_are_refused_by_server_and_client(operator):
    soon = datetime.now(UTC) + timedelta(seconds=1)
    made = await add_user(operator.up.desk, "alice", ("signals.fda.*",), now=datetime.now(UTC), expires_at=soon)
    link = await operator.link(made.creds)
    await link.closed.wait()
    assert isinstance(link.failure, CredsExpired)
    with pytest.raises(CredsExpired):
        read_creds(made.creds, now=datetime.now(UTC))
    # The server counts whole seconds: within the last one it still lets in, and closes again.
    deadline = time.monotonic() + 5
    while not await _is_refused(operator, made.creds):
        assert time.monotonic() < deadline


async def _is_refused(operator, creds) -> bool:
    try:
        link = await Link.open([operator.url], read_creds(creds), label="test")
    except Denied:
        return True
    await link.close()
    return False


async def test_changed_account_jwts_win_over_the_resolvers_copy_at_the_next_start(data_dir, start_operator):
    first = await start_operator(data_dir)
    await first.add_user("alice", ["signals.fda.*"])
    await first.stop()
    desk = first.up.desk
    _plant_older_friends_account(desk)
    again = await start_operator(data_dir)
    try:
        issued = (desk.accounts / "FRIENDS.jwt").read_text().strip()
        key = read_vault(desk.vault).account_keys[Account.FRIENDS]
        assert (desk.resolver / f"{key}.jwt").read_text().strip() == issued
        alice = await again.link("alice")
        assert (await alice.api(info_subject("alice")))["name"] == "sub_alice"
    finally:
        await again.stop()


def _plant_older_friends_account(desk) -> str:
    vault = read_vault(desk.vault)
    claims = all_account_claims(vault.account_keys, vault.role_keys, NOW - timedelta(hours=1))[Account.FRIENDS]
    claims["nats"]["signing_keys"][0]["template"]["pub"] = {"allow": ["nothing"]}
    old = signed_jwt(claims, vault.operator_signing)
    key = vault.account_keys[Account.FRIENDS]
    (desk.accounts / "FRIENDS.jwt").write_text(old + "\n")
    (desk.resolver / f"{key}.jwt").write_text(old)
    return key


async def test_a_directory_from_before_the_account_of_the_observers_comes_up_and_nobody_notices(
    data_dir, start_operator, tmp_path
):
    first = await start_operator(data_dir)
    await first.add_user("alice", ["signals.fda.*"])
    await publish(first, "AAPL")
    await first.stop()
    desk = first.up.desk
    _as_before_observers(desk)
    shutil.copy(desk.role_creds("monitor"), tmp_path / "before.creds")
    kept = {path: path.read_bytes() for path in (desk.accounts / "FRIENDS.jwt", desk.role_creds("admin"))}
    again = await start_operator(data_dir)
    try:
        assert {path: path.read_bytes() for path in kept} == kept
        assert await publish(again, "MSFT") == [2]
        (alice,) = await user_states(desk)
        assert alice.pending == 2
        assert (await (await again.link("alice")).api(info_subject("alice")))["num_pending"] == 2
        assert (await (await again.link("auditor")).api("WATCH.STREAM.INFO.AUDIT"))["config"]["name"] == "AUDIT"
        with pytest.raises(Denied):
            await again.link(tmp_path / "before.creds")
    finally:
        await again.stop()


def _as_before_observers(desk) -> None:
    """Take back what came with account OBSERVERS: its key and JWT; its roles live in SIGNALS again."""
    vault = read_vault(desk.vault)
    keys = vault.account_keys
    issue_own_creds(desk, replace(vault, account_keys={**keys, Account.OBSERVERS: keys[Account.SIGNALS]}), NOW)
    claims = all_account_claims(keys, vault.role_keys, NOW - timedelta(hours=1))
    signals = claims[Account.SIGNALS]["nats"]
    taken = {each["subject"] for each in claims[Account.FRIENDS]["nats"]["imports"]}
    signals["exports"] = [each for each in signals["exports"] if each["subject"] in taken]
    signals["signing_keys"] += claims[Account.OBSERVERS]["nats"]["signing_keys"]
    old = signed_jwt(claims[Account.SIGNALS], vault.operator_signing)
    (desk.accounts / "SIGNALS.jwt").write_text(old + "\n")
    (desk.resolver / f"{keys[Account.SIGNALS]}.jwt").write_text(old)
    (desk.accounts / "OBSERVERS.jwt").unlink()
    (desk.resolver / f"{keys[Account.OBSERVERS]}.jwt").unlink()
    (desk.vault / "account-observers.seed").unlink()
    public = orjson.loads(public_file(desk.vault).read_bytes())
    del public["account-observers"]
    public_file(desk.vault).write_bytes(orjson.dumps(public))


async def test_unchanged_accounts_survive_a_restart_byte_for_byte(data_dir, start_operator):
    first = await start_operator(data_dir)
    await first.stop()
    before = {path.name: path.read_bytes() for path in first.up.desk.accounts.iterdir()}
    again = await start_operator(data_dir)
    await again.stop()
    assert {path.name: path.read_bytes() for path in again.up.desk.accounts.iterdir()} == before


async def test_a_stale_server_record_does_not_stop_a_user_from_being_added(data_dir, start_operator):
    first = await start_operator(data_dir)
    record = first.up.desk.server_record()
    await first.stop()
    first.up.desk.write_server_record(record)
    made = await add_user(first.up.desk, "alice", ("signals.fda.*",), now=NOW)
    assert not made.has_durable


async def test_monitoring_is_off_unless_asked_for(operator, tmp_path):
    assert operator.up.running.monitor_url is None
    async with brought_up(tmp_path / "other", UpSettings(port=-1, monitor_port=-1), print) as other:
        assert other.running.monitor_url.startswith("http://127.0.0.1:")


async def test_a_path_with_blanks_quotes_and_umlauts_works(tmp_path, start_operator):
    running = await start_operator(tmp_path / 'my "größte" data $HOME')
    try:
        assert await publish(running, "AAPL") == [1]
    finally:
        await running.stop()


async def test_refusals_of_the_broker_have_names(operator):
    admin = await operator.admin_link()
    with pytest.raises(BrokerRefused):
        await admin.api("$JS.API.STREAM.CREATE.SIGNALS", {"name": "SIGNALS", "subjects": ["other"]})
    with pytest.raises(Denied):
        await admin.api("$JS.API.STREAM.DELETE.SIGNALS")
