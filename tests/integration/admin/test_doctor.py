"""The operator's doctor against a real server of his, whole and broken; and its canary, which reaches nobody."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.apply import read_durables
from signal_admin.doctor.checks import examine_operator
from signal_contract.doctor.finding import Finding, Grade
from signal_contract.subject import is_entitled


async def examined(data, *, off_s: float = 0, **more) -> dict[str, Finding]:
    """The findings by id; this machine's clock is `off_s` seconds ahead."""
    options = {"wait_s": 0.0} | more
    found = await examine_operator(data, clock=lambda: datetime.now(UTC) + timedelta(seconds=off_s), **options)
    return {each.check.id: each for each in found}


def failed(found: dict[str, Finding]) -> set[str]:
    return {each for each, finding in found.items() if finding.grade is Grade.FAIL}


def but(wanted: str) -> frozenset[str]:
    """All checks but the publisher's sign of life: in these tests no publisher runs."""
    return frozenset(f"D{number:02d}" for number in range(1, 29)) - {"D19", *wanted.split()} - _OF_FRIENDS


_OF_FRIENDS = {"D05", "D06", "D20", "D22", "D24", "D25"}


@pytest.fixture
async def friends(operator):
    await operator.add_user("alice", ["signals.fda.*"])
    await operator.add_user("bob", ["signals.*.*"])
    return operator


async def test_a_sound_server_has_nothing_to_do_and_nothing_is_changed(friends):
    admin = await friends.admin_link()
    streams = ("SIGNALS", "FEEDBACK", "AUDIT")
    before = {name: await admin.api(f"$JS.API.STREAM.INFO.{name}") for name in streams}
    durables = await read_durables(admin)
    found = await examined(friends.data, only=but(""))
    assert failed(found) == set(), [found[each].message for each in failed(found)]
    assert {each for each, finding in found.items() if finding.grade is Grade.SKIPPED} == {"D28"}
    after = {name: await admin.api(f"$JS.API.STREAM.INFO.{name}") for name in streams}
    assert {name: info["config"] for name, info in after.items()} == {
        name: info["config"] for name, info in before.items()
    }
    for name in ("SIGNALS", "FEEDBACK"):
        assert after[name]["state"]["last_seq"] == before[name]["state"]["last_seq"]
    assert (await read_durables(admin)).keys() == durables.keys()


async def test_the_canary_flies_the_whole_way_and_is_for_no_friend(friends):
    admin = await friends.admin_link()
    found = await examined(friends.data, only=frozenset({"D29"}), has_canary=True)
    assert found["D29"].grade is Grade.OK, found["D29"].message
    message = (await admin.api("$JS.API.STREAM.MSG.GET.SIGNALS", {"seq": 1}))["message"]
    assert message["subject"].startswith("control.user.canary-")
    assert message["subject"].endswith(".notice")
    durables = await read_durables(admin)
    assert sorted(durables) == ["sub_alice", "sub_bob"], "its own durable is gone"
    assert {info["num_pending"] for info in durables.values()} == {0}
    assert not is_entitled(message["subject"], ("signals.*.*",))


async def test_without_a_server_the_rest_is_still_looked_at(friends):
    data = friends.data
    await friends.stop()
    found = await examined(data)
    assert failed(found) == {"D07"}
    assert "catalyst up" in found["D07"].cure
    assert found["D12"].facts["because_of"] == "D07"
    assert found["D27"].grade is Grade.OK


async def test_a_directory_of_nobody(tmp_path):
    found = await examined(tmp_path)
    assert failed(found) == {"D01"}


async def test_a_durable_that_is_gone_and_one_with_other_filters_are_named(friends):
    admin = await friends.admin_link()
    await admin.api("$JS.API.CONSUMER.DELETE.SIGNALS.sub_bob")
    config = (await admin.api("$JS.API.CONSUMER.INFO.SIGNALS.sub_alice"))["config"]
    changed = {**config, "filter_subjects": ["signals.*.*", *config["filter_subjects"][1:]]}
    body = {"stream_name": "SIGNALS", "config": changed, "action": "update"}
    await admin.api("$JS.API.CONSUMER.CREATE.SIGNALS.sub_alice", body)
    found = await examined(friends.data, only=frozenset({"D15"}))
    assert found["D15"].facts["gone"] == ["bob"]
    assert "alice (filter_subjects)" in found["D15"].message
    assert "user repair bob" in found["D15"].cure


async def test_a_stream_that_is_not_as_planned_is_named(friends):
    admin = await friends.admin_link()
    config = (await admin.api("$JS.API.STREAM.INFO.SIGNALS"))["config"]
    await admin.api("$JS.API.STREAM.UPDATE.SIGNALS", {**config, "max_bytes": 1 << 20})
    found = await examined(friends.data, only=frozenset({"D16"}))
    assert found["D16"].grade is Grade.WARN
    assert "max_bytes" in found["D16"].message


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
@pytest.mark.parametrize(
    ("path", "check"),
    [("admin/admin.creds", "D02"), ("vault/message-signing.seed", "D27")],
    ids=["creds", "vault"],
)
async def test_a_secret_that_others_can_read(friends, path, check):
    (friends.data / path).chmod(0o644)
    found = await examined(friends.data, only=frozenset({check}))
    assert failed(found) == {check}
    assert "chmod 600" in found[check].cure


async def test_a_clock_that_is_off(friends):
    found = await examined(friends.data, off_s=30, only=frozenset({"D13"}))
    assert failed(found) == {"D13"}


async def test_a_publisher_that_is_down_or_silent(friends):
    at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    state = {"at": at, "state": "down", "reason": "no route", "waiting": 3}
    (friends.data / "publisher" / "state.json").write_text(json.dumps(state))
    found = await examined(friends.data, only=frozenset({"D19", "D28"}), wait_s=0.2)
    assert failed(found) == {"D19", "D28"}
    assert "no route" in found["D28"].message


async def test_no_secret_is_in_any_finding(friends):
    found = await examined(friends.data, only=but(""))
    said = "".join(str(each.as_dict()) for each in found.values())
    for path in (friends.data / "vault").glob("*.seed"):
        assert path.read_text().strip() not in said
