"""Pushing account JWTs: what must not be overwritten, what a half-failed push says, and a cluster of three servers."""

import asyncio
import contextlib
import signal
import socket
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signal_admin.actions import revoke, set_filters, sync
from signal_admin.claims import signed_jwt
from signal_admin.commit import Outcome
from signal_admin.desk import ServerRecord, make_desk
from signal_admin.issuing import issue_accounts, issue_own_creds
from signal_admin.registry import read_user
from signal_admin.resolver import Pushed, checked_copy, look_up, push
from signal_admin.server.binary import find_binary
from signal_admin.system import all_servers, answers, connections_of, kick
from signal_admin.users import add_user
from signal_admin.vault import make_vault, read_vault
from signal_contract.creds import claims_of, read_creds
from signal_contract.errors import Conflict, CredsRevoked, InputError, LinkError
from signal_contract.link import Link
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.topology import Account, info_subject

FDA = ("signals.fda.*",)


def now() -> datetime:
    return datetime.now(UTC)


def friends_key(desk) -> str:
    return read_vault(desk.vault).account_keys[Account.FRIENDS]


def friends_jwt(desk) -> str:
    return (desk.accounts / "FRIENDS.jwt").read_text().strip()


async def planted(operator, *, by: KeyPair | None = None, seconds: int = 0, **changed) -> str:
    """Push account FRIENDS by hand: signed by `by` or by us, issued `seconds` later than our last, with changes."""
    desk = operator.up.desk
    claims = claims_of(friends_jwt(desk))
    claims = {**claims, "iat": claims["iat"] + seconds, "nats": {**claims["nats"], **changed}}
    jwt = signed_jwt(claims, by or read_vault(desk.vault).operator_signing)
    await answers(await operator.link("system"), "$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), expected=1)
    return jwt


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", list(FDA))
    return operator


async def test_what_is_pushed_is_what_the_server_has_afterwards(friends):
    desk, system = friends.up.desk, await friends.link("system")
    pushed = await push(system, friends_jwt(desk), friends_key(desk))
    assert pushed.is_complete
    assert (pushed.servers, pushed.accepted) == (("catalyst",), ("catalyst",))
    assert await look_up(system, friends_key(desk)) == friends_jwt(desk)


async def test_an_account_of_an_unknown_operator_is_never_built_upon(friends):
    await planted(friends, by=KeyPair.generate(KeyKind.OPERATOR), seconds=60)
    with pytest.raises(Conflict, match="unknown operator"):
        await revoke(friends.up.desk, "alice", now=now())
    assert read_user(friends.up.desk, "alice").revoked_at is None


async def test_a_newer_account_from_another_copy_of_the_desk_is_not_overwritten(friends):
    await planted(friends, seconds=60, revocations={"*": 1})
    with pytest.raises(Conflict, match="newer"):
        await set_filters(friends.up.desk, "alice", ("signals.*.*",), now=now())
    assert read_user(friends.up.desk, "alice").filters == FDA


async def test_an_older_account_that_takes_a_revocation_back_is_repaired(friends):
    desk = friends.up.desk
    await revoke(desk, "alice", now=now())
    await planted(friends, seconds=-60, revocations={})
    (whole,) = await sync(desk, now=now())
    assert whole.is_complete
    assert await look_up(await friends.link("system"), friends_key(desk)) == friends_jwt(desk)
    assert claims_of(friends_jwt(desk))["nats"]["revocations"]


async def test_what_is_no_jwt_is_refused_and_reported_in_the_servers_words(friends):
    desk = friends.up.desk
    pushed = await push(await friends.link("system"), "not.a.jwt", friends_key(desk))
    assert not pushed.is_complete
    assert "catalyst refused" in pushed.in_words
    assert await look_up(await friends.link("system"), friends_key(desk)) == friends_jwt(desk)


async def test_an_account_that_would_not_fit_into_a_message_is_refused_before_it_is_sent(friends):
    with pytest.raises(InputError, match="grown"):
        await push(await friends.link("system"), "x" * 130_000, friends_key(friends.up.desk))


async def _durable_seen_by(link):
    """The durable's name; asked again where a question went down with the old connection."""
    async with asyncio.timeout(15):
        while True:
            with contextlib.suppress(LinkError):
                return (await link.api(info_subject("alice"), timeout_s=0.5))["name"]


async def test_a_single_connection_is_closed_and_the_client_comes_back(friends):
    alice, system = await friends.link("alice"), await friends.link("system")
    servers = await all_servers(system)
    key = read_user(friends.up.desk, "alice").public_key
    (connection,) = await connections_of(system, [key], servers)
    await kick(system, connection)
    assert await _durable_seen_by(alice) == "sub_alice"
    (again,) = await connections_of(system, [key], servers)
    assert again.cid != connection.cid


async def test_connections_of_nobody_are_none(friends):
    system = await friends.link("system")
    assert await connections_of(system, [KeyPair.generate(KeyKind.USER).public], await all_servers(system)) == ()


@pytest.mark.parametrize(
    ("push_result", "words"),
    [
        (Pushed(("a", "b"), ("a",), {}, ("b",), True), "accepted by 1 of 2 servers; b did not answer"),
        (Pushed(("a", "b"), ("a",), {"b": "no"}, (), True), "accepted by 1 of 2 servers; b refused: no"),
        (Pushed(("a",), ("a",), {}, (), False), "accepted by 1 of 1 servers; a look-up afterwards shows another JWT"),
    ],
)
def test_a_push_that_is_not_complete_says_where_it_failed(push_result, words):
    assert not push_result.is_complete
    assert push_result.in_words == words


def test_a_copy_that_is_ours_or_absent_may_be_replaced():
    signer = KeyPair.generate(KeyKind.OPERATOR)
    ours = signed_jwt({"iat": 10, "name": "FRIENDS"}, signer)
    older = signed_jwt({"iat": 9, "name": "FRIENDS", "x": 1}, signer)
    for theirs in ("", ours, older):
        checked_copy(theirs, ours, frozenset({signer.public}))
    with pytest.raises(Conflict, match="cannot be read"):
        checked_copy("garbage", ours, frozenset({signer.public}))


# A cluster of three -----------------------------------------------------------------------------------------------


@dataclass
class Cluster:
    """Three nats-servers with the desk's accounts, without JetStream: for account JWTs and connections only."""

    desk: object
    urls: list[str]
    processes: list[asyncio.subprocess.Process]
    stack: AsyncExitStack

    async def link(self, creds: Path, node: int) -> Link:
        return await self.stack.enter_async_context(await Link.open([self.urls[node]], read_creds(creds), label="test"))


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def node_conf(folder: Path, issued, node: int, clients: list[int], routes: list[int]) -> str:
    preload = "\n".join(f"  {issued.keys[account]}: {jwt}" for account, jwt in issued.accounts.items())
    others = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in routes if port != routes[node])
    return f"""
listen: "127.0.0.1:{clients[node]}"
server_name: n{node}
max_control_line: 8KB
log_file: "{folder}/n{node}.log"
operator: {issued.operator_jwt}
system_account: {issued.keys[Account.SYS]}
resolver {{ type: full, dir: "{folder}/jwt{node}", allow_delete: true, interval: "5s" }}
resolver_preload: {{
{preload}
}}
cluster {{ name: c, listen: "127.0.0.1:{routes[node]}", routes: [{others}] }}
"""


