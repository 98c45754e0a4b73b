"""The life of a credential on a real server: revoked, rotated, extended, given other filters, offboarded, repaired."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.actions import offboard, retire_due_keys, revoke, set_filters, sync
from signal_admin.commit import Outcome
from signal_admin.constraints import constraints_from
from signal_admin.invites import Handover, Invitation, extend, invite, rotate
from signal_admin.registry import User, all_users, read_user, write_user
from signal_admin.users import user_details
from signal_contract.errors import CredsRevoked, Denied, NotFound
from signal_contract.invite import read_invite
from signal_contract.link import Link
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import info_subject, pull_subject

FDA = ("signals.fda.*",)
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def outcomes(report) -> dict[str, Outcome]:
    return {step.what: step.outcome for step in report.steps}


async def invited(operator, tmp_path, name="alice", **limits):
    constraints = constraints_from(limits.get("cidrs", ()), (), None)
    wanted = Invitation(name, FDA, now() + 90 * DAY, constraints, limits.get("public_key"))
    made = await invite(operator.up.desk, wanted, Handover(tmp_path / f"{name}.invite"), now=now())
    assert made.report.is_complete
    return made


def kept(operator, tmp_path, name="alice"):
    """A copy of the creds as they are now, as the friend has them."""
    path = tmp_path / f"{name}-{len(list(tmp_path.glob('*.creds')))}.creds"
    path.write_text(operator.creds_path(name).read_text())
    path.chmod(0o600)
    return path


async def refused(operator, creds) -> bool:
    try:
        await operator.link(creds)
    except Denied:
        return True
    return False


async def works(link: Link, name="alice") -> bool:
    return (await link.api(info_subject(name)))["name"] == f"sub_{name}"


async def publish(operator, *tickers, catalyst="fda"):
    link = await operator.link("publisher")
    for ticker in tickers:
        await link.publish_stored(f"signals.{catalyst}.{ticker}", b"{}", headers={MESSAGE_ID_HEADER: ticker})


async def test_an_invited_friend_is_let_in_at_once(operator, tmp_path):
    await invited(operator, tmp_path)
    assert await works(await operator.link("alice"))


async def test_a_revoked_friend_is_out_at_once_and_for_good(operator, tmp_path):
    await invited(operator, tmp_path)
    link = await operator.link("alice")
    report = await revoke(operator.up.desk, "alice", now=now())
    assert set(outcomes(report).values()) == {Outcome.DONE}
    async with asyncio.timeout(1):
        await link.closed.wait()
    assert isinstance(link.failure, CredsRevoked)
    assert await refused(operator, "alice")
    await operator.restart()
    assert await refused(operator, "alice")


async def test_a_revocation_survives_a_stop_and_a_start(data_dir, start_operator, tmp_path):
    first = await start_operator(data_dir)
    await invited(first, tmp_path)
    await invited(first, tmp_path, "bob")
    await revoke(first.up.desk, "alice", now=now())
    await first.stop()
    again = await start_operator(data_dir)
    try:
        assert await refused(again, "alice")
        assert await works(await again.link("bob"), "bob")
    finally:
        await again.stop()


async def test_who_is_revoked_while_the_server_is_down_never_gets_in_again(data_dir, start_operator, tmp_path):
    first = await start_operator(data_dir)
    await invited(first, tmp_path)
    await first.stop()
    report = await revoke(first.up.desk, "alice", now=now())
    assert outcomes(report)["account JWT"] is Outcome.LATER
    again = await start_operator(data_dir)
    try:
        assert await refused(again, "alice")
    finally:
        await again.stop()


async def test_other_friends_stay_connected_while_one_is_revoked(operator, tmp_path):
    await invited(operator, tmp_path)
    await invited(operator, tmp_path, "bob")
    notices = []
    bob = await operator.link("bob", notices.append)
    await revoke(operator.up.desk, "alice", now=now())
    assert await works(bob, "bob")
    assert [each.event for each in notices] == ["connected"]


async def test_a_rotation_overlaps_and_the_old_key_retires(operator, tmp_path):
    await invited(operator, tmp_path)
    old = kept(operator, tmp_path)
    desk = operator.up.desk
    await rotate(desk, "alice", Handover(tmp_path / "new.invite"), now=now(), overlap=DAY)
    running, renewed = await operator.link(old), await operator.link("alice")
    assert await works(running)
    assert await works(renewed)
    await sync(desk, now=now() + timedelta(hours=23))
    assert await works(running)
    await sync(desk, now=now() + 2 * DAY)
    async with asyncio.timeout(5):
        await running.closed.wait()
    assert await refused(operator, old)
    assert await works(renewed)
    assert read_user(desk, "alice").retiring == ()


async def test_housekeeping_retires_what_is_due_and_says_so(operator, tmp_path):
    await invited(operator, tmp_path)
    old, said = kept(operator, tmp_path), []
    desk = operator.up.desk
    await rotate(desk, "alice", Handover(tmp_path / "b"), now=now() - 2 * DAY, overlap=DAY)
    await retire_due_keys(desk, said.append)
    assert said == ["user retire-key alice: done"]
    assert await refused(operator, old)
    await retire_due_keys(desk, said.append)
    assert len(said) == 1


async def test_a_rotation_without_overlap_closes_the_old_key_now(operator, tmp_path):
    await invited(operator, tmp_path)
    old = await operator.link(kept(operator, tmp_path))
    await rotate(operator.up.desk, "alice", Handover(tmp_path / "b"), now=now(), overlap=timedelta())
    async with asyncio.timeout(5):
        await old.closed.wait()
    assert await works(await operator.link("alice"))


async def test_a_revoked_friend_comes_back_with_a_new_key_where_he_was(operator, tmp_path):
    await invited(operator, tmp_path)
    await publish(operator, "AAPL")
    old = kept(operator, tmp_path)
    await revoke(operator.up.desk, "alice", now=now())
    await rotate(operator.up.desk, "alice", Handover(tmp_path / "b"), now=now(), overlap=DAY)
    assert await refused(operator, old)
    link = await operator.link("alice")
    assert (await link.api(info_subject("alice")))["num_pending"] == 1


async def test_an_extension_leaves_the_running_agent_alone(operator, tmp_path):
    await invited(operator, tmp_path)
    running = await operator.link(kept(operator, tmp_path))
    made = await extend(operator.up.desk, "alice", Handover(tmp_path / "b"), now=now(), expires_at=now() + 200 * DAY)
    assert await works(running)
    assert await works(await operator.link("alice"))
    assert read_invite(made.file, str).expires_at > now() + 199 * DAY


async def test_an_extension_of_a_limited_friend_is_signed_by_his_own_key(operator, tmp_path):
    await invited(operator, tmp_path, cidrs=["127.0.0.0/8"])
    await extend(operator.up.desk, "alice", Handover(tmp_path / "b"), now=now(), expires_at=now() + 200 * DAY)
    assert await works(await operator.link("alice"))


async def test_offboarding_shows_each_step_and_leaves_nothing(operator, tmp_path):
    await invited(operator, tmp_path)
    link, desk = await operator.link("alice"), operator.up.desk
    report = await offboard(desk, "alice", now=now())
    assert outcomes(report) == dict.fromkeys(
        ("registry", "account JWT", "live connections", "durable", "registry entry", "audit"), Outcome.DONE
    )
    async with asyncio.timeout(1):
        await link.closed.wait()
    assert all_users(desk) == ()
    names = (await (await operator.admin_link()).api("$JS.API.CONSUMER.NAMES.SIGNALS"))["consumers"]
    assert "sub_alice" not in (names or [])
    assert not (desk.users / "alice").exists()
    with pytest.raises(NotFound):
        await offboard(desk, "alice", now=now())


async def test_a_friend_of_the_same_name_starts_anew_and_the_old_creds_stay_out(operator, tmp_path):
    await invited(operator, tmp_path)
    old = kept(operator, tmp_path)
    await publish(operator, "AAPL")
    await offboard(operator.up.desk, "alice", now=now())
    (tmp_path / "alice.invite").unlink()
    await invited(operator, tmp_path)
    assert await refused(operator, old)
    link = await operator.link("alice")
    assert (await link.api(info_subject("alice")))["num_pending"] == 0


async def test_an_offboarding_while_the_server_was_down_is_finished_at_the_next_start(
    data_dir, start_operator, tmp_path
):
    first = await start_operator(data_dir)
    await invited(first, tmp_path)
    creds = kept(first, tmp_path)
    await first.stop()
    await offboard(first.up.desk, "alice", now=now())
    again = await start_operator(data_dir)
    try:
        assert await refused(again, creds)
        assert all_users(again.up.desk) == ()
        assert "user offboard alice: done" in again.said
        assert (await (await again.admin_link()).api("$JS.API.CONSUMER.LIST.SIGNALS"))["total"] == 0
    finally:
        await again.stop()


async def test_a_server_that_does_not_answer_is_reported_and_sync_repairs_it(operator, tmp_path, until):
    await invited(operator, tmp_path)
    creds, pid = kept(operator, tmp_path), operator.up.supervisor.running.nats_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        report = await revoke(operator.up.desk, "alice", now=now())
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not report.is_complete
    assert outcomes(report)["account JWT"] is Outcome.FAILED
    assert "user sync" in next(step.detail for step in report.steps if step.what == "account JWT")
    (whole,) = await sync(operator.up.desk, now=now())
    assert whole.is_complete
    assert await refused(operator, creds)


async def test_a_durable_that_is_missing_is_made_again_by_sync(operator, tmp_path):
    await invited(operator, tmp_path)
    await publish(operator, "AAPL")
    await (await operator.admin_link()).api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    (whole,) = await sync(operator.up.desk, now=now())
    assert "changed: alice" in next(step.detail for step in whole.steps if step.what == "durables")
    assert (await (await operator.link("alice")).api(info_subject("alice")))["num_pending"] == 1


class Reader:
    """Pulls and acknowledges without a pause, and keeps what came."""

    def __init__(self, link: Link, user: str) -> None:
        self.link, self.user, self.got = link, user, []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Reader":
        inbox = self.link.new_inbox()
        await self.link.subscribe(inbox, self._on_message)
        self._pull = (pull_subject(self.user), b'{"batch":100,"expires":2000000000,"idle_heartbeat":500000000}', inbox)
        await self._ask()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def _ask(self) -> None:
        subject, body, inbox = self._pull
        self._left = 100
        await self.link.publish(subject, body, reply=inbox)

    async def _on_message(self, delivery) -> None:
        if delivery.status:
            if delivery.status != "100":
                await self._ask()
            return
        self.got.append(delivery.subject)
        await self.link.publish(delivery.reply, b"+ACK")
        self._left -= 1
        if self._left == 0:
            await self._ask()


async def test_filters_change_without_a_break_over_a_thousand_messages(operator, tmp_path, until):
    await invited(operator, tmp_path)
    desk, publisher = operator.up.desk, await operator.link("publisher")
    async with Reader(await operator.link("alice"), "alice") as reader:
        for number in range(1000):
            await publisher.publish_stored(f"signals.fda.T{number}", b"{}", headers={MESSAGE_ID_HEADER: f"m{number}"})
            if number % 50 == 25:
                other = "merger" if number % 100 == 25 else "uplisting"
                report = await set_filters(desk, "alice", (*FDA, f"signals.{other}.*"), now=now())
                assert report.is_complete
        await until(lambda: len(reader.got) >= 1000, what="all have come", timeout_s=20)
    assert reader.got == [f"signals.fda.T{number}" for number in range(1000)]


async def test_a_widened_entitlement_counts_from_his_position_and_a_narrowed_one_at_once(operator, tmp_path, until):
    await invited(operator, tmp_path)
    desk = operator.up.desk
    async with Reader(await operator.link("alice"), "alice") as reader:
        await publish(operator, "OLD", catalyst="merger")
        await publish(operator, "FIRST")
        await until(lambda: reader.got == ["signals.fda.FIRST"], what="the first one arrives")
        await set_filters(desk, "alice", (*FDA, "signals.merger.*"), now=now())
        await publish(operator, "NEW", catalyst="merger")
        await until(lambda: len(reader.got) == 2, what="the new subject arrives")
        await set_filters(desk, "alice", FDA, now=now())
        await publish(operator, "GONE", catalyst="merger")
        await publish(operator, "LAST")
        await until(lambda: len(reader.got) == 3, what="the last one arrives")
    assert reader.got == ["signals.fda.FIRST", "signals.merger.NEW", "signals.fda.LAST"]


async def test_the_details_of_a_friend_show_who_is_connected_as_him(operator, tmp_path):
    await invited(operator, tmp_path)
    await operator.link("alice")
    details = await user_details(operator.up.desk, "alice")
    assert [(each.ip, each.name) for each in details.connections] == [("127.0.0.1", "test")]
    assert details.state.pending == 0


async def test_one_of_five_hundred_friends_is_revoked_and_the_others_stay(operator, tmp_path):
    desk = operator.up.desk
    for number in range(498):
        write_user(desk, User(f"friend-{number:03}", f"U{number}", FDA, now()))
    (whole,) = await sync(desk, now=now())
    assert whole.is_complete
    await invited(operator, tmp_path)
    await invited(operator, tmp_path, "bob")
    alice, bob = await operator.link("alice"), await operator.link("bob")
    assert (await revoke(desk, "alice", now=now())).is_complete
    async with asyncio.timeout(1):
        await alice.closed.wait()
    assert await works(bob, "bob")
