"""What each role may do and may not do, proven against the server, both ways: the table of attacks of a bad friend."""

from datetime import UTC, datetime

import pytest

from signal_admin.apply import read_durables
from signal_admin.claims import signed_jwt, user_claims
from signal_admin.vault import read_vault
from signal_contract.creds import creds_text, write_secret
from signal_contract.delivery import LinkEvent
from signal_contract.errors import BrokerRefused, CredsInvalid, Denied, RequestTimedOut
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import ROLES, RoleName
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import (
    ALL_CONTROL,
    ALL_SIGNALS,
    AUDIT_BATCH_SUBJECT,
    USERS_CONTROL,
    WATCH_PREFIX,
    Account,
    info_subject,
    is_own_ack,
    pull_subject,
)

DELETE_STREAM = "$JS.API.STREAM.DELETE.SIGNALS"
DELETE_BOB = "$JS.API.CONSUMER.DELETE.SIGNALS.sub_bob"

FRIEND_MAY_NOT_PUBLISH = (
    "signals.fda.AAPL",
    "control.all.halt",
    "control.user.bob.halt",
    "heartbeat.publisher",
    "$JS.API.INFO",
    DELETE_STREAM,
    "$JS.API.STREAM.INFO.SIGNALS",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.STREAM.UPDATE.SIGNALS",
    "$JS.API.STREAM.PURGE.SIGNALS",
    "$JS.API.STREAM.SNAPSHOT.SIGNALS",
    "$JS.API.STREAM.MSG.GET.SIGNALS",
    "$JS.API.STREAM.MSG.DELETE.SIGNALS",
    "$JS.API.DIRECT.GET.SIGNALS",
    "$JS.API.DIRECT.GET.SIGNALS.signals.fda.AAPL",
    "$JS.API.CONSUMER.CREATE.SIGNALS",
    "$JS.API.CONSUMER.CREATE.SIGNALS.sub_alice.signals.*.*",
    "$JS.API.CONSUMER.DURABLE.CREATE.SIGNALS.sub_x",
    DELETE_BOB,
    "$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice",
    "$JS.API.CONSUMER.PAUSE.SIGNALS.sub_alice",
    "$JS.API.CONSUMER.RESET.SIGNALS.sub_alice",
    "$JS.API.CONSUMER.LIST.SIGNALS",
    "$JS.API.CONSUMER.NAMES.SIGNALS",
    "$JS.API.CONSUMER.INFO.SIGNALS.sub_alice",
    "$JS.API.CONSUMER.MSG.NEXT.SIGNALS.sub_alice",
    "FEED.CONSUMER.INFO.SIGNALS.sub_bob",
    "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
    "FEED.CONSUMER.DELETE.SIGNALS.sub_alice",
    "FEED.STREAM.DELETE.SIGNALS",
    "$JS.ACK.SIGNALS.sub_bob.1.1.1.1.0",
    "$JS.ACK.a.b.SIGNALS.sub_bob.1.1.1.1.0",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$SYS.REQ.SERVER.x.KICK",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.x.CLAIMS.LOOKUP",
    "$SYS.REQ.USER.AUTH",
    "$JS.API.STREAM.INFO.AUDIT",
    "$JS.API.STREAM.MSG.GET.AUDIT",
    "$JS.API.DIRECT.GET.AUDIT",
    "$JS.API.STREAM.DELETE.AUDIT",
    "$JS.API.STREAM.INFO.FEEDBACK",
    "$JS.API.STREAM.MSG.GET.FEEDBACK",
    "$JS.API.STREAM.PURGE.FEEDBACK",
    "FEED.STREAM.MSG.GET.FEEDBACK",
    "audit.user-revoke",
    "WATCH.STREAM.INFO.SIGNALS",
    "WATCH.CONSUMER.LIST.SIGNALS",
    "WATCH.CONSUMER.INFO.SIGNALS.sub_alice",
    "WATCH.DIRECT.GET.AUDIT",
    "$KV.x.y",
    "_INBOX_bob.x",
    "_INBOX.x",
    "_R_.x",
    "feedback.bob.decision",
    "feedback.alice.other",
    "feedback.alice",
    "anything",
)
FRIEND_MAY_NOT_SUBSCRIBE = (
    "signals.>",
    "signals.*.*",
    "control.>",
    ">",
    "*",
    "_INBOX.>",
    "_INBOX_bob.>",
    "*.>",
    "*.*.*",
    "$JS.>",
    "$JS.ACK.>",
    "$SYS.>",
    "heartbeat.>",
    "feedback.>",
    "audit.>",
    "FEED.>",
    "WATCH.>",
    "_R_.>",
)


