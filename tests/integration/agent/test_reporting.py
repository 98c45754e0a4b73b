"""Reports to the operator against the shipped server: they arrive under the friend's own name, or they wait."""

import asyncio
import base64
import contextlib
import time
from datetime import UTC, datetime

import pytest

from signal_contract.errors import BrokerRefused
from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, read_feedback
from signal_contract.topology import API_PREFIX, FEEDBACK_STREAM, feedback_stream_config
from subscriber_agent.journal import Journal
from subscriber_agent.reporting.reports import parked_report, status_report
from subscriber_agent.reporting.sender import Allowance, FeedbackSender

NOW = datetime.now(UTC)


def report(number, kind=Kind.DECISION):
    return Feedback(feedback_id=f"{number:032x}", kind=kind, at=NOW, label=str(number))


async def with_stream(operator, **changes):
    """The operator's own connection, with stream FEEDBACK as it is provisioned, but for `changes`."""
    admin = await operator.admin_link()
    body = {**feedback_stream_config(), **changes}
    with contextlib.suppress(BrokerRefused):  # there already, as `catalyst up` made it
        await admin.api(f"{API_PREFIX}.STREAM.CREATE.{FEEDBACK_STREAM}", body)
    if changes:
        await admin.api(f"{API_PREFIX}.STREAM.UPDATE.{FEEDBACK_STREAM}", body)
    return admin


async def stored(admin):
    """Every report in the stream, with the user it came from, in order."""
    info = await admin.api(f"{API_PREFIX}.STREAM.INFO.{FEEDBACK_STREAM}")
    found = []
    for sequence in range(1, int(info["state"]["last_seq"]) + 1):
        answer = await admin.api(f"{API_PREFIX}.STREAM.MSG.GET.{FEEDBACK_STREAM}", {"seq": sequence})
        message = answer["message"]

        found.append(read_feedback(message["subject"], base64.b64decode(message["data"])))
    return found


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


@contextlib.asynccontextmanager
async def sending(link, journal, problems=None, **options):
    on_problem = [].append if problems is None else problems.append
    sender = FeedbackSender(link, journal, "alice", on_problem=on_problem, **options)
    task = asyncio.create_task(sender.run(), name="feedback")
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()


async def test_reports_arrive_in_order_under_the_friends_own_subject(operator, journal, until):
    admin = await with_stream(operator)
    await operator.add_user("alice", ["signals.*.*"])
    journal.add_feedback(report(number) for number in range(30))
    async with sending(await operator.link("alice"), journal) as sender:
        await until(lambda: journal.feedback_count() == 0, what="all are sent")
        journal.add_feedback([report(30, Kind.STATUS)])
        sender.wake()
        await until(lambda: journal.feedback_count() == 0, what="the last one is sent", timeout_s=2)
    found = await stored(admin)
    assert [(user, each.label) for user, each in found] == [("alice", str(number)) for number in range(31)]


async def test_what_leaves_is_what_the_privacy_level_allows(operator, journal, until):
    admin = await with_stream(operator)
    await operator.add_user("alice", ["signals.*.*"])
    health = {"version": "1", "mode": "paper", "engine": "paper", "link_state": "LIVE", "trading_state": "ACTIVE"}
    counts = {"position": 1, "last_sequence": 1, "pending": 0, "undecided": 0, "privacy": Privacy.DECISIONS}
    reports = [
        parked_report(7, "SIGNATURE_INVALID", NOW, Privacy.DECISIONS, "1" * 32),
        parked_report(8, "SIGNATURE_INVALID", NOW, Privacy.NONE, "2" * 32),
        status_report(AgentStatus(**health, **counts), NOW, Privacy.DECISIONS, "3" * 32),
    ]
    journal.add_feedback(each for each in reports if each is not None)
    async with sending(await operator.link("alice"), journal):
        await until(lambda: journal.feedback_count() == 0, what="all are sent")
    assert [(each.kind, each.stream_seq) for _, each in await stored(admin)] == [
        (Kind.RECEIVED, 7),
        (Kind.STATUS, None),
    ]


async def test_what_was_written_under_a_wider_level_is_trimmed_to_the_one_of_now(operator, journal, until):
    admin = await with_stream(operator)
    await operator.add_user("alice", ["signals.*.*"])
    journal.add_feedback([report(1).model_copy(update={"detail": "secret"}), report(2, Kind.FILL)])
    async with sending(await operator.link("alice"), journal, privacy=Privacy.DECISIONS):
        await until(lambda: journal.feedback_count() == 0, what="all are done with")
    assert [(each.label, each.detail) for _, each in await stored(admin)] == [("1", "")]


async def test_a_report_sent_twice_is_stored_once(operator, journal, until):
    admin = await with_stream(operator)
    await operator.add_user("alice", ["signals.*.*"])
    for _ in range(2):
        journal.add_feedback([report(1)])
        async with sending(await operator.link("alice"), journal):
            await until(lambda: journal.feedback_count() == 0, what="it is sent")
    assert len(await stored(admin)) == 1


async def test_a_quota_that_is_used_up_is_told_once_and_holds_up_no_other_kind(operator, journal, until):
    admin = await with_stream(operator, max_msgs_per_subject=2)
    await operator.add_user("alice", ["signals.*.*"])
    journal.add_feedback(report(number) for number in range(5))
    journal.add_feedback([report(9, Kind.STATUS)])
    problems = []
    async with sending(await operator.link("alice"), journal, problems):
        await until(lambda: journal.feedback_count() == 3, what="what is allowed is sent")
    assert [each.label for _, each in await stored(admin)] == ["0", "1", "9"]
    assert [each.label for each in journal.feedback_waiting(9)] == ["2", "3", "4"]
    assert len(problems) == 1
    assert "maximum messages per subject" in problems[0]


async def test_while_the_server_is_away_reports_are_kept_and_sent_later(operator, journal, until):
    admin = await with_stream(operator)
    await operator.add_user("alice", ["signals.*.*"])
    link = await operator.link("alice")
    async with sending(link, journal):
        old = operator.kill_server()
        await until(lambda: not link.is_connected, what="the connection is gone")
        began = time.monotonic()
        journal.add_feedback(report(number) for number in range(3))
        assert time.monotonic() - began < 1
        await operator.wait_restarted(old)
        await until(lambda: journal.feedback_count() == 0, what="they are sent", timeout_s=20)
    assert [each.label for _, each in await stored(admin)] == ["0", "1", "2"]


async def test_it_ends_with_the_link(operator, journal):
    await operator.add_user("alice", ["signals.*.*"])
    link = await operator.link("alice")
    sender = FeedbackSender(link, journal, "alice", on_problem=print)
    await link.close()
    async with asyncio.timeout(5):
        await sender.run()


def test_forty_go_at_once_and_then_eight_a_second():
    allowance, waits = Allowance(at=50.0), []
    for _ in range(42):
        allowance, wait_s = allowance.after(50.0)
        waits.append(wait_s)
    assert waits[:40] == [0.0] * 40
    assert waits[40:] == [0.125, 0.25]
    assert allowance.after(60.0)[1] == 0.0
    assert allowance.after(49.0)[1] == pytest.approx(0.375)
