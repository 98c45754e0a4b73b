"""The operator's word on the real server: signed, in the stream, kept, and said again to who comes later."""

import asyncio
import base64
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from signal_admin.actions import offboard, sync
from signal_admin.audit_reading import Wanted, read_audit
from signal_admin.control import Order, issue
from signal_admin.repair import repair
from signal_admin.rotation import ROTATING_MARK, rotate_publisher_key
from signal_admin.standing import read_standing, standing_held, write_standing
from signal_admin.users import add_user
from signal_admin.vault import read_vault
from signal_contract.announce import ANNOUNCE_SUBJECT, read_announcement
from signal_contract.control import Verb, read_control
from signal_contract.errors import Conflict, InputError, NotFound, RequestTimedOut, ServerUnreachable, StorageFailed
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Verifier
from signal_contract.topology import pull_subject

NOW = datetime.now(UTC)
HALT = Order(Verb.HALT, None, "wrong tickers")
RESUME = Order(Verb.RESUME)


async def stored(operator, sequence):
    """(subject, payload, signature) of one message of the stream."""
    link = await operator.admin_link()
    message = (await link.api("$JS.API.STREAM.MSG.GET.SIGNALS", {"seq": sequence}))["message"]
    head = dict(line.split(": ", 1) for line in base64.b64decode(message["hdrs"]).decode().splitlines() if ": " in line)
    return message["subject"], base64.b64decode(message["data"]), head[SIGNATURE_HEADER]


async def last_sequence(operator):
    return (await (await operator.admin_link()).api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["last_seq"]


async def publish(operator, *tickers):
    link = await operator.link("publisher")
    for each in tickers:
        await link.publish_stored(f"signals.fda.{each}", b"{}", headers={MESSAGE_ID_HEADER: each})


async def received(operator, name):
    """The subjects that a friend's durable has for him, in order."""
    link, subjects, over = await operator.link(name), [], asyncio.Event()

    async def on_message(delivery):
        if delivery.status:
            over.set()
        else:
            subjects.append(delivery.subject)

    inbox = link.new_inbox()
    subscription = await link.subscribe(inbox, on_message)
    await link.publish(pull_subject(name), b'{"batch":100,"no_wait":true}', reply=inbox)
    async with asyncio.timeout(5):
        await over.wait()
    await subscription.unsubscribe()
    return subjects


async def drop_durable(operator, name):
    await (await operator.admin_link()).api(f"$JS.API.CONSUMER.DELETE.SIGNALS.sub_{name}")


@pytest.mark.parametrize(
    ("order", "subject"),
    [
        (HALT, "control.all.halt"),
        (Order(Verb.REDUCE, "alice"), "control.user.alice.reduce"),
        (RESUME, "control.all.resume"),
        (Order(Verb.NOTICE, None, "moving house"), "control.all.notice"),
    ],
)
async def test_a_word_lies_in_the_stream_signed_with_the_publishers_key(operator, order, subject):
    await operator.add_user("alice", ["signals.fda.*"])
    said = await issue(operator.up.desk, order, now=NOW)
    where, payload, signature = await stored(operator, said.sequence)
    read_vault(operator.up.desk.vault).signer.verifier.check(where, payload, signature)
    control = read_control(where, payload)
    assert (where, control.verb, control.user, control.reason) == (subject, order.verb, order.user, order.reason)
    assert control == said.control


async def test_what_stands_is_kept_for_each_scope_and_a_notice_is_no_state(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    desk = operator.up.desk
    await issue(desk, HALT, now=NOW)
    alice = await issue(desk, Order(Verb.REDUCE, "alice", "as agreed"), now=NOW)
    await issue(desk, Order(Verb.NOTICE, None, "hello"), now=NOW)
    standing = read_standing(desk)
    assert (standing.everybody.verb, standing.everybody.reason) == (Verb.HALT, "wrong tickers")
    assert standing.users["alice"].sequence == alice.sequence
    said = await issue(desk, RESUME, now=NOW)
    assert said.before.verb is Verb.HALT
    assert read_standing(desk).everybody.is_active


async def test_every_word_is_in_the_audit_log(operator):
    said = await issue(operator.up.desk, HALT, now=NOW)
    entries = await read_audit(await operator.link("auditor"), Wanted(action="control"))
    (entry,) = entries
    assert (entry.action, entry.target) == ("control halt", "all users")
    assert entry.after["sequence"] == said.sequence
    assert entry.after["reason"] == "wrong tickers"


async def test_a_dry_run_sends_and_keeps_nothing(operator):
    said = await issue(operator.up.desk, HALT, now=NOW, dry_run=True)
    assert (said.sequence, said.is_dry_run) == (None, True)
    assert await last_sequence(operator) == 0
    assert read_standing(operator.up.desk).everybody is None


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (Order(Verb.NOTICE), InputError),
        (Order(Verb.NOTICE, None, "  "), InputError),
        (Order(Verb.HALT, None, "two\nlines"), InputError),
        (Order(Verb.HALT, None, "x" * 501), InputError),
        (Order(Verb.HALT, "nobody"), NotFound),
    ],
)
async def test_what_cannot_be_said_is_refused_before_anything_is_sent(operator, order, error):
    with pytest.raises(error):
        await issue(operator.up.desk, order, now=NOW)
    assert await last_sequence(operator) == 0