def denials(notices) -> list[str]:
    return [notice.detail for notice in notices if notice.event is LinkEvent.DENIED]


async def not_denied(link, notices, *, publish=(), subscribe=()) -> list[str]:
    """Those of the subjects that the server did not deny."""

    async def ignore(_delivery):
        pass

    for subject in publish:
        await link.publish(subject, b"{}")
    for subject in subscribe:
        subscription = await link.subscribe(subject, ignore)
        await link.flush()
        await subscription.unsubscribe()
    await link.flush()
    said = denials(notices)
    return [s for s in publish if f'Publish to "{s}"'.lower() not in " ".join(said).lower()] + [
        s for s in subscribe if f'Subscription to "{s}"'.lower() not in " ".join(said).lower()
    ]


async def store(operator, *tickers: str, catalyst: str = "fda") -> None:
    link = await operator.link("publisher")
    for ticker in tickers:
        await link.publish_stored(f"signals.{catalyst}.{ticker}", b"{}", headers={MESSAGE_ID_HEADER: ticker})


async def pull(link, user: str, batch: int = 10) -> list:
    """What one pull without waiting brings; ends with the batch or a status message."""
    import asyncio

    inbox, got, over = link.new_inbox(), [], asyncio.Event()

    async def on_message(delivery):
        if delivery.status:
            over.set()
        else:
            got.append(delivery)
            if len(got) == batch:
                over.set()

    subscription = await link.subscribe(inbox, on_message)
    await link.publish(pull_subject(user), b'{"batch":%d,"no_wait":true}' % batch, reply=inbox)
    await asyncio.wait_for(over.wait(), 5)
    await subscription.unsubscribe()
    return got


async def state(operator) -> tuple:
    """All that an attack could have changed."""
    link = await operator.admin_link()
    info = await link.api("$JS.API.STREAM.INFO.SIGNALS")
    names = await link.api("$JS.API.CONSUMER.NAMES.SIGNALS")
    bob = await link.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_bob")
    reports = await link.api("$JS.API.STREAM.INFO.FEEDBACK", {"subjects_filter": "feedback.bob.>"})
    return (
        info["created"],
        info["config"],
        info["state"]["last_seq"],
        info["state"]["messages"],
        sorted(names["consumers"]),
        bob["created"],
        bob["num_pending"],
        bob["num_ack_pending"],
        bob["ack_floor"]["stream_seq"],
        reports["created"],
        reports["config"],
        reports["state"].get("subjects"),
    )


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await operator.add_user("bob", ["signals.merger.*"])
    return operator


async def test_a_friend_pulls_and_acks_what_he_may_read_and_nothing_else(friends):
    await store(friends, "AAPL", "BRK_B")
    await store(friends, "MSFT", catalyst="merger")
    alice = await friends.link("alice")
    got = await pull(alice, "alice")
    assert [each.subject for each in got] == ["signals.fda.AAPL", "signals.fda.BRK_B"]
    assert all(is_own_ack(each.reply, "alice") for each in got)
    for each in got:
        await alice.request(each.reply, b"+ACK")
    info = await (await friends.admin_link()).api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert (info["num_ack_pending"], info["ack_floor"]["stream_seq"]) == (0, 2)


async def test_a_friend_reads_the_state_of_his_own_durable(friends):
    alice = await friends.link("alice")
    assert (await alice.api(info_subject("alice")))["name"] == "sub_alice"
    with pytest.raises(Denied):
        await alice.api(info_subject("bob"))


async def test_a_friend_receives_control_messages_in_order_with_signals(friends):
    await store(friends, "AAPL")
    admin = await friends.admin_link()
    await admin.publish_stored("control.all.halt", b"{}", headers={MESSAGE_ID_HEADER: "h"})
    await admin.publish_stored("control.user.bob.halt", b"{}", headers={MESSAGE_ID_HEADER: "b"})
    await store(friends, "MSFT")
    got = await pull(await friends.link("alice"), "alice")
    assert [each.subject for each in got] == ["signals.fda.AAPL", "control.all.halt", "signals.fda.MSFT"]


