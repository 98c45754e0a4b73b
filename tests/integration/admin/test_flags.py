"""Bucket FLAGS on the real server, both ways: who writes it, who reads it, and what a bad friend can do with that."""

import base64
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_admin.flags.bucket import apply, change_from, is_published, publish_due
from signal_admin.flags.kept import read_kept, write_kept
from signal_admin.rotation import rotate_publisher_key
from signal_admin.vault import read_vault
from signal_contract.delivery import LinkEvent
from signal_contract.errors import Conflict, Denied, NotFound, ServerUnreachable
from signal_contract.flags import read_flags
from signal_contract.signing import SIGNATURE_HEADER
from signal_contract.topology import FLAGS_GET_SUBJECT, FLAGS_STREAM, FLAGS_SUBJECT, flags_stream_config, info_subject

DIRECT = f"$JS.API.DIRECT.GET.{FLAGS_STREAM}"
FRIEND_MAY_NOT = (
    FLAGS_SUBJECT,
    "$KV.FLAGS.other",
    f"$JS.API.STREAM.INFO.{FLAGS_STREAM}",
    f"$JS.API.STREAM.MSG.GET.{FLAGS_STREAM}",
    f"$JS.API.STREAM.DELETE.{FLAGS_STREAM}",
    f"$JS.API.STREAM.PURGE.{FLAGS_STREAM}",
    DIRECT,
    f"{DIRECT}.{FLAGS_SUBJECT}",
    f"FEED.DIRECT.GET.{FLAGS_STREAM}",
    "FEED.FLAGS.other",
    f"FEED.DIRECT.GET.{FLAGS_STREAM}.{FLAGS_SUBJECT}",
    f"FEED.DIRECT.GET.{FLAGS_STREAM}.$KV.FLAGS.other",
    "FEED.DIRECT.GET.SIGNALS.signals.fda.AAPL",
    f"FEED.STREAM.INFO.{FLAGS_STREAM}",
)
NOW = datetime.now(UTC)


async def flag(operator, name, value, percent=100):
    desk = operator.up.desk
    return await apply(desk, change_from(desk, name, value, percent), now=datetime.now(UTC))


async def stored(operator):
    link = await operator.admin_link()
    info = await link.api(f"$JS.API.STREAM.INFO.{FLAGS_STREAM}", {"subjects_filter": ">"})
    return {key: info[key] for key in ("config", "created", "state")}


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await operator.add_user("bob", ["signals.merger.*"])
    return operator


async def test_the_bucket_is_the_agreed_one(operator):
    config = (await stored(operator))["config"]
    for key, value in flags_stream_config().items():
        assert (config.get(key) or None) == (value or None), key


async def test_a_friend_reads_the_signed_flags(friends):
    sent = await flag(friends, "entries_percent", "50")
    reply = await (await friends.link("alice")).request(FLAGS_GET_SUBJECT)
    verifier = read_vault(friends.up.desk.vault).signer.verifier
    verifier.check(FLAGS_SUBJECT, reply.data, reply.headers[SIGNATURE_HEADER])
    assert read_flags(reply.data) == sent == read_kept(friends.up.desk)


async def test_without_flags_the_answer_is_that_there_are_none(friends):
    assert (await (await friends.link("alice")).request(FLAGS_GET_SUBJECT)).status == "404"


async def test_a_friend_can_neither_write_flags_nor_read_anything_else_of_the_bucket(friends, until):
    await flag(friends, "entries_percent", "50")
    before, notices = await stored(friends), []
    alice = await friends.link("alice", notices.append)
    for subject in FRIEND_MAY_NOT:
        await alice.publish(subject, b"{}")
    await alice.flush()

    def taken():
        said = " ".join(each.detail for each in notices if each.event is LinkEvent.DENIED).lower()
        return [each for each in FRIEND_MAY_NOT if f'publish to "{each.lower()}"' not in said]

    # The refusals come behind the answer to the flush, one by one.
    await until(lambda: not taken(), what="every one of them is denied")
    assert await stored(friends) == before
    with pytest.raises(Denied):
        await alice.publish_stored(FLAGS_SUBJECT, b"{}", headers={SIGNATURE_HEADER: "x"})


@pytest.mark.parametrize(
    "body",
    [
        b'{"last_by_subj":"signals.fda.AAPL"}',
        b'{"seq":1}',
        b'{"batch":10,"multi_last":[">"]}',
        b'{"next_by_subj":">"}',
        b"not json",
    ],
)
async def test_whatever_a_friend_asks_the_answer_is_the_flags_or_none(friends, body):
    sent = await flag(friends, "entries_percent", "50")
    reply = await (await friends.link("alice")).request(FLAGS_GET_SUBJECT, body)
    assert reply.status or read_flags(reply.data) == sent


@pytest.mark.parametrize(
    "target",
    [
        f"$JS.API.STREAM.DELETE.{FLAGS_STREAM}",
        f"$JS.API.STREAM.PURGE.{FLAGS_STREAM}",
        "$JS.API.STREAM.DELETE.SIGNALS",
        "$JS.API.CONSUMER.DELETE.SIGNALS.sub_bob",
        FLAGS_SUBJECT,
        "signals.fda.FORGED",
        "control.all.halt",
        "feedback.bob.status",
        "FEED.CONSUMER.MSG.NEXT.SIGNALS.sub_bob",
        "$JS.ACK.SIGNALS.sub_bob.1.2.1.1.0",
    ],
)
async def test_an_answer_with_flags_carries_no_authority(friends, target):
    await flag(friends, "entries_percent", "50")
    admin, alice = await friends.admin_link(), await friends.link("alice")

    async def state():
        signals = await admin.api("$JS.API.STREAM.INFO.SIGNALS")
        bob = await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_bob")
        reports = await admin.api("$JS.API.STREAM.INFO.FEEDBACK")
        flags = await stored(friends)
        seen = (signals, reports, flags)
        return *((each["created"], each["state"]["last_seq"]) for each in seen), bob["created"], bob["num_ack_pending"]

    before = await state()
    for body in (b"", b'{"seq":1}', b"not json"):
        await alice.publish(FLAGS_GET_SUBJECT, body, reply=target)
    await alice.flush()
    await alice.api(info_subject("alice"))
    assert await state() == before


