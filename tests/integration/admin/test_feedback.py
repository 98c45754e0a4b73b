"""Stream FEEDBACK on the real server, both ways: a friend's own report lies in it, another's cannot be written."""

import secrets
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_admin.actions import offboard
from signal_admin.apply import provision
from signal_admin.registry import all_users, read_user, registry_held
from signal_admin.reports import WantedReports, last_status, read_reports
from signal_admin.up import brought_up
from signal_admin.users import user_details, user_states
from signal_contract.errors import BrokerRefused, Conflict, Denied
from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, feedback_bytes
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import feedback_stream_config, stream_config

NOW = datetime.now(UTC)


def report(kind=Kind.DECISION, **changes):
    fields = {"feedback_id": secrets.token_hex(16), "kind": kind, "at": NOW, "label": "accepted"}
    return Feedback(**{**fields, **changes})


def status_report(position=7, **changes):
    fields = {
        "version": "0.3.0",
        "mode": "paper",
        "engine": "paper",
        "link_state": "live",
        "trading_state": "active",
        "position": position,
        "last_sequence": 9,
        "pending": 2,
        "undecided": 0,
        "privacy": Privacy.DECISIONS,
    }
    return report(Kind.STATUS, label="", status=AgentStatus(**{**fields, **changes}))


async def send(link, name, each):
    headers = {MESSAGE_ID_HEADER: each.feedback_id}
    return await link.publish_stored(each.subject(name), feedback_bytes(each), headers=headers)


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await operator.add_user("bob", ["signals.merger.*"])
    return operator


async def test_the_stream_is_the_agreed_one(operator):
    config = (await (await operator.admin_link()).api("$JS.API.STREAM.INFO.FEEDBACK"))["config"]
    for key, value in feedback_stream_config().items():
        assert (config.get(key) or None) == (value or None), key


async def test_a_setting_that_cannot_be_changed_is_refused_by_name(operator):
    desired = [stream_config(), feedback_stream_config() | {"storage": "memory"}]
    async with registry_held(operator.up.desk):
        with pytest.raises(Conflict, match="stream FEEDBACK: storage is 'file', wanted 'memory'"):
            await provision(await operator.admin_link(), operator.up.desk, desired)


async def test_a_server_of_an_older_version_gets_the_stream_at_its_next_start(data_dir, start_operator):
    first = await start_operator(data_dir)
    assert "stream FEEDBACK made" in first.said
    await first.stop()
    again = await start_operator(data_dir)
    try:
        assert not any("FEEDBACK" in line for line in again.said)
    finally:
        await again.stop()


async def test_a_small_store_has_room_for_all_three_streams(data_dir):
    from signal_admin.up import UpSettings

    said = []
    async with brought_up(data_dir, UpSettings(port=-1, max_store_bytes=512 << 20), said.append) as up:
        assert up.running.url
    assert "stream FEEDBACK made" in said
    assert not any("audit" in line for line in said)


async def test_a_friends_report_has_a_receipt_and_lies_under_his_name(friends):
    sent = report(label="refused", code="STALE")
    receipt = await send(await friends.link("alice"), "alice", sent)
    assert (receipt.stream, receipt.sequence, receipt.is_duplicate) == ("FEEDBACK", 1, False)
    found = await read_reports(await friends.admin_link(), WantedReports())
    assert [(each.user, each.feedback) for each in found.found] == [("alice", sent)]


async def test_a_report_sent_twice_is_stored_once(friends):
    alice, sent = await friends.link("alice"), report()
    assert not (await send(alice, "alice", sent)).is_duplicate
    assert (await send(alice, "alice", sent)).is_duplicate


async def test_no_friend_reports_under_anothers_name_or_another_kind(friends):
    alice = await friends.link("alice")
    with pytest.raises(Denied):
        await send(alice, "bob", report())
    with pytest.raises(Denied):
        await alice.publish_stored("feedback.alice.other", b"{}", headers={MESSAGE_ID_HEADER: "x"})
    assert (await read_reports(await friends.admin_link(), WantedReports())).found == ()


async def test_a_quota_refuses_the_one_who_used_it_up_and_nobody_else(friends):
    admin = await friends.admin_link()
    config = (await admin.api("$JS.API.STREAM.INFO.FEEDBACK"))["config"]
    await admin.api("$JS.API.STREAM.UPDATE.FEEDBACK", config | {"max_msgs_per_subject": 3})
    alice, bob = await friends.link("alice"), await friends.link("bob")
    for _ in range(3):
        await send(alice, "alice", report())
    with pytest.raises(BrokerRefused, match="maximum messages per subject"):
        await send(alice, "alice", report())
    await send(alice, "alice", report(Kind.RECEIVED))
    await send(bob, "bob", report())


async def test_reports_are_read_from_the_end_and_chosen(friends):
    alice, bob = await friends.link("alice"), await friends.link("bob")
    for number in range(70):
        await send(alice, "alice", report(label=f"a{number}"))
    await send(bob, "bob", report(label="b"))
    await send(alice, "alice", status_report())
    admin = await friends.admin_link()

    async def labels(**wanted):
        return [each.feedback.label for each in (await read_reports(admin, WantedReports(**wanted))).found]

    assert len(await labels()) == 72
    assert await labels(user="alice", kind=Kind.DECISION, limit=2) == ["a68", "a69"]
    assert await labels(user="bob") == ["b"]
    assert await labels(kind=Kind.STATUS) == [""]
    assert await labels(since=NOW + timedelta(days=1)) == []
    assert len(await labels(since=NOW - timedelta(days=1), limit=71)) == 71


async def test_what_is_no_report_is_counted_and_left_out(friends):
    alice = await friends.link("alice")
    for payload in (b"not json", b"{}", orjson.dumps({"kind": "fill"}), feedback_bytes(report(Kind.FILL))):
        await alice.publish_stored(
            "feedback.alice.decision", payload, headers={MESSAGE_ID_HEADER: secrets.token_hex(8)}
        )
    await send(alice, "alice", report())
    found = await read_reports(await friends.admin_link(), WantedReports())
    assert (len(found.found), found.unreadable) == (1, 4)


async def test_the_last_status_is_shown_as_the_friends_own_word(friends):
    alice, desk = await friends.link("alice"), friends.up.desk
    await send(alice, "alice", status_report(position=3))
    await send(alice, "alice", status_report(position=8))
    states = {state.user.name: state for state in await user_states(desk)}
    assert states["alice"].report.status.position == 8
    assert states["alice"].as_dict()["report"]["lag"] == 2
    assert states["bob"].report is None
    assert (await user_details(desk, "alice")).state.report.status.version == "0.3.0"


async def test_a_report_of_an_earlier_user_of_the_same_name_does_not_count(friends):
    desk = friends.up.desk
    await send(await friends.link("alice"), "alice", status_report())
    await offboard(desk, "alice", now=datetime.now(UTC))
    later = datetime.now(UTC) + timedelta(seconds=1)
    from signal_admin.users import add_user

    await add_user(desk, "alice", ("signals.fda.*",), now=later)
    assert await last_status(await friends.admin_link(), read_user(desk, "alice")) is None
    assert len(all_users(desk)) == 2