async def test_every_attack_of_a_friend_is_denied_and_changes_nothing(friends):
    await store(friends, "AAPL")
    await store(friends, "MSFT", catalyst="merger")
    before = await state(friends)
    notices = []
    alice = await friends.link("alice", notices.append)
    allowed = await not_denied(alice, notices, publish=FRIEND_MAY_NOT_PUBLISH, subscribe=FRIEND_MAY_NOT_SUBSCRIBE)
    assert allowed == []
    assert await state(friends) == before


@pytest.mark.parametrize(
    "target",
    [
        DELETE_STREAM,
        DELETE_BOB,
        "$JS.API.STREAM.PURGE.SIGNALS",
        "$JS.API.STREAM.PURGE.FEEDBACK",
        "$JS.API.STREAM.DELETE.FEEDBACK",
        "signals.fda.FORGED",
        "control.all.halt",
        "_INBOX_bob.x",
        "$SYS.REQ.SERVER.PING",
        "feedback.bob.status",
        "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
        "$JS.ACK.SIGNALS.sub_bob.1.2.1.1.0",
        "feedback.bob.decision",
        "WATCH.CONSUMER.LIST.SIGNALS",
    ],
)
async def test_a_reply_subject_cannot_carry_the_servers_authority(friends, target):
    await store(friends, "AAPL", "MSFT", "NVDA")
    await store(friends, "F", catalyst="merger")
    alice = await friends.link("alice")
    (first,) = await pull(alice, "alice", batch=1)
    before = await state(friends)
    carriers = {
        pull_subject("alice"): b'{"batch":1,"no_wait":true}',
        first.reply: b"+NXT",
        info_subject("alice"): b"",
        f"{first.reply}": b"+ACK",
        "feedback.alice.decision": b"{}",
        "feedback.alice.status": b"not json",
    }
    for carrier, body in carriers.items():
        await alice.publish(carrier, body, reply=target)
    await alice.publish(pull_subject("alice"), b'{"batch":9,"no_wait":true}', reply=target)
    await alice.publish(pull_subject("alice"), b"not json", reply=target)
    await alice.flush()
    # A later answer on the same connection: what was sent before has been worked through.
    await alice.api(info_subject("alice"))
    assert await state(friends) == before


BATCH = b'{"seq":1,"batch":10}'
OBSERVERS_CARRIERS = {
    RoleName.MONITOR: {
        "WATCH.STREAM.INFO.SIGNALS": (b"", b'{"subjects_filter":">"}', b"not json"),
        "WATCH.CONSUMER.INFO.SIGNALS.sub_bob": (b"", b"not json"),
        "WATCH.CONSUMER.INFO.SIGNALS.sub_nobody": (b"",),
        "WATCH.CONSUMER.LIST.SIGNALS": (b"", b'{"offset":0}', b"not json"),
    },
    RoleName.AUDITOR: {
        "WATCH.STREAM.INFO.AUDIT": (b"", b"not json"),
        "WATCH.STREAM.MSG.GET.AUDIT": (b'{"seq":1}', b'{"seq":1000000}', b"not json"),
        AUDIT_BATCH_SUBJECT: (
            b'{"seq":1}',
            BATCH,
            b"",
            b'{"seq":1000000}',
            b'{"multi_last":["audit.>"],"batch":10}',
            b"not json",
        ),
    },
}


async def everything(operator) -> tuple:
    """As `state`, and what stream AUDIT is and holds on the subjects that no honest program uses."""
    info = await (await operator.admin_link()).api("$JS.API.STREAM.INFO.AUDIT", {"subjects_filter": "audit.forged"})
    return *await state(operator), info["created"], info["config"], info["state"].get("subjects")


