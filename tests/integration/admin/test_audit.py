"""Stream AUDIT on the real server: what is written stays, who comes and goes is in it, and the auditor only reads."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_admin.audit import flush_pending, pending_entries, pending_path, record
from signal_admin.audit_reading import Wanted, read_audit
from signal_admin.dial import dial
from signal_admin.issuing import mint_user
from signal_admin.vault import read_vault
from signal_contract.creds import read_creds, write_secret
from signal_contract.errors import BrokerRefused, Denied
from signal_contract.link import Link
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName


async def entries(operator, **wanted):
    async with dial(operator.up.desk, RoleName.AUDITOR, "test-audit") as link:
        return await read_audit(link, Wanted(**wanted))


async def eventually(operator, condition, *, what, **wanted):
    """The entries, as soon as one of them fulfils the condition."""
    deadline = asyncio.get_running_loop().time() + 10
    while True:
        found = [each for each in await entries(operator, **wanted) if condition(each)]
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within 10 s: {what}")


async def note(operator, link, action="user extend", target="alice", **values):
    values = {"before": {"expires_at": None}, "after": {"expires_at": "2026-06-01"}} | values
    await record(link, operator.up.desk, action=action, target=target, **values)


async def test_what_is_recorded_is_read_with_who_what_before_and_after(operator):
    await note(operator, await operator.admin_link())
    (entry,) = await entries(operator, action="user extend")
    assert "@" in entry.who
    assert (entry.target, entry.outcome) == ("alice", "done")
    assert (entry.before, entry.after) == ({"expires_at": None}, {"expires_at": "2026-06-01"})
    assert abs(entry.at - datetime.now(UTC)) < timedelta(seconds=30)


async def test_nobody_can_delete_from_it_or_purge_it(operator):
    link = await operator.admin_link()
    await note(operator, link)
    config = (await link.api("$JS.API.STREAM.INFO.AUDIT"))["config"]
    assert (config["deny_delete"], config["deny_purge"], config["storage"]) == (True, True, "file")
    with pytest.raises(BrokerRefused, match="deny"):
        await link.api("$JS.API.STREAM.UPDATE.AUDIT", config | {"deny_delete": False})
    with pytest.raises(BrokerRefused, match="deny"):
        await link.api("$JS.API.STREAM.UPDATE.AUDIT", config | {"deny_purge": False})
    for subject in ("STREAM.PURGE.AUDIT", "STREAM.MSG.DELETE.AUDIT", "STREAM.DELETE.AUDIT"):
        with pytest.raises(Denied):
            await link.request(f"$JS.API.{subject}", b"{}", timeout_s=2)
    assert await entries(operator, action="user extend")


async def test_the_auditor_reads_and_does_nothing_else(operator):
    link = await operator.link("auditor")
    subjects = ("audit.user", "WATCH.STREAM.INFO.SIGNALS", "$JS.API.STREAM.DELETE.AUDIT", "control.all.halt")
    for subject in (*subjects, "$JS.API.DIRECT.GET.AUDIT", "$JS.API.CONSUMER.CREATE.AUDIT", "signals.fda.AAPL"):
        with pytest.raises(Denied):
            await link.request(subject, b"{}", timeout_s=2)


@pytest.mark.parametrize("role", ["publisher", "monitor", "alice"])
async def test_nobody_else_writes_into_it(operator, role):
    await operator.add_user("alice", ["signals.fda.*"])
    link = await operator.link(role)
    with pytest.raises(Denied):
        await link.request("audit.user-extend", b"{}", timeout_s=2)


async def test_secrets_never_reach_it(operator):
    seed = KeyPair.generate(KeyKind.USER).seed
    signing = read_vault(operator.up.desk.vault).signer.secret_text
    await note(operator, await operator.admin_link(), after={"creds": [f"x {seed} y"], "seed": signing}, outcome=seed)
    await note(operator, None, before=seed, target=signing)
    (entry,) = await entries(operator, action="user extend")
    shown = orjson.dumps(entry.as_dict()).decode() + pending_path(operator.up.desk).read_text()
    assert seed not in shown
    assert signing not in shown
    assert shown.count("<secret removed>") == 5


async def test_entries_of_a_stopped_server_wait_and_are_stored_once(operator):
    desk = operator.up.desk
    for number in range(3):
        await note(operator, None, target=f"user{number}")
    with pending_path(desk).open("ab") as file:
        file.write(b'{"half a li')
    await note(operator, None, target="user3")
    waiting = pending_entries(desk)
    assert [each.target for each in waiting] == ["user0", "user1", "user2", "audit-pending.jsonl", "user3"]
    content = pending_path(desk).read_bytes()
    link = await operator.admin_link()
    assert await flush_pending(link, desk) == 5
    assert not pending_path(desk).exists()
    # A crash before the file was removed: all is sent again.
    write_secret(pending_path(desk), content.decode())
    assert await flush_pending(link, desk) == 5
    stored = await entries(operator, action="user extend")
    assert [each.target for each in stored] == ["user0", "user1", "user2", "user3"]
    (damaged,) = await entries(operator, action="damaged-entry")
    assert damaged.after == '{"half a li'


async def test_a_server_that_dies_meanwhile_loses_no_entry(operator, until):
    link = await operator.admin_link()
    pid = operator.kill_server()
    await note(operator, link)
    await operator.wait_restarted(pid)
    await until(lambda: link.is_connected, what="the link is back")
    stored = await flush_pending(link, operator.up.desk)
    assert stored + len(await entries(operator, action="user extend")) >= 1
    assert len(await entries(operator, action="user extend")) == 1


async def test_an_entry_that_is_too_large_is_kept_by_its_size(operator):
    await note(operator, await operator.admin_link(), after=["x" * 1000] * 200)
    (entry,) = await entries(operator, action="user extend")
    assert entry.after["too_large"] > 200_000


async def test_more_entries_than_a_batch_are_read_in_order_and_cut_to_the_newest(operator):
    link = await operator.admin_link()
    async with asyncio.TaskGroup() as group:
        for number in range(1100):
            group.create_task(note(operator, link, target=f"u{number}", before=None, after=number))
    found = await entries(operator, action="user extend", limit=5000)
    assert len(found) == 1100
    assert sorted(each.after for each in found) == list(range(1100))
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert await entries(operator, action="user extend", limit=7) == found[-7:]
    assert await entries(operator, user="u1099") == tuple(each for each in found if each.target == "u1099")
    assert await entries(operator, since=datetime.now(UTC) + timedelta(hours=1)) == ()


async def test_connects_and_disconnects_are_written_with_name_key_and_address(operator):
    creds = read_creds((await operator.add_user("alice", ["signals.fda.*"])).with_name("alice.creds"))

    # The tail may still be connecting: visit until it was seen.
    deadline = asyncio.get_running_loop().time() + 10
    while not (seen := await entries(operator, user="alice", action="disconnect")):
        assert asyncio.get_running_loop().time() < deadline, "no disconnect was written"
        await (await Link.open([operator.url], creds, label="agent of alice")).close()
    assert seen[0].who == "nats-server"
    assert (seen[0].target, seen[0].outcome) == ("alice", "Client Closed")
    assert seen[0].after["ip"] == "127.0.0.1"
    assert seen[0].after["public_key"] == creds.public_key
    (connect, *_) = await eventually(operator, lambda each: True, what="a connect", user="alice", action="connect")
    assert connect.after["client"] == "agent of alice"
    assert creds.jwt not in orjson.dumps([each.as_dict() for each in seen]).decode()


async def test_a_refused_log_in_is_written_once_with_the_claimed_name(operator):
    vault = read_vault(operator.up.desk.vault)
    now = datetime.now(UTC)
    _, content = mint_user(
        vault,
        name="mallory",
        role=RoleName.SUBSCRIBER,
        issued_at=now - timedelta(days=2),
        expires_at=now - timedelta(days=1),
    )[:2]
    path = operator.data / "mallory.creds"
    write_secret(path, content)

    def is_mallory(entry):
        return entry.target == "mallory"

    deadline = asyncio.get_running_loop().time() + 10
    attempts = 0
    while not any(map(is_mallory, await entries(operator, action="auth-failure"))):
        assert asyncio.get_running_loop().time() < deadline, "no refused log-in was written"
        attempts += 1
        with pytest.raises(Denied):
            await Link.open([operator.url], read_creds(path), label="mallory")
    found = await entries(operator, user="mallory")
    assert 1 <= len(found) <= attempts
    assert {each.action for each in found} == {"auth-failure"}
    assert {each.after["ip"] for each in found} == {"127.0.0.1"}


async def test_the_tail_goes_on_after_the_server_was_killed(operator):
    creds = read_creds((await operator.add_user("alice", ["signals.fda.*"])).with_name("alice.creds"))
    await operator.restart()
    deadline = asyncio.get_running_loop().time() + 15
    while not await entries(operator, user="alice", action="connect"):
        assert asyncio.get_running_loop().time() < deadline, "nothing was written after the restart"
        await (await Link.open([operator.url], creds, label="agent of alice")).close()
    assert not operator.up.watching.done()