@pytest.mark.parametrize("role", ["publisher", "monitor", "auditor", "system"])
async def test_no_other_role_writes_flags(operator, role, until):
    notices = []
    link = await operator.link(role, notices.append)
    await link.publish(FLAGS_SUBJECT, b"{}")
    await link.flush()
    await until(lambda: any(each.event is LinkEvent.DENIED for each in notices), what="it is denied")


async def test_flags_cannot_be_deleted_or_purged_even_by_the_admin(operator):
    admin = await operator.admin_link()
    for subject in ("STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE"):
        with pytest.raises(Denied):
            await admin.api(f"$JS.API.{subject}.{FLAGS_STREAM}")


async def test_later_flags_are_issued_later_whatever_the_clock_says(operator):
    desk = operator.up.desk
    first = await flag(operator, "entries_percent", "50")
    early = NOW - timedelta(days=1)
    second = await apply(desk, change_from(desk, "mode_floor", "paper"), now=early)
    assert second.issued_at > first.issued_at
    assert set(second.flags) == {"entries_percent", "mode_floor"}


async def test_a_flag_that_was_changed_meanwhile_is_not_overwritten(operator):
    desk = operator.up.desk
    stale = change_from(desk, "entries_percent", "100")
    await flag(operator, "entries_percent", "0")
    with pytest.raises(Conflict):
        await apply(desk, stale, now=NOW)
    assert read_kept(desk).flags["entries_percent"].value == "0"


async def test_a_flag_that_is_not_set_cannot_be_cleared(operator):
    with pytest.raises(NotFound):
        change_from(operator.up.desk, "mode_floor", None)


async def test_setting_and_clearing_is_in_the_audit_log(operator):
    await flag(operator, "entries_percent", "50")
    await flag(operator, "entries_percent", None)
    auditor = await operator.link("auditor")
    last = await auditor.request("WATCH.STREAM.MSG.GET.AUDIT", b'{"last_by_subj":"audit.flag-set"}')
    entry = orjson.loads(base64.b64decode(orjson.loads(last.data)["message"]["data"]))
    assert (entry["action"], entry["target"], entry["after"]) == ("flag set", "flag entries_percent", None)


async def test_after_a_change_of_the_publishers_key_the_flags_are_signed_by_the_new_one(operator):
    flags = await flag(operator, "entries_percent", "50")
    old = read_vault(operator.up.desk.vault).signer.verifier
    await rotate_publisher_key(operator.up.desk, now=datetime.now(UTC))
    link, new = await operator.admin_link(), read_vault(operator.up.desk.vault).signer.verifier
    assert await is_published(link, flags, new)
    assert not await is_published(link, flags, old)


async def test_what_was_kept_and_not_sent_goes_out_at_the_next_start(data_dir, start_operator):
    first = await start_operator(data_dir)
    desk = first.up.desk
    sent = await flag(first, "entries_percent", "50")
    assert not await publish_due(await first.admin_link(), desk)
    await first.stop()
    with pytest.raises(ServerUnreachable):
        await apply(desk, change_from(desk, "entries_percent", "0"), now=NOW)
    assert read_kept(desk) == sent
    write_kept(desk, sent.model_copy(update={"issued_at": sent.issued_at + timedelta(seconds=1)}))
    again = await start_operator(data_dir)
    try:
        assert "the flags were sent again" in again.said
        assert await is_published(await again.admin_link(), read_kept(desk), read_vault(desk.vault).signer.verifier)
    finally:
        await again.stop()


@pytest.mark.parametrize("role", ["monitor", "auditor"])
@pytest.mark.parametrize("carrier", ["WATCH.STREAM.INFO.SIGNALS", "WATCH.STREAM.INFO.AUDIT", "WATCH.DIRECT.GET.AUDIT"])
async def test_no_answer_to_who_looks_on_reaches_the_flags_or_a_snapshot(operator, role, carrier):
    await flag(operator, "entries_percent", "50")
    before, link = await stored(operator), await operator.link(role)
    for target in (FLAGS_SUBJECT, f"$JS.API.STREAM.DELETE.{FLAGS_STREAM}", "$JS.API.STREAM.SNAPSHOT.SIGNALS"):
        for body in (b"", b'{"seq":1,"batch":5}'):
            await link.publish(carrier, body, reply=target)
    await link.flush()
    assert await stored(operator) == before


@pytest.mark.parametrize("role", ["publisher", "monitor", "auditor", "system"])
@pytest.mark.parametrize(
    "subject", ["FEED.FLAGS", f"WATCH.DIRECT.GET.{FLAGS_STREAM}", f"{DIRECT}.{FLAGS_SUBJECT}", DIRECT]
)
async def test_only_friends_have_the_export_of_the_flags(operator, role, subject, until):
    notices = []
    link = await operator.link(role, notices.append)
    await link.publish(subject, b"", reply=link.new_inbox())
    await link.publish("$JS.SNAPSHOT.ACK.SIGNALS.x.y", b"")
    await link.flush()
    await until(lambda: sum(each.event is LinkEvent.DENIED for each in notices) == 2, what="both are denied")
