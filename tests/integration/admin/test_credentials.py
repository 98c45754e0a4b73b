"""Credentials that must not work, each against the shipped configuration, and the limits of one user, both ways."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import nats
import pytest
from tls_server import secure_operator

from signal_admin.actions import revoke
from signal_admin.claims import signed_jwt, user_claims
from signal_admin.constraints import constraints_from
from signal_admin.invites import Handover, Invitation, invite
from signal_admin.server.binary import find_binary
from signal_admin.settings import keep_settings, kept_settings
from signal_admin.vault import read_vault
from signal_contract.creds import creds_text, write_secret
from signal_contract.errors import CredsExpired, Denied
from signal_contract.invite import read_invite
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName
from signal_contract.topology import Account, info_subject

HOUR = timedelta(hours=1)


def minted(operator, tmp_path, *, nats_claims=(), **claims):
    """A creds file of `alice` by the subscriber's scoped key, with claims of our choice."""
    vault, pair = read_vault(operator.up.desk.vault), KeyPair.generate(KeyKind.USER)
    made = user_claims(
        pair.public,
        name="alice",
        role=RoleName.SUBSCRIBER,
        account=vault.account_keys[Account.FRIENDS],
        issued_at=datetime.now(UTC),
    )
    made = {**made, **claims, "nats": {**made["nats"], **dict(nats_claims)}}
    path = tmp_path / "made.creds"
    write_secret(path, creds_text(signed_jwt(made, vault.roles[RoleName.SUBSCRIBER]), pair.seed))
    return path


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    return operator


async def test_a_jwt_made_this_way_is_accepted_without_the_extra(friends, tmp_path):
    link = await friends.link(minted(friends, tmp_path))
    assert (await link.api(info_subject("alice")))["name"] == "sub_alice"


