"""A lost place in the stream, made again; and a new friend who begins in the past."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.actions import offboard
from signal_admin.audit_reading import Wanted, read_audit
from signal_admin.history import History, start_sequence
from signal_admin.invites import Handover, Invitation, invite
from signal_admin.registry import read_user
from signal_admin.repair import Source, planned_repair, repair
from signal_admin.stored import message_at
from signal_admin.users import add_user
from signal_contract.errors import Conflict, NotFound, ServerUnreachable
from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, feedback_bytes
from signal_contract.invite import read_invite
from signal_contract.signing import MESSAGE_ID_HEADER

NOW = datetime.now(UTC)


async def publish(operator, count):
    link = await operator.link("publisher")
    for _ in range(count):
        headers = {MESSAGE_ID_HEADER: secrets.token_hex(8)}
        await link.publish_stored("signals.fda.ACME", b"{}", headers=headers)


async def tell_position(operator, name, position):
    status = AgentStatus(
        version="0.3.0",
        mode="paper",
        engine="paper",
        link_state="live",
        trading_state="active",
        position=position,
        last_sequence=position,
        pending=0,
        undecided=0,
        privacy=Privacy.DECISIONS,
    )
    report = Feedback(feedback_id=secrets.token_hex(16), kind=Kind.STATUS, at=NOW, status=status)
    headers = {MESSAGE_ID_HEADER: report.feedback_id}
    await (await operator.link(name)).publish_stored(report.subject(name), feedback_bytes(report), headers=headers)


async def info(operator, name):
    return await (await operator.admin_link()).api(f"$JS.API.CONSUMER.INFO.SIGNALS.sub_{name}")


@pytest.fixture
async def lost(operator):
    """alice began at 1, ten signals were published, and her durable is gone."""
    await operator.add_user("alice", ["signals.fda.*"])
    await publish(operator, 10)
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    return operator


async def test_it_begins_behind_the_position_that_the_agent_reported(lost):
    await tell_position(lost, "alice", 7)
    done = await repair(lost.up.desk, "alice", told=None, now=NOW)
    assert (done.placed.start, done.placed.source, done.is_done) == (8, Source.REPORT, True)
    found = await info(lost, "alice")
    assert (found["config"]["opt_start_seq"], found["num_pending"]) == (8, 3)
    assert read_user(lost.up.desk, "alice").start_sequence == 8


async def test_a_told_position_comes_before_the_reported_one(lost):
    await tell_position(lost, "alice", 7)
    assert (await repair(lost.up.desk, "alice", told=4, now=NOW)).placed.source is Source.TOLD
    assert (await info(lost, "alice"))["num_pending"] == 6


@pytest.mark.parametrize("position", [7, 99])
async def test_a_report_that_is_older_than_what_lies_at_its_place_is_of_another_stream(operator, position):
    """A backup was restored: the sequences up to his position were given again, to signals that he has not seen."""
    await operator.add_user("alice", ["signals.fda.*"])
    await tell_position(operator, "alice", position)
    await publish(operator, 10)
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    done = await repair(operator.up.desk, "alice", told=None, now=NOW)
    assert (done.placed.start, done.placed.source) == (1, Source.REGISTRY)


async def test_without_any_report_everything_since_the_beginning_comes_again_and_is_told(lost):
    done = await repair(lost.up.desk, "alice", told=None, now=NOW)
    assert done.placed.source is Source.REGISTRY
    assert "delivered again" in done.placed.notes[0]
    assert (await info(lost, "alice"))["num_pending"] == 10


@pytest.mark.parametrize("position", [11, 1 << 40, (1 << 63) - 1])
async def test_a_made_up_position_counts_as_the_streams_end(lost, position):
    await tell_position(lost, "alice", position)
    done = await repair(lost.up.desk, "alice", told=None, now=NOW)
    assert done.placed.start == 11
    assert "beyond the stream's end at 10" in done.placed.notes[0]
    await publish(lost, 1)
    assert (await info(lost, "alice"))["num_pending"] == 1


async def test_a_plan_changes_nothing(lost):
    before = read_user(lost.up.desk, "alice")
    todo = await planned_repair(lost.up.desk, "alice", told=3, now=NOW)
    assert (todo.placed.start, todo.is_done) == (4, False)
    assert read_user(lost.up.desk, "alice") == before
    assert (await planned_repair(lost.up.desk, "alice", told=3, now=NOW)).is_there is False


async def test_a_durable_that_is_there_stays_as_it_is(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await publish(operator, 3)
    created = (await info(operator, "alice"))["created"]
    done = await repair(operator.up.desk, "alice", told=None, now=NOW)
    assert (done.is_there, done.placed, done.pending) == (True, None, 3)
    with pytest.raises(Conflict):
        await repair(operator.up.desk, "alice", told=1, now=NOW)
    assert (await info(operator, "alice"))["created"] == created
    await repair(operator.up.desk, "alice", told=1, now=NOW, may_replace=True)
    assert (await info(operator, "alice"))["num_pending"] == 2


async def test_it_is_in_the_audit_log_and_the_next_start_makes_the_same_one(lost, data_dir, start_operator):
    await repair(lost.up.desk, "alice", told=6, now=NOW)
    (entry,) = await read_audit(await lost.link("auditor"), Wanted(action="user repair"))
    assert (entry.target, entry.after["start_sequence"], entry.before["durable"]) == ("alice", 7, "gone")
    await (await lost.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    await lost.stop()
    again = await start_operator(data_dir)
    try:
        assert (await info(again, "alice"))["config"]["opt_start_seq"] == 7
    finally:
        await again.stop()


async def test_who_is_not_there_cannot_be_repaired(operator):
    with pytest.raises(NotFound):
        await repair(operator.up.desk, "nobody", told=None, now=NOW)


async def test_without_a_server_it_says_so(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await operator.stop()
    with pytest.raises(ServerUnreachable):
        await repair(operator.up.desk, "alice", told=None, now=NOW)
    report = await offboard(operator.up.desk, "alice", now=datetime.now(UTC))
    assert report.is_complete
    with pytest.raises(Conflict):
        await repair(operator.up.desk, "alice", told=None, now=NOW)


# History ----------------------------------------------------------------------------------------------------------


async def test_a_history_begins_at_the_first_message_that_is_young_enough(operator):
    await publish(operator, 20)
    link = await operator.admin_link()
    times = [(await message_at(link, "SIGNALS", sequence)).at for sequence in range(1, 21)]
    for sequence in (1, 2, 9, 20):
        found = await start_sequence(link, History(times[sequence - 1]))
        # Two messages can be stored in one microsecond, which is all that an instant here can tell apart.
        assert times[found - 1] == times[sequence - 1]
    assert await start_sequence(link, History(times[-1] + timedelta(seconds=1))) == 21
    assert await start_sequence(link, History(times[0] - timedelta(days=1))) == 1
    assert await start_sequence(link, History()) == 1


async def test_in_an_empty_stream_a_history_begins_at_its_first_sequence(operator):
    link = await operator.admin_link()
    assert await start_sequence(link, History()) == 1
    assert await start_sequence(link, History(NOW)) == 1


async def test_a_friend_with_a_history_gets_it_and_one_without_begins_now(operator, tmp_path):
    await publish(operator, 5)
    desk = operator.up.desk
    await add_user(desk, "alice", ("signals.fda.*",), now=NOW, history=History())
    await add_user(desk, "bob", ("signals.fda.*",), now=NOW)
    wanted = Invitation("carol", ("signals.fda.*",), None, history=History(NOW - timedelta(days=7)))
    made = await invite(desk, wanted, Handover(tmp_path / "carol.invite"), now=NOW)
    assert [(await info(operator, name))["num_pending"] for name in ("alice", "bob", "carol")] == [5, 0, 5]
    assert made.user.start_sequence == 1
    words = read_invite(tmp_path / "carol.invite", str).entitlement_in_words
    assert "comes first; what is out of date is shown and not traded" in words


async def test_a_history_needs_the_server_and_leaves_nobody_half_made(operator, tmp_path):
    desk = operator.up.desk
    await operator.stop()
    with pytest.raises(ServerUnreachable):
        await add_user(desk, "alice", ("signals.fda.*",), now=NOW, history=History())
    wanted = Invitation("alice", ("signals.fda.*",), None, history=History())
    with pytest.raises(ServerUnreachable):
        await invite(desk, wanted, Handover(tmp_path / "a.invite"), now=NOW)
    assert not (desk.users / "alice").exists()
    assert not (tmp_path / "a.invite").exists()