@pytest.fixture
async def cluster(tmp_path, until):
    desk = make_desk(tmp_path / "data")
    make_vault(desk.vault)
    vault = read_vault(desk.vault)
    issued = issue_accounts(desk, vault, now())
    issue_own_creds(desk, vault, now())
    await add_user(desk, "alice", FDA, now=now())
    clients, routes = free_ports(3), free_ports(3)
    processes = []
    for node in range(3):
        conf = tmp_path / f"n{node}.conf"
        conf.write_text(node_conf(tmp_path, issued, node, clients, routes))
        processes.append(await asyncio.create_subprocess_exec(str(find_binary(None)), "-c", str(conf)))
    urls = [f"nats://127.0.0.1:{port}" for port in clients]
    desk.write_server_record(ServerRecord(urls[0], 1, processes[0].pid, now().isoformat()))
    logs = [tmp_path / f"n{node}.log" for node in range(3)]
    await until(lambda: all(log.exists() and "Server is ready" in log.read_text() for log in logs), what="nodes are up")
    async with AsyncExitStack() as stack:
        made = Cluster(desk, urls, processes, stack)
        await is_whole(made)
        yield made
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        await process.wait()


async def is_whole(cluster: Cluster) -> None:
    system = await cluster.link(cluster.desk.role_creds("system"), 0)
    async with asyncio.timeout(10):
        while len(await all_servers(system)) < 3:
            pass


async def test_a_revocation_closes_connections_on_every_node_of_a_cluster(cluster):
    creds = cluster.desk.users / "alice" / "alice.creds"
    links = [await cluster.link(creds, node) for node in range(3)]
    report = await revoke(cluster.desk, "alice", now=now())
    steps = {step.what: step for step in report.steps}
    assert "accepted by 3 of 3 servers" in steps["account JWT"].detail
    assert steps["live connections"].outcome is Outcome.DONE
    async with asyncio.timeout(1):
        for link in links:
            await link.closed.wait()
    assert all(isinstance(link.failure, CredsRevoked) for link in links)


async def test_a_node_that_is_silent_is_named_and_sync_brings_it_in_step(cluster):
    cluster.processes[2].send_signal(signal.SIGSTOP)
    report = await revoke(cluster.desk, "alice", now=now())
    cluster.processes[2].send_signal(signal.SIGCONT)
    step = next(each for each in report.steps if each.what == "account JWT")
    assert step.outcome is Outcome.FAILED
    assert "accepted by 2 of 3 servers; n2 did not answer" in step.detail
    whole = (await sync(cluster.desk, now=now() + timedelta(seconds=1)))[-1]
    assert "accepted by 3 of 3 servers" in next(each.detail for each in whole.steps if each.what == "account JWT")