@pytest.mark.parametrize(
    "nats_claims",
    [
        {"bearer_token": True},
        {"pub": {"allow": [">"]}},
        {"sub": {"allow": [">"]}},
        {"src": ["127.0.0.0/8"]},
        {"times": [{"start": "00:00:00", "end": "23:59:59"}]},
        {"allowed_connection_types": ["STANDARD"]},
        {"subs": 1000},
        {"issuer_account": KeyPair.generate(KeyKind.ACCOUNT).public},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_a_user_jwt_that_brings_its_own_permissions_is_refused(friends, tmp_path, nats_claims):
    with pytest.raises(Denied):
        await friends.link(minted(friends, tmp_path, nats_claims=nats_claims))


async def test_a_jwt_before_its_time_is_refused(friends, tmp_path):
    with pytest.raises(Denied):
        await friends.link(minted(friends, tmp_path, nbf=int((datetime.now(UTC) + HOUR).timestamp())))


async def test_an_expired_jwt_is_refused(friends, tmp_path):
    with pytest.raises((CredsExpired, Denied)):
        await friends.link(minted(friends, tmp_path, exp=int((datetime.now(UTC) - HOUR).timestamp())))


async def test_a_revoked_jwt_is_refused(friends):
    await revoke(friends.up.desk, "alice", now=datetime.now(UTC))
    with pytest.raises(Denied):
        await friends.link("alice")


def around(now: datetime, start_h: int, end_h: int) -> str:
    return f"{now + start_h * HOUR:%H:%M}-{now + end_h * HOUR:%H:%M}"


async def limited(operator, tmp_path, **limits):
    """The creds file of a new user with limits of his own."""
    wanted = Invitation(
        "carol",
        ("signals.fda.*",),
        None,
        constraints_from(limits.get("cidrs", ()), limits.get("hours", ()), limits.get("tz"), limits.get("ws", False)),
    )
    made = await invite(operator.up.desk, wanted, Handover(tmp_path / "carol.invite"), now=datetime.now(UTC))
    assert made.report.is_complete, made.report.as_dict()
    return operator.creds_path("carol")


async def test_a_friend_is_let_in_from_his_addresses_only(friends, tmp_path):
    with pytest.raises(Denied):
        await friends.link(await limited(friends, tmp_path, cidrs=["203.0.113.0/24", "2001:db8::/32"]))


async def test_a_friend_is_let_in_from_one_of_his_addresses(friends, tmp_path):
    link = await friends.link(await limited(friends, tmp_path, cidrs=["203.0.113.0/24", "127.0.0.0/8"]))
    assert (await link.api(info_subject("carol")))["name"] == "sub_carol"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
async def test_a_friend_is_let_in_at_his_hours(friends, tmp_path, zone):
    now = datetime.now(ZoneInfo(zone))
    # Two ranges, so that the split at midnight (one second is shut) does not decide when the test runs at 23:59.
    hours = [around(now, -1, 2), around(now, -2, 1)]
    link = await friends.link(await limited(friends, tmp_path, hours=hours, tz=zone))
    assert (await link.api(info_subject("carol")))["name"] == "sub_carol"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
async def test_a_friend_is_refused_outside_his_hours(friends, tmp_path, zone):
    now = datetime.now(ZoneInfo(zone))
    with pytest.raises(Denied):
        await friends.link(await limited(friends, tmp_path, hours=[around(now, 2, 4), around(now, -6, -2)], tz=zone))


async def test_a_websocket_friend_is_refused_on_the_plain_port(friends, tmp_path):
    # The invite names the public address, so there has to be one; the scope is what is tried here.
    desk = friends.up.desk
    keep_settings(desk, replace(kept_settings(desk), public=("wss://signals.example.org:443",)))
    creds = await limited(friends, tmp_path, ws=True)
    with pytest.raises(Denied):
        await friends.link(creds)


async def test_a_websocket_friend_is_let_in_over_wss_and_over_nothing_else(data_dir, tmp_path):
    wanted = Invitation("carol", ("signals.fda.*",), None, constraints_from((), (), None, True))
    async with secure_operator(data_dir) as secure:
        made = await invite(secure.up.desk, wanted, Handover(tmp_path / "carol.invite"), now=datetime.now(UTC))
        handed = read_invite(made.file, str)
        assert [each.split(":")[0] for each in handed.servers] == ["wss"]
        assert handed.ca_certificate is not None
        link = await secure.link("carol", "wss")
        assert (await link.api(info_subject("carol")))["name"] == "sub_carol"
        with pytest.raises(Denied):
            await secure.link("carol", "tls")


async def test_the_key_of_a_limited_friend_opens_nothing_for_another_name(friends, tmp_path):
    await limited(friends, tmp_path, cidrs=["127.0.0.0/8"])
    desk, pair = friends.up.desk, KeyPair.generate(KeyKind.USER)
    scope = KeyPair.from_seed((desk.users / "carol" / "scope.seed").read_text().strip())
    account = read_vault(desk.vault).account_keys[Account.FRIENDS]
    claims = user_claims(
        pair.public, name="alice", role=RoleName.SUBSCRIBER, account=account, issued_at=datetime.now(UTC)
    )
    path = tmp_path / "forged.creds"
    write_secret(path, creds_text(signed_jwt(claims, scope), pair.seed))
    link = await friends.link(path)
    with pytest.raises(Denied):
        await link.api(info_subject("alice"), timeout_s=2)


@pytest.mark.parametrize("subject", ["signals.>", "signals.*.*", ">", "_INBOX_bob.>", "heartbeat.>"])
async def test_a_queue_group_opens_nothing(friends, subject):
    denied = asyncio.Event()

    async def on_error(error):
        if "permissions violation" in str(error).lower():
            denied.set()

    client = await nats.connect(
        friends.url, user_credentials=str(friends.creds_path("alice")), error_cb=on_error, inbox_prefix=b"_INBOX_alice"
    )
    try:
        await client.subscribe(subject, queue="workers")
        async with asyncio.timeout(5):
            await denied.wait()
    finally:
        await client.close()


async def test_a_friend_cannot_log_in_as_a_leaf_node(friends, tmp_path, until, unused_tcp_port):
    """Also where a leaf-node port is open: neither his connection types nor his account admit one."""
    desk, binary = friends.up.desk, find_binary(None)
    creds = friends.creds_path("alice")
    await friends.stop()
    leaf_port, hub_log, leaf_log = unused_tcp_port, tmp_path / "hub.log", tmp_path / "leaf.log"
    conf = desk.server_conf.read_text().replace(str(desk.server_log), str(hub_log))
    hub_conf, leaf_conf = tmp_path / "hub.conf", tmp_path / "leaf.conf"
    hub_conf.write_text(f'{conf}\nleafnodes {{ listen: "127.0.0.1:{leaf_port}" }}\n')
    leaf_conf.write_text(
        f'listen: "127.0.0.1:-1"\nlog_file: "{leaf_log}"\n'
        f'leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{leaf_port}", credentials: "{creds}" }} ] }}\n'
    )
    running = [await asyncio.create_subprocess_exec(str(binary), "-c", str(hub_conf))]
    try:
        await until(lambda: hub_log.exists() and "Server is ready" in hub_log.read_text(), what="hub is up")
        running.append(await asyncio.create_subprocess_exec(str(binary), "-c", str(leaf_conf)))
        await until(
            lambda: leaf_log.exists() and "authorization violation" in leaf_log.read_text().lower(),
            what="the leaf node is refused",
        )
    finally:
        for process in running:
            process.terminate()
            await process.wait()