@pytest.mark.parametrize("role", list(OBSERVERS_CARRIERS))
@pytest.mark.parametrize(
    "target",
    [
        DELETE_STREAM,
        DELETE_BOB,
        "$JS.API.STREAM.DELETE.AUDIT",
        "$JS.API.STREAM.PURGE.SIGNALS",
        "$JS.API.STREAM.PURGE.AUDIT",
        "$JS.API.CONSUMER.CREATE.SIGNALS",
        "$JS.API.STREAM.UPDATE.SIGNALS",
        "WATCH.STREAM.DELETE.SIGNALS",
        "WATCH.CONSUMER.DELETE.SIGNALS.sub_bob",
        "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
        "WATCH.CONSUMER.LIST.SIGNALS",
        AUDIT_BATCH_SUBJECT,
        "$JS.ACK.SIGNALS.sub_bob.1.2.1.1.0",
        "signals.fda.FORGED",
        "control.all.halt",
        "control.user.bob.halt",
        "audit.forged",
        "feedback.bob.decision",
        "heartbeat.publisher",
        "_INBOX_bob.x",
        "_INBOX_admin.x",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.CLAIMS.UPDATE",
    ],
)
async def test_a_reply_subject_cannot_carry_authority_for_those_who_look_on(friends, role, target):
    await store(friends, "AAPL")
    await store(friends, "MSFT", catalyst="merger")
    admin = await friends.admin_link()
    await admin.publish_stored("audit.test", b"{}", headers={MESSAGE_ID_HEADER: "a"})
    before = await everything(friends)
    notices = []
    link = await friends.link(role.value, notices.append)
    for carrier, bodies in OBSERVERS_CARRIERS[role].items():
        for body in bodies:
            await link.publish(carrier, body, reply=target)
    await link.flush()
    # Later answers to the same questions: what was sent before has been worked through, and each carrier does carry.
    for carrier, bodies in OBSERVERS_CARRIERS[role].items():
        await link.request(carrier, bodies[0])
    assert await everything(friends) == before
    # The carriers are allowed; one kind of reply subject the server does look at, `$JS.ACK.`.
    assert all("with reply of" in each for each in denials(notices))


@pytest.mark.parametrize("role", list(OBSERVERS_CARRIERS))
def test_every_question_of_those_who_look_on_was_tried_as_a_carrier(role):
    tried = {".".join("*" if "sub_" in part else part for part in each.split(".")) for each in OBSERVERS_CARRIERS[role]}
    assert tried == set(ROLES[role].publish)


async def test_what_is_forged_on_the_monitors_live_view_reaches_no_friend(friends, until):
    """The one thing that the trick still does within OBSERVERS: show the monitor an answer of the server."""
    seen, heard = [], []

    async def on_signal(delivery):
        seen.append(delivery.subject)

    async def on_beat(delivery):
        heard.append(delivery.data)

    monitor, alice = await friends.link("monitor"), await friends.link("alice")
    await monitor.subscribe(ALL_SIGNALS, on_signal)
    await alice.subscribe("heartbeat.publisher", on_beat)
    await monitor.flush()
    await alice.flush()
    auditor = await friends.link("auditor")
    for target in ("signals.fda.FORGED", "heartbeat.publisher"):
        await auditor.publish("WATCH.STREAM.INFO.AUDIT", reply=target)
    await until(lambda: seen == ["signals.fda.FORGED"], what="the monitor sees it")
    assert await pull(alice, "alice") == []
    await (await friends.link("publisher")).publish("heartbeat.publisher", b"1")
    await until(lambda: bool(heard), what="the heartbeat arrives")
    assert heard == [b"1"]


async def test_within_the_streams_own_account_the_same_trick_works(friends):
    """Why friends have an account of their own; and that the probes above would show it if it worked for them."""
    admin = await friends.admin_link()
    with pytest.raises(Denied):
        await admin.request("signals.fda.FORGED")
    before = await state(friends)
    await admin.publish("$JS.API.STREAM.INFO.SIGNALS", reply="signals.fda.FORGED")
    await admin.flush()
    assert (await state(friends))[2] == before[2] + 1


async def test_a_friend_may_send_feedback_of_his_own(friends):
    notices = []
    alice = await friends.link("alice", notices.append)
    allowed = ["feedback.alice.decision", "feedback.alice.fill", "feedback.alice.status"]
    assert await not_denied(alice, notices, publish=allowed) == allowed


async def test_a_report_under_bobs_name_would_be_seen_by_the_probes_above(friends):
    before = await state(friends)
    bob = await friends.link("bob")
    await bob.publish_stored("feedback.bob.decision", b"{}", headers={MESSAGE_ID_HEADER: "x"})
    assert await state(friends) != before


async def test_a_friend_hears_the_heartbeat(friends, until):
    heard = []

    async def on_beat(delivery):
        heard.append(delivery.data)

    alice = await friends.link("alice")
    await alice.subscribe("heartbeat.publisher", on_beat)
    await alice.flush()
    await (await friends.link("publisher")).publish("heartbeat.publisher", b"1")
    await until(lambda: heard == [b"1"], what="heartbeat arrives")


