"""The registry of checks, what is judged on both sides, and how an examination is run."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.server.binary import OLDEST
from signal_contract.doctor.checks import CHECKS, check_of, checks_of, chosen, with_needs
from signal_contract.doctor.examine import BECAUSE_OF, Step, examine
from signal_contract.doctor.finding import Grade, Side, Symptom, fail, ok, warn, worst
from signal_contract.doctor.judging import (
    OLDEST_SERVER,
    judged_certificates,
    judged_clock,
    judged_disk,
    judged_expiry,
    judged_names,
    judged_permissions,
    judged_ports,
    judged_trips,
    judged_version,
    judged_versions,
    skew_from,
)
from signal_contract.doctor.network import Greeted, Looked, Server, servers_from, version_from
from signal_contract.doctor.permitting import harmless_of
from signal_contract.doctor.troubleshooting import checks_for, troubleshooting_markdown
from signal_contract.errors import CredsInvalid, InputError, TlsFailed
from signal_contract.permissions import RoleName

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)
GB = 1 << 30
TLS, CLEAR = servers_from(["tls://a.example:4222", "nats://127.0.0.1:4222"])


def test_ids_are_in_order_and_each_check_stands_behind_what_it_needs():
    assert [each.id for each in CHECKS] == [f"D{number:02d}" for number in range(1, len(CHECKS) + 1)]
    for each in CHECKS:
        for side in each.sides:
            assert all(need < each.id for need in each.needs_of(side))
            assert each.cure_for(side)


def test_about_25_checks_are_made_on_the_friends_side():
    assert 25 <= len(checks_of(Side.AGENT)) <= 30
    assert len(checks_of(Side.OPERATOR)) >= 20


@pytest.mark.parametrize("symptom", list(Symptom))
def test_every_symptom_leads_to_checks(symptom):
    assert len(checks_for(symptom)) >= 3


def test_the_troubleshooting_holds_every_check_and_its_links_lead_there():
    text = troubleshooting_markdown()
    headings = {
        re.sub(r"[^a-z0-9 _-]", "", each.lower()).replace(" ", "-")
        for each in re.findall(r"^### (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
    assert all(f"### {each.id} {each.title}" in text for each in CHECKS)


def test_both_sides_want_the_same_oldest_server():
    assert OLDEST_SERVER == OLDEST


def test_only_takes_ids_in_any_case_and_refuses_those_of_the_other_side():
    assert chosen("d03, D12", Side.AGENT) == {"D03", "D12"}
    assert chosen("", Side.AGENT) == frozenset()
    with pytest.raises(InputError, match="catalyst doctor"):
        chosen("D27", Side.AGENT)
    with pytest.raises(InputError, match="no check 'D99'"):
        check_of("D99")


def test_what_a_check_needs_is_looked_at_with_it():
    assert with_needs(frozenset({"D15"}), Side.AGENT) >= {"D01", "D02", "D10", "D12", "D15"}
    assert "D01" in with_needs(frozenset({"D07"}), Side.AGENT)


@pytest.mark.parametrize("role", list(RoleName))
def test_nothing_that_could_take_remove_or_change_is_ever_tried(role):
    publish, _ = harmless_of(role, "alice")
    for subject in publish:
        assert not re.search(r"MSG\.NEXT|PURGE|RESET|KICK|CLAIMS|STREAM\.DELETE|MSG\.DELETE", subject)
        assert "*" not in subject
        assert ">" not in subject
        if "CONSUMER.DELETE" in subject:
            assert subject.endswith(".doctor-nobody")


# Running --------------------------------------------------------------------------------------------------------


def step(verdict, limit_s=3.0):
    async def probe():
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    return Step(probe, limit_s)


async def test_what_stands_on_a_failed_check_is_skipped_with_the_first_cause():
    steps = {"D01": step(fail("no file")), "D02": step(ok("")), "D03": step(ok("")), "D26": step(ok("fine"))}
    found = {each.check.id: each for each in await examine(Side.AGENT, steps)}
    assert [found[each].grade for each in ("D01", "D02", "D03", "D26")] == [
        Grade.FAIL,
        Grade.SKIPPED,
        Grade.SKIPPED,
        Grade.OK,
    ]
    assert found["D03"].facts[BECAUSE_OF] == "D01"
    assert worst(tuple(found.values())) is Grade.FAIL


async def test_a_check_that_hangs_fails_within_its_time_and_the_next_is_made():
    async def hang():
        await asyncio.Event().wait()
        return ok("")

    found = await examine(Side.AGENT, {"D01": Step(hang, 0.05), "D26": step(ok(""))})
    assert [each.grade for each in found] == [Grade.FAIL, Grade.OK]
    assert "no answer within" in found[0].message


async def test_when_all_time_is_spent_the_rest_is_skipped():
    found = await examine(Side.AGENT, {"D01": step(ok("")), "D26": step(ok(""))}, total_s=0.0)
    assert [each.grade for each in found] == [Grade.SKIPPED, Grade.SKIPPED]


@pytest.mark.parametrize(
    ("error", "cure"),
    [(CredsInvalid("bad", hint="mend it"), "mend it"), (PermissionError(13, "Permission denied"), "")],
)
async def test_an_expected_error_becomes_a_failure_with_its_own_cure(error, cure):
    found = await examine(Side.AGENT, {"D01": step(error)})
    assert found[0].grade is Grade.FAIL
    assert found[0].cure == (cure or check_of("D01").cure)


async def test_only_shows_what_was_asked_for_and_of_the_rest_what_is_not_well():
    steps = {"D01": step(ok("")), "D02": step(warn("hm")), "D03": step(ok("")), "D26": step(ok(""))}
    found = await examine(Side.AGENT, steps, only=frozenset({"D03"}))
    assert [each.check.id for each in found] == ["D02", "D03"]


# Judging --------------------------------------------------------------------------------------------------------


def looked(trouble="", took_s=0.01):
    return Looked(TLS, trouble, ("192.0.2.1",), took_s)


@pytest.mark.parametrize(
    ("found", "grade"),
    [
        ((looked(),), Grade.OK),
        ((looked("unknown"),), Grade.FAIL),
        ((looked("unknown"), looked()), Grade.WARN),
    ],
    ids=["all", "none", "some"],
)
def test_one_server_of_several_is_enough(found, grade):
    assert judged_names(found).grade is grade
    assert judged_ports(found).grade is grade


def test_a_slow_port_is_a_warning():
    assert judged_ports((looked(took_s=0.8),)).grade is Grade.WARN


@pytest.mark.parametrize(
    ("greeted", "grade"),
    [
        (Greeted(TLS, None, "TLSv1.3", NOW + timedelta(days=90), "2.15.1"), Grade.OK),
        (Greeted(TLS, None, "TLSv1.3", NOW + timedelta(days=13), "2.15.1"), Grade.WARN),
        (Greeted(TLS, TlsFailed("not to be trusted")), Grade.FAIL),
        (Greeted(TLS, None, greeting="nothing within 2 s"), Grade.FAIL),
        (Greeted(CLEAR, None, version="2.15.1"), Grade.OK),
    ],
    ids=["sound", "ends-soon", "not-trusted", "no-tls", "clear-on-this-machine"],
)
def test_certificates(greeted, grade):
    assert judged_certificates((greeted,), NOW).grade is grade


@pytest.mark.parametrize(
    ("version", "grade"),
    [
        ("2.15.1", Grade.OK),
        ("2.14.0", Grade.OK),
        ("2.13.9", Grade.WARN),
        ("2.11.4", Grade.FAIL),
        ("", Grade.FAIL),
        (None, Grade.FAIL),
        ("x.y", Grade.FAIL),
    ],
)
def test_versions_of_a_server(version, grade):
    assert judged_version((Greeted(CLEAR, None, version=version),)).grade is grade


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ('INFO {"version":"2.15.1"}', "2.15.1"),
        ('INFO {"version":3}', ""),
        ("INFO {", None),
        ("220 mail", None),
        ("", None),
        ('INFO {"version":"\\u001b[31m"}', ""),
    ],
    ids=["sound", "number", "broken", "mail", "nothing", "control-characters"],
)
def test_a_greeting_is_hostile_until_read(line, version):
    assert version_from(line) == version


@pytest.mark.parametrize(
    ("free", "size", "grade"),
    [
        (50 * GB, 100 * GB, Grade.OK),
        (4 * GB, 100 * GB, Grade.WARN),
        (GB // 2, 2 * GB, Grade.WARN),
        (50 << 20, 100 * GB, Grade.FAIL),
    ],
)
def test_the_fullest_disk_counts(free, size, grade):
    assert judged_disk([("a", 90 * GB, 100 * GB), ("b", free, size)]).grade is grade


@pytest.mark.parametrize(
    ("left", "grade"),
    [
        (timedelta(days=90), Grade.OK),
        (timedelta(days=13), Grade.WARN),
        (timedelta(0), Grade.FAIL),
        (timedelta(days=-1), Grade.FAIL),
    ],
)
def test_expiry(left, grade):
    assert judged_expiry(NOW + left, NOW).grade is grade
    assert judged_expiry(None, NOW).grade is Grade.OK


@pytest.mark.parametrize(
    ("skew_s", "uncertain_s", "grade"),
    [
        (0.5, 0.1, Grade.OK),
        (-3.0, 0.1, Grade.WARN),
        (30.0, 0.1, Grade.FAIL),
        (-30.0, 0.1, Grade.FAIL),
        (11.0, 5.0, Grade.WARN),
        (None, 0.0, Grade.FAIL),
    ],
)
def test_a_clock_is_judged_beyond_what_the_measurement_leaves_open(skew_s, uncertain_s, grade):
    assert judged_clock(skew_s, uncertain_s, 2, 10).grade is grade


@pytest.mark.parametrize(
    ("text", "skew"),
    [("2026-03-02T14:59:30.123456789Z", 29.877), ("2026-03-02T15:00:00Z", 0.0), ("soon", None), (7, None)],
    ids=["nanoseconds", "whole", "word", "number"],
)
def test_the_servers_time_is_read_with_suspicion(text, skew):
    assert skew_from(text, NOW) == skew


@pytest.mark.parametrize(
    ("trips", "arrivals", "grade"),
    [
        ([0.002] * 5, [], Grade.OK),
        ([0.002] * 5, [0.4, 0.5], Grade.OK),
        ([0.002] * 5, [9.0, 8.0], Grade.WARN),
        ([0.4] * 5, [], Grade.WARN),
        ([3.0], [], Grade.FAIL),
        ([], [], Grade.FAIL),
    ],
    ids=["near", "live", "late", "far", "dead", "mute"],
)
def test_round_trips(trips, arrivals, grade):
    assert judged_trips(trips, arrivals).grade is grade


def test_what_is_forbidden_and_works_is_a_failure_and_the_other_way_round():
    assert judged_permissions(["a"], [], should_work=True).grade is Grade.OK
    assert judged_permissions([], ["a"], should_work=True).grade is Grade.FAIL
    assert judged_permissions([], ["a"], should_work=False).grade is Grade.OK
    assert judged_permissions(["a"], [], should_work=False).grade is Grade.FAIL


@pytest.mark.parametrize(
    ("python", "nats", "grade"),
    [
        ((3, 11), "2.16.0", Grade.OK),
        ((3, 10), "2.16.0", Grade.FAIL),
        ((3, 12), "", Grade.WARN),
        ((3, 12), "3.0.0", Grade.WARN),
    ],
)
def test_versions_here(python, nats, grade):
    assert judged_versions(python, {"nats-py": nats}).grade is grade


def test_an_address_without_a_port_gets_its_schemes_usual_one():
    found = servers_from(["tls://a", "wss://a", "nats://a:1"], "name")
    assert [each.port for each in found] == [4222, 443, 1]
    assert isinstance(found[0], Server)
    assert found[0].name == "name"
