"""The friend's doctor against real servers, whole and broken; and beside a running agent, which must not notice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from live_agent import Agent, a_signal, publishing, running

from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.actions import revoke
from signal_admin.flags.bucket import apply, change_from
from signal_contract.creds import claims_of, read_creds
from signal_contract.doctor.finding import Finding, Grade
from signal_contract.errors import AlreadyRunning, DurableMissing
from subscriber_agent.doctor.checks import examine_agent
from subscriber_agent.doctor.local import Machine
from subscriber_agent.doctor.remote import Way
from subscriber_agent.identity.holding import held
from subscriber_agent.journal import Journal
from subscriber_agent.settings.config import load_config


async def examined(config: Path, *, off_s: float = 0, **more) -> dict[str, Finding]:
    """The findings by id; this machine's clock is `off_s` seconds ahead."""
    options = {"wait_s": 0.0} | more
    clock = more.pop("clock", lambda: datetime.now(UTC) + timedelta(seconds=off_s))
    return {each.check.id: each for each in await examine_agent(config, clock=clock, **options)}


def failed(found: dict[str, Finding]) -> set[str]:
    return {each for each, finding in found.items() if finding.grade is Grade.FAIL}


def changed(config: Path, **settings) -> Path:
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | settings))
    return config


@pytest.fixture
async def alice(operator):
    return await operator.add_user("alice", ["signals.fda.*"])


async def test_a_sound_friend_has_nothing_to_do_and_nothing_is_stored(operator, alice):
    found = await examined(alice)
    assert failed(found) == set(), [found[each].message for each in failed(found)]
    assert {found[each].grade for each in ("D08", "D09", "D10", "D11", "D12", "D13", "D15", "D17", "D18", "D21")} == {
        Grade.OK
    }
    assert "signals.fda.*" in found["D15"].message
    admin = await operator.admin_link()
    for stream in ("SIGNALS", "FEEDBACK"):
        assert (await admin.api(f"$JS.API.STREAM.INFO.{stream}"))["state"]["last_seq"] == 0
    durable = await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
    assert (durable["num_waiting"], durable["delivered"]["consumer_seq"]) == (0, 0)