PUBLISHER_MAY_NOT = (
    "control.all.halt",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.FEEDBACK",
    "$JS.API.STREAM.MSG.GET.SIGNALS",
    DELETE_STREAM,
    "$JS.API.CONSUMER.CREATE.SIGNALS.x",
    DELETE_BOB,
    "signals.fda",
    "signals.fda.A.B",
    "feedback.alice.fill",
    "$SYS.REQ.SERVER.PING",
)
MONITOR_MAY_NOT = (
    "$JS.API.STREAM.INFO.SIGNALS",
    "$JS.API.CONSUMER.LIST.SIGNALS",
    "$JS.API.CONSUMER.INFO.SIGNALS.sub_bob",
    "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
    "FEED.CONSUMER.INFO.SIGNALS.sub_bob",
    "WATCH.STREAM.INFO.AUDIT",
    "WATCH.STREAM.MSG.GET.AUDIT",
    "WATCH.DIRECT.GET.AUDIT",
    "WATCH.CONSUMER.DELETE.SIGNALS.sub_bob",
    "feedback.bob.decision",
    "audit.user-add",
    "signals.fda.AAPL",
    "control.all.halt",
    "heartbeat.publisher",
    DELETE_STREAM,
    "$JS.API.STREAM.UPDATE.SIGNALS",
    "$JS.API.STREAM.MSG.GET.SIGNALS",
    "$JS.API.CONSUMER.CREATE.SIGNALS.x",
    "$JS.API.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
    "$JS.ACK.SIGNALS.sub_bob.1.1.1.1.0",
    DELETE_BOB,
)
AUDITOR_MAY_NOT = (
    "signals.fda.AAPL",
    "control.all.halt",
    "heartbeat.publisher",
    "audit.user-add",
    DELETE_STREAM,
    DELETE_BOB,
    "$JS.API.STREAM.DELETE.AUDIT",
    "$JS.API.STREAM.INFO.AUDIT",
    "$JS.API.DIRECT.GET.AUDIT",
    "WATCH.STREAM.INFO.SIGNALS",
    "WATCH.CONSUMER.LIST.SIGNALS",
    "WATCH.CONSUMER.INFO.SIGNALS.sub_bob",
    "WATCH.DIRECT.GET.AUDIT.audit.user-add",
    "WATCH.CONSUMER.CREATE.AUDIT",
    "WATCH.STREAM.MSG.GET.FEEDBACK",
    "$JS.ACK.SIGNALS.sub_bob.1.1.1.1.0",
    "feedback.bob.decision",
)
ADMIN_MAY_NOT = (
    "signals.fda.AAPL",
    "heartbeat.publisher",
    DELETE_STREAM,
    "$JS.API.STREAM.PURGE.SIGNALS",
    "$JS.API.STREAM.MSG.DELETE.SIGNALS",
    "$JS.API.STREAM.DELETE.FEEDBACK",
    "$JS.API.STREAM.PURGE.FEEDBACK",
    "$JS.API.CONSUMER.CREATE.FEEDBACK.x",
    "feedback.bob.decision",
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
    "$SYS.REQ.CLAIMS.UPDATE",
)


@pytest.mark.parametrize(
    ("role", "publish", "subscribe"),
    [
        ("publisher", PUBLISHER_MAY_NOT, ("signals.>", ">", "_INBOX.>", "$JS.>", "heartbeat.>", "feedback.>")),
        ("monitor", MONITOR_MAY_NOT, (">", "$JS.>", "_INBOX.>", "_INBOX_auditor.>", "$SYS.>", "WATCH.>", "signals.>")),
        (
            "auditor",
            AUDITOR_MAY_NOT,
            (">", "$JS.>", "_INBOX.>", "_INBOX_monitor.>", "$SYS.>", "WATCH.>", ALL_SIGNALS),
        ),
        ("admin", ADMIN_MAY_NOT, ("signals.>", ">", "$JS.>", "_INBOX_publisher.>", "$SYS.>")),
    ],
)
async def test_every_other_role_is_held_to_its_table(friends, role, publish, subscribe):
    await store(friends, "AAPL", catalyst="merger")
    before = await state(friends)
    notices = []
    link = await friends.link(role, notices.append)
    assert await not_denied(link, notices, publish=publish, subscribe=subscribe) == []
    assert await state(friends) == before


