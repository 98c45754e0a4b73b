"""What each role may do and may not do, proven against the server, both ways: the table of attacks of a bad friend."""

from datetime import UTC, datetime

import pytest

from signal_admin.claims import signed_jwt, user_claims
from signal_admin.vault import read_vault
from signal_contract.creds import creds_text, write_secret
from signal_contract.delivery import LinkEvent
from signal_contract.errors import BrokerRefused, CredsInvalid, Denied, RequestTimedOut
from signal_contract.nkey import KeyKind, KeyPair
from signal_contract.permissions import RoleName
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import Account, info_subject, is_own_ack, pull_subject

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
    "audit.user-revoke",
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
        "signals.fda.FORGED",
        "control.all.halt",
        "_INBOX_bob.x",
        "$SYS.REQ.SERVER.PING",
        "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
        "$JS.ACK.SIGNALS.sub_bob.1.2.1.1.0",
        "feedback.bob.decision",
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
    }
    for carrier, body in carriers.items():
        await alice.publish(carrier, body, reply=target)
    await alice.publish(pull_subject("alice"), b'{"batch":9,"no_wait":true}', reply=target)
    await alice.publish(pull_subject("alice"), b"not json", reply=target)
    await alice.flush()
    # A later answer on the same connection: what was sent before has been worked through.
    await alice.api(info_subject("alice"))
    assert await state(friends) == before


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
    "$JS.API.STREAM.INFO.SIGNALS",
    DELETE_STREAM,
    "$JS.API.CONSUMER.CREATE.SIGNALS.x",
    DELETE_BOB,
    "signals.fda",
    "signals.fda.A.B",
    "feedback.alice.fill",
    "$SYS.REQ.SERVER.PING",
)
MONITOR_MAY_NOT = (
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
ADMIN_MAY_NOT = (
    "signals.fda.AAPL",
    "heartbeat.publisher",
    DELETE_STREAM,
    "$JS.API.STREAM.PURGE.SIGNALS",
    "$JS.API.STREAM.MSG.DELETE.SIGNALS",
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
    "$SYS.REQ.CLAIMS.UPDATE",
)


@pytest.mark.parametrize(
    ("role", "publish", "subscribe"),
    [
        ("publisher", PUBLISHER_MAY_NOT, ("signals.>", ">", "_INBOX.>", "$JS.>", "heartbeat.>", "feedback.>")),
        ("monitor", MONITOR_MAY_NOT, (">", "$JS.>", "_INBOX.>", "_INBOX_admin.>", "$SYS.>")),
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


async def test_the_monitor_sees_signals_and_durables(friends, until):
    seen = []

    async def on_signal(delivery):
        seen.append(delivery.subject)

    monitor = await friends.link("monitor")
    await monitor.subscribe("signals.*.*", on_signal)
    await monitor.flush()
    await store(friends, "AAPL")
    await until(lambda: seen == ["signals.fda.AAPL"], what="monitor sees the signal")
    assert (await monitor.api("$JS.API.CONSUMER.LIST.SIGNALS"))["total"] == 2


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
