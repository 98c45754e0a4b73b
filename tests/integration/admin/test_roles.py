"""Every line of every role on a real server, both ways: what is in its table works, what is in another's is denied."""

import pytest

from signal_contract.delivery import LinkEvent
from signal_contract.errors import BrokerRefused
from signal_contract.permissions import NAME, ROLES, RoleName
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import AUDIT_BATCH_SUBJECT

USER = {role: "alice" if role is RoleName.SUBSCRIBER else role.value for role in RoleName}


def written(subject: str, role: RoleName) -> str:
    return subject.replace(NAME, USER[role])


def concrete(pattern: str) -> str:
    """One subject that a pattern allows."""
    return ".".join({"*": "x", ">": "x.y"}.get(token, token) for token in pattern.split("."))


def covers(pattern: str, subject: str) -> bool:
    """Whether every subject of the second is one of the first (NATS wildcards)."""
    ours, theirs = pattern.split("."), subject.split(".")
    for at, token in enumerate(ours):
        if token == ">":
            return len(theirs) > at
        if at >= len(theirs) or (token != theirs[at] and (token != "*" or theirs[at] == ">")):
            return False
    return len(ours) == len(theirs)


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    return operator


async def denied(operator, role: RoleName, publish=(), subscribe=()) -> set[str]:
    """Those of the subjects that the server denies this role."""
    notices = []
    link = await operator.link(USER[role], notices.append)

    async def ignore(_delivery):
        pass

    for subject in publish:
        await link.publish(subject, b"")
    for subject in subscribe:
        subscription = await link.subscribe(subject, ignore)
        await link.flush()
        await subscription.unsubscribe()
    await link.flush()
    said = " ".join(each.detail for each in notices if each.event is LinkEvent.DENIED).lower()
    assert link.is_connected
    return {f"publish {each}" for each in publish if f'publish to "{each}"'.lower() in said} | {
        f"subscribe {each}" for each in subscribe if f'subscription to "{each}"'.lower() in said
    }


@pytest.mark.parametrize("role", list(RoleName))
async def test_every_line_of_the_roles_table_is_allowed(friends, role):
    publish = [concrete(written(each, role)) for each in ROLES[role].publish]
    subscribe = [written(each, role) for each in ROLES[role].subscribe]
    assert await denied(friends, role, publish, subscribe) == set()


@pytest.mark.parametrize("role", list(RoleName))
async def test_every_line_of_another_role_is_denied(friends, role):
    own_publish = [written(each, role) for each in ROLES[role].publish]
    own_subscribe = [written(each, role) for each in ROLES[role].subscribe]
    others = [(other, ROLES[other]) for other in RoleName if other is not role]
    publish = {
        concrete(written(each, other))
        for other, table in others
        for each in table.publish
        if not any(covers(own, concrete(written(each, other))) for own in own_publish)
    }
    subscribe = {
        written(each, other)
        for other, table in others
        for each in table.subscribe
        if not any(covers(own, written(each, other)) for own in own_subscribe)
    }
    assert len(publish) >= 20
    refused = await denied(friends, role, sorted(publish), sorted(subscribe))
    assert refused == {f"publish {each}" for each in publish} | {f"subscribe {each}" for each in subscribe}


@pytest.mark.parametrize("role", list(RoleName))
async def test_no_role_may_read_or_write_everything(friends, role):
    publish = ["$JS.API.STREAM.DELETE.SIGNALS", "$JS.API.STREAM.PURGE.AUDIT", "$JS.API.STREAM.DELETE.AUDIT", "x"]
    subscribe = [">", "*.>", "_INBOX.>", "_INBOX_alice2.>", "$JS.>", "$SYS.>", "$SYS.REQ.>", "audit.>", "feedback.>"]
    refused = await denied(friends, role, publish, subscribe)
    assert len(refused) == len(publish) + len(subscribe)


async def test_the_auditor_reads_the_log_and_the_admin_writes_it(friends):
    admin, auditor = await friends.admin_link(), await friends.link("auditor")
    stored = await admin.publish_stored("audit.test", b'{"x":1}', headers={MESSAGE_ID_HEADER: "t"})
    assert stored.stream == "AUDIT"
    info = await auditor.api("WATCH.STREAM.INFO.AUDIT")
    assert info["state"]["last_seq"] >= stored.sequence
    got = await auditor.request(AUDIT_BATCH_SUBJECT, b'{"seq":%d}' % stored.sequence)
    assert got.data == b'{"x":1}'
    message = (await auditor.api("WATCH.STREAM.MSG.GET.AUDIT", {"seq": stored.sequence}))["message"]
    assert message["subject"] == "audit.test"


async def test_the_audit_log_cannot_be_shortened_even_by_an_update(friends):
    admin = await friends.admin_link()
    config = (await admin.api("$JS.API.STREAM.INFO.AUDIT"))["config"]
    for change in ({"deny_delete": False}, {"deny_purge": False}):
        with pytest.raises(BrokerRefused):
            await admin.api("$JS.API.STREAM.UPDATE.AUDIT", {**config, **change})