async def test_beside_a_running_agent_no_signal_is_taken_and_none_is_late(operator, alice, until):
    agent = Agent(alice, "alice")
    async with running(agent, until), publishing(operator) as publish:
        admin = await operator.admin_link()
        before = (await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice"))["num_waiting"]
        with holding(alice):
            found = await examined(alice)
        await publish(a_signal(catalyst="fda", catalysts=["fda"]))
        await until(lambda: len(agent.labels) == 1, what="the signal is decided")
        assert failed(found) == set(), [found[each].message for each in failed(found)]
        assert found["D20"].grade is Grade.OK
        after = await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice")
        assert (after["num_waiting"], after["num_redelivered"]) == (before, 0)
        assert len(agent.of("connected")) == 1


async def test_a_durable_that_is_gone_fails_and_what_stands_on_it_is_skipped(operator, alice):
    admin = await operator.admin_link()
    await admin.api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_alice")
    found = await examined(alice)
    assert failed(found) == {"D15"}
    assert "user repair" in found["D15"].cure
    assert found["D15"].facts["code"] == DurableMissing.code
    assert {found[each].grade for each in ("D13", "D20", "D21")} == {Grade.SKIPPED}


@pytest.mark.parametrize(
    ("filters", "word"),
    [
        (["signals.fda.*", "control.user.alice.*"], "leaves out the operator's word"),
        (["control.all.*", "control.user.alice.*"], "no signals at all"),
        (["signals.*.*", "control.all.*", "control.user.alice.*", "control.user.bob.*"], "not yours"),
    ],
    ids=["no-control", "no-signals", "another-friend"],
)
async def test_filters_that_cannot_be_right_fail(operator, alice, filters, word):
    admin = await operator.admin_link()
    config = (await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice"))["config"]
    body = {"stream_name": "SIGNALS", "config": {**config, "filter_subjects": filters}, "action": "update"}
    await admin.api("$JS.API.CONSUMER.CREATE.SIGNALS.sub_alice", body)
    found = await examined(alice)
    assert failed(found) == {"D15"}
    assert word in found["D15"].message


async def test_a_revoked_friend_cannot_log_in_and_is_told_to_ask(operator, alice):
    await revoke(operator.up.desk, "alice", now=datetime.now(UTC))
    found = await examined(alice)
    assert failed(found) == {"D12"}
    assert "refused these credentials" in found["D12"].message
    assert found["D15"].facts["because_of"] == "D12"


async def test_a_port_where_nothing_listens(alice, free_port_of):
    found = await examined(changed(alice, servers=[f"nats://127.0.0.1:{free_port_of()}"]))
    assert failed(found) == {"D09"}
    assert "refused" in found["D09"].message
    assert found["D12"].facts["because_of"] == "D09"


@pytest.fixture
def free_port_of():
    import socket

    def port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return port


async def test_a_name_that_nobody_has(alice):
    found = await examined(changed(alice, servers=["tls://nobody.invalid:4222"]))
    assert failed(found) == {"D08"}


async def test_clear_text_to_another_machine_is_named_although_the_config_is_refused(alice):
    found = await examined(changed(alice, servers=["nats://signals.example.org:4222"]))
    assert failed(found) == {"D01", "D07"}
    assert "clear text" in found["D07"].message


@pytest.mark.parametrize(
    ("version", "grade"), [("2.9.25", Grade.FAIL), ("2.12.4", Grade.WARN), ("2.15.1", Grade.OK), ("new", Grade.FAIL)]
)
async def test_the_servers_version_is_judged_before_the_log_in(alice, version, grade):
    async def greet(_reader, writer):
        writer.write(b'INFO {"server_id":"X","version":"%s","max_payload":1000}\r\n' % version.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await examined(changed(alice, servers=[url]), only=frozenset({"D11"}))
    assert found["D11"].grade is grade


async def test_something_else_that_listens_there_is_no_server(alice):
    async def greet(_reader, writer):
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await examined(changed(alice, servers=[url]), only=frozenset({"D11"}))
    assert "does not greet" in found["D11"].message


@pytest.mark.parametrize(("off_s", "grade"), [(30, Grade.FAIL), (-30, Grade.FAIL), (5, Grade.WARN), (0, Grade.OK)])
async def test_a_clock_that_is_off_by_more_than_the_limits_allow(alice, off_s, grade):
    found = await examined(alice, off_s=off_s, only=frozenset({"D13"}))
    assert found["D13"].grade is grade, found["D13"].message


async def test_an_agent_elsewhere_is_seen_by_its_pull(operator, alice, until, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copy = elsewhere / "agent.yaml"
    settings = yaml.safe_load(alice.read_text()) | {"creds": str(operator.creds_path("alice")), "data": "data"}
    copy.write_text(yaml.safe_dump(settings))
    async with running(Agent(copy, "alice"), until):
        found = await examined(alice, only=frozenset({"D20"}))
    assert found["D20"].grade is Grade.WARN
    assert "another one" in found["D20"].message


async def test_a_publisher_that_is_silent_fails_and_its_sign_of_life_is_heard(operator, alice):
    silent = await examined(alice, only=frozenset({"D19"}), wait_s=0.2)
    assert silent["D19"].grade is Grade.SKIPPED, "0.2 s are too short to be sure"
    settings = read_settings(operator.data, now=datetime.now(UTC))
    async with SignalPublisher(settings, background=True, heartbeat_s=0.2):
        heard = await examined(alice, only=frozenset({"D19"}), wait_s=5.0)
    assert heard["D19"].grade is Grade.OK, heard["D19"].message


async def test_a_stale_heartbeat_that_a_running_agent_noted_fails(operator, alice, until):
    agent = Agent(alice, "alice")
    async with running(agent, until):
        old = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        agent.journal.set_meta("heartbeat", json.dumps({"at": old, "state": "up"}))
        with holding(alice):
            found = await examined(alice, only=frozenset({"D19"}))
    assert failed(found) == {"D19"}
    assert "300 s old" in found["D19"].message


def holding(config: Path):
    """The lock that `run` holds; the agents of these tests run without it."""
    from subscriber_agent.identity.holding import held

    loaded = load_config(config)
    creds = read_creds(loaded.creds)
    return held(loaded.data_dir(creds.user, creds.account), "alice")


async def test_the_canary_is_a_report_that_is_stored_once_and_no_status(operator, alice):
    found = await examined(alice, only=frozenset({"D29"}), has_canary=True)
    assert found["D29"].grade is Grade.OK, found["D29"].message
    admin = await operator.admin_link()
    message = (await admin.api("$JS.API.STREAM.MSG.GET.FEEDBACK", {"seq": 1}))["message"]
    assert message["subject"] == "feedback.alice.received"
    private = await examined(changed(alice, privacy="none"), only=frozenset({"D29"}), has_canary=True)
    assert private["D29"].grade is Grade.SKIPPED
    assert (await admin.api("$JS.API.STREAM.INFO.FEEDBACK"))["state"]["last_seq"] == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
async def test_creds_that_others_can_read(operator, alice):
    operator.creds_path("alice").chmod(0o644)
    found = await examined(alice)
    assert failed(found) == {"D02"}
    assert "chmod 600" in found["D02"].cure


async def test_a_damaged_journal_is_found_and_left_as_it_is(alice):
    loaded = load_config(alice)
    creds = read_creds(loaded.creds)
    path = loaded.data_dir(creds.user, creds.account) / "journal.sqlite"
    Journal.open(path).close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\x5a" * 4096
    path.write_bytes(content)
    found = await examined(alice, only=frozenset({"D05", "D22"}))
    assert failed(found) == {"D05"}
    assert found["D22"].facts["because_of"] == "D05"
    assert path.read_bytes() == bytes(content)


async def test_no_secret_is_in_any_finding(operator, alice):
    found = await examined(alice)
    creds = read_creds(operator.creds_path("alice"))
    said = "".join(str(each.as_dict()) for each in found.values())
    assert creds.jwt not in said
    assert creds.key.seed not in said
    assert claims_of(creds.jwt)["jti"] not in said


async def test_what_is_forbidden_and_works_is_a_failure_and_still_without_effect(operator, alice):
    machine = Machine(alice, lambda: datetime.now(UTC))
    await machine.config_read()
    await machine.creds_read()
    way = Way(machine, 0.0)
    way.link = await operator.link("admin", way.denials)
    verdict = await way.forbidden_tried()
    assert verdict.grade is Grade.FAIL
    assert "publish $JS.API.CONSUMER.LIST.SIGNALS" in verdict.facts["allowed"]
    assert "publish control.all.notice" in verdict.facts["allowed"]
    assert (await way.link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["last_seq"] == 0


async def test_a_flag_that_holds_entries_back_is_named(operator, alice, until):
    desk = operator.up.desk
    await apply(desk, change_from(desk, "entries_percent", "0"), now=datetime.now(UTC))
    agent = Agent(alice, "alice")
    async with running(agent, until):
        found = (await examined(alice, only=("D23",)))["D23"]
    assert (found.grade, found.message) == (Grade.WARN, "the operator's flag entries_percent 0")


async def test_while_the_engine_is_asked_no_agent_can_start_beside_it(operator, alice, tmp_path, until):
    """Two programs at one engine: the doctor's and the agent's. It holds the identity as long as it asks."""
    settings = load_config(alice)
    creds = read_creds(settings.creds, role="subscriber")
    data = settings.data_dir(creds.user, creds.account)
    with held(data, "alice"):
        pass  # an agent has run here
    program = tmp_path / "slow_engine.py"
    program.write_text("import pathlib, sys, time\npathlib.Path('asked').touch()\ntime.sleep(30)\n")
    command = {"argv": [sys.executable, "-I", "-S", str(program)], "is_paper": True}
    changed(alice, engine={"kind": "command", "command": command})
    looking = asyncio.create_task(examined(alice, only=("D24",)))
    places = (tmp_path, data, alice.parent)
    await until(lambda: any((each / "asked").exists() for each in places), what="the program runs")
    with pytest.raises(AlreadyRunning), held(data, "alice"):
        pass
    assert (await looking)["D24"].grade is Grade.FAIL
    with held(data, "alice"):
        pass