async def test_without_a_server_it_says_that_nothing_was_sent(operator):
    desk = operator.up.desk
    await operator.stop()
    with pytest.raises(ServerUnreachable, match="NOTHING was sent and agents keep trading") as refused:
        await issue(desk, HALT, now=NOW, timeout_s=1)
    assert "subscriber-agent halt" in refused.value.hint
    assert read_standing(desk).everybody is None


async def test_while_the_server_restarts_it_is_tried_again_and_stored_once(operator):
    old = operator.kill_server()
    said = await issue(operator.up.desk, HALT, now=NOW, timeout_s=15)
    await operator.wait_restarted(old)
    assert said.sequence == await last_sequence(operator) == 1


async def test_a_halt_without_a_receipt_counts_and_a_resume_without_one_does_not(operator):
    desk, admin = operator.up.desk, await operator.admin_link()
    config = (await admin.api("$JS.API.STREAM.INFO.SIGNALS"))["config"]
    # A stream that is full and takes no more: the answer to every attempt is a refusal.
    await admin.api("$JS.API.STREAM.UPDATE.SIGNALS", config | {"max_msgs": 1, "discard": "new"})
    await issue(desk, Order(Verb.REDUCE), now=NOW)
    with pytest.raises(RequestTimedOut, match="may have been stored or not"):
        await issue(desk, HALT, now=NOW, timeout_s=0.5)
    assert (read_standing(desk).everybody.verb, read_standing(desk).everybody.sequence) == (Verb.HALT, None)
    with pytest.raises(RequestTimedOut):
        await issue(desk, RESUME, now=NOW, timeout_s=0.5)
    assert read_standing(desk).everybody.verb is Verb.HALT


async def test_during_a_half_done_key_change_nothing_is_signed(operator):
    (operator.up.desk.publisher / ROTATING_MARK).write_text("")
    with pytest.raises(Conflict, match="half done"):
        await issue(operator.up.desk, HALT, now=NOW)
    assert await last_sequence(operator) == 0


async def test_after_a_key_change_the_next_key_signs(operator):
    desk = operator.up.desk
    rotation = await rotate_publisher_key(desk, now=NOW)
    said = await issue(desk, HALT, now=NOW)
    signer = read_vault(desk.vault).signer
    assert signer.public_key == rotation.new_key
    signer.verifier.check(*await stored(operator, said.sequence))


async def test_words_sent_during_key_changes_are_signed_by_the_key_of_their_place(operator):
    desk = operator.up.desk
    root = read_vault(desk.vault).signer.public_key

    async def speak():
        for _ in range(12):
            await issue(desk, Order(Verb.NOTICE, None, "hello"), now=NOW)

    async def change():
        for _ in range(4):
            await rotate_publisher_key(desk, now=NOW)

    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        group.create_task(change())
    key, changes = root, 0
    for sequence in range(1, await last_sequence(operator) + 1):
        subject, payload, signature = await stored(operator, sequence)
        Verifier.from_text(key).check(subject, payload, signature)
        if subject == ANNOUNCE_SUBJECT:
            key, changes = read_announcement(payload, Verifier.from_text(key)).next_key, changes + 1
    assert (changes, sequence) == (4, 16)


async def test_one_word_waits_for_the_other(operator):
    async with standing_held(operator.up.desk):
        waiting = asyncio.create_task(issue(operator.up.desk, HALT, now=NOW))
        assert await last_sequence(operator) == 0
        assert not waiting.done()
    assert (await waiting).sequence == 1


async def test_a_friend_who_joins_during_a_halt_hears_it_first(operator):
    desk = operator.up.desk
    await publish(operator, "OLD")
    first = await issue(desk, HALT, now=NOW)
    await operator.add_user("alice", ["signals.fda.*"])
    await publish(operator, "NEW")
    assert await received(operator, "alice") == ["control.all.halt", "signals.fda.NEW"]
    again = read_standing(desk).everybody
    assert again.sequence > first.sequence
    _, payload, _ = await stored(operator, again.sequence)
    repeated = orjson.loads(payload)
    assert repeated["reason"] == "wrong tickers"
    assert repeated["control_id"] != first.control.control_id