async def test_the_monitor_sees_signals_control_heartbeat_and_the_state_of_stream_and_durables(friends, until):
    seen = []

    async def on_message(delivery):
        seen.append(delivery.subject)

    monitor = await friends.link("monitor")
    for subject in (ALL_SIGNALS, ALL_CONTROL, USERS_CONTROL, "heartbeat.>"):
        await monitor.subscribe(subject, on_message)
    await monitor.flush()
    await store(friends, "AAPL")
    admin = await friends.admin_link()
    for subject in ("control.all.halt", "control.user.bob.halt"):
        await admin.publish_stored(subject, b"{}", headers={MESSAGE_ID_HEADER: subject})
    await (await friends.link("publisher")).publish("heartbeat.publisher", b"1")
    await until(lambda: len(seen) == 4, what="monitor sees all of them")
    assert set(seen) == {"signals.fda.AAPL", "control.all.halt", "control.user.bob.halt", "heartbeat.publisher"}
    assert set(await read_durables(monitor, prefix=WATCH_PREFIX)) == {"sub_alice", "sub_bob"}
    assert (await monitor.api("WATCH.CONSUMER.INFO.SIGNALS.sub_bob"))["name"] == "sub_bob"
    assert (await monitor.api("WATCH.STREAM.INFO.SIGNALS"))["state"]["last_seq"] == 3


async def test_a_signal_is_stored_once_per_message_id(friends):
    link = await friends.link("publisher")
    first = await link.publish_stored("signals.fda.AAPL", b"{}", headers={MESSAGE_ID_HEADER: "one"})
    again = await link.publish_stored("signals.fda.AAPL", b"{}", headers={MESSAGE_ID_HEADER: "one"})
    assert (first.is_duplicate, again.is_duplicate, again.sequence) == (False, True, first.sequence)


async def test_creds_of_another_operator_are_refused(friends, start_operator, tmp_path):
    other = await start_operator(tmp_path / "other")
    try:
        await other.add_user("alice", ["signals.*.*"])
        with pytest.raises(Denied):
            await friends.link(other.creds_path("alice"))
    finally:
        await other.stop()


@pytest.mark.parametrize("key", ["rogue", "identity", "other-role"])
async def test_a_user_jwt_by_any_other_key_is_refused_or_holds_no_more_than_its_key_grants(friends, key, tmp_path):
    vault = read_vault(friends.up.desk.vault)
    signer = {
        "rogue": KeyPair.generate(KeyKind.ACCOUNT),
        "identity": vault.accounts[Account.FRIENDS],
        "other-role": vault.roles[RoleName.PUBLISHER],
    }[key]
    pair = KeyPair.generate(KeyKind.USER)
    claims = user_claims(
        pair.public,
        name="mallory",
        role=RoleName.SUBSCRIBER,
        account=vault.account_keys[Account.FRIENDS],
        issued_at=datetime.now(UTC),
    )
    path = tmp_path / "mallory.creds"
    write_secret(path, creds_text(signed_jwt(claims, signer), pair.seed))
    with pytest.raises(Denied):
        await friends.link(path)


async def test_the_jwt_of_another_user_is_refused_with_ones_own_seed(friends, tmp_path):
    alice, bob = (friends.creds_path(name).read_text() for name in ("alice", "bob"))
    mixed = alice.split("-----BEGIN USER")[0] + "-----BEGIN USER" + bob.split("-----BEGIN USER")[1]
    path = tmp_path / "mixed.creds"
    write_secret(path, mixed)
    with pytest.raises(CredsInvalid, match="mix of two"):
        await friends.link(path)


async def test_no_client_can_delete_or_purge_the_log(friends):
    # Even with the account's whole authority: deny_delete and deny_purge cannot be taken back.
    admin = await friends.admin_link()
    config = (await admin.api("$JS.API.STREAM.INFO.SIGNALS"))["config"]
    assert config["deny_delete"] is config["deny_purge"] is True
    for change in ({"deny_delete": False}, {"deny_purge": False}):
        with pytest.raises((BrokerRefused, RequestTimedOut)):
            await admin.api("$JS.API.STREAM.UPDATE.SIGNALS", {**config, **change})