async def test_a_friend_who_joins_after_a_resume_hears_nothing(operator):
    await issue(operator.up.desk, HALT, now=NOW)
    await issue(operator.up.desk, RESUME, now=NOW)
    await operator.add_user("alice", ["signals.fda.*"])
    await publish(operator, "NEW")
    assert await received(operator, "alice") == ["signals.fda.NEW"]


async def test_a_repaired_friend_hears_what_stands_for_him_and_for_everybody(operator):
    desk = operator.up.desk
    await operator.add_user("alice", ["signals.fda.*"])
    await operator.add_user("bob", ["signals.fda.*"])
    await issue(desk, Order(Verb.REDUCE), now=NOW)
    await issue(desk, Order(Verb.HALT, "alice", "as agreed"), now=NOW)
    await drop_durable(operator, "alice")
    await repair(desk, "alice", told=await last_sequence(operator), now=NOW)
    assert await received(operator, "alice") == ["control.all.reduce", "control.user.alice.halt"]
    # The other friend hears once more what he knows, and nothing of hers.
    assert await received(operator, "bob") == ["control.all.reduce", "control.all.reduce"]


async def test_a_durable_made_at_the_next_start_comes_with_what_stands(data_dir, start_operator):
    first = await start_operator(data_dir)
    await issue(first.up.desk, HALT, now=NOW)
    await first.stop()
    await add_user(first.up.desk, "alice", ("signals.fda.*",), now=NOW)
    again = await start_operator(data_dir)
    try:
        assert await received(again, "alice") == ["control.all.halt"]
    finally:
        await again.stop()


async def test_a_durable_waits_for_a_half_done_key_change_when_trading_is_held(data_dir, start_operator):
    first = await start_operator(data_dir)
    desk = first.up.desk
    await issue(desk, HALT, now=NOW)
    await first.stop()
    await add_user(desk, "alice", ("signals.fda.*",), now=NOW)
    (desk.publisher / ROTATING_MARK).write_text("")
    again = await start_operator(data_dir)
    try:
        assert any("the durable of alice waits" in line for line in again.said)
        await rotate_publisher_key(desk, now=NOW)
        await sync(desk, now=NOW)
        assert await received(again, "alice") == ["control.all.halt"]
    finally:
        await again.stop()


async def test_what_was_said_to_one_who_left_is_not_said_to_the_next_of_his_name(operator):
    desk = operator.up.desk
    await operator.add_user("alice", ["signals.fda.*"])
    await issue(desk, Order(Verb.HALT, "alice"), now=NOW)
    await offboard(desk, "alice", now=datetime.now(UTC))
    assert read_standing(desk).users == {}
    await operator.add_user("alice", ["signals.fda.*"])
    assert await received(operator, "alice") == []


async def test_what_stands_but_is_no_longer_in_the_stream_is_said_again_at_the_next_start(data_dir, start_operator):
    first = await start_operator(data_dir)
    desk = first.up.desk
    await issue(desk, HALT, now=NOW)
    await first.add_user("alice", ["signals.fda.*"])
    sequence = read_standing(desk).everybody.sequence
    await first.stop()
    standing = read_standing(desk)
    write_standing(desk, standing.with_word(None, replace(standing.everybody, sequence=None)))
    again = await start_operator(data_dir)
    try:
        assert "halt for everybody was sent again: it still stands" in again.said
        assert read_standing(desk).everybody.sequence == sequence + 1
        assert await received(again, "alice") == ["control.all.halt", "control.all.halt"]
    finally:
        await again.stop()
    third = await start_operator(data_dir)
    try:
        assert not any("sent again" in line for line in third.said)
        assert any(line.startswith("halt stands for everybody since ") for line in third.said)
    finally:
        await third.stop()


async def test_a_damaged_state_lets_no_friend_in_and_holds_no_halt_back(operator):
    desk = operator.up.desk
    desk.control_json.write_text("{")
    with pytest.raises(StorageFailed):
        await operator.add_user("alice", ["signals.fda.*"])
    with pytest.raises(StorageFailed):
        await issue(desk, RESUME, now=NOW)
    assert await last_sequence(operator) == 0
    with pytest.raises(StorageFailed, match="halt WAS sent, sequence 1, but"):
        await issue(desk, HALT, now=NOW)
    assert (await stored(operator, 1))[0] == "control.all.halt"
