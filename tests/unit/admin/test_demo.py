"""The demonstration's arithmetic: a broken promise must show."""

import pytest

from signal_admin.demo.cast import ALICE, config_with_rules
from signal_admin.demo.story import sample_records
from signal_admin.demo.summary import FriendLog, checks, latency_rows, percentile
from signal_admin.starter import starter_yaml
from signal_contract.errors import DemoFailed


def _decision(subject, at="2026-01-02T14:30:00.010000Z"):
    return {
        "subject": subject,
        "verdict": "accepted",
        "code": None,
        "published_at": "2026-01-02T14:30:00Z",
        "received_at": "2026-01-02T14:30:00.004000Z",
        "decided_at": at,
    }


def _log(*subjects):
    log = FriendLog("alice", ("signals.fda.*",))
    log.note("caught_up", {"missed": 0})
    for subject in subjects:
        log.note("decision", _decision(subject))
    return log


def _broken(wire, log, denials=()):
    return [each.promise for each in checks(wire, [log], denials) if not each.is_kept]


def test_all_kept_when_each_entitled_signal_was_decided_once():
    assert _broken(["signals.fda.A", "signals.crypto.B"], _log("signals.fda.A"), [("x", True, "denied")]) == []


@pytest.mark.parametrize("seen", [[], ["signals.fda.A", "signals.fda.A"]])
def test_a_lost_or_doubled_decision_breaks_the_promise(seen):
    assert _broken(["signals.fda.A"], _log(*seen)) == ["alice decided on each of his signals exactly once"]


def test_a_signal_beyond_the_entitlement_breaks_the_promise():
    assert "alice saw nothing beyond his entitlement" in _broken([], _log("signals.merger.A"))


def test_an_attack_that_was_not_denied_breaks_the_promise():
    assert _broken([], _log(), [("delete the stream", False, "")]) == ["denied: delete the stream"]


def test_latency_counts_live_decisions_only():
    log = FriendLog("alice", ("signals.fda.*",))
    log.note("decision", _decision("signals.fda.A", at="2026-01-02T15:30:00Z"))
    log.note("caught_up", {"missed": 1})
    log.note("decision", _decision("signals.fda.B"))
    log.note("stopped", {})
    log.note("decision", _decision("signals.fda.C", at="2026-01-02T15:30:00Z"))
    assert len(log.decisions) == 3
    assert latency_rows(log.live)[2] == ("published → decided", "10.0", "10.0", "10.0")


def test_percentile_is_the_nearest_rank():
    assert percentile([], 50) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 95) == 95.0


def test_a_friends_rules_take_the_place_of_the_empty_section():
    text = config_with_rules(starter_yaml("alice", ["nats://127.0.0.1:4222"], "ed25519:x"), ALICE)
    assert "risk: {}" not in text
    assert "  fixed_usd: 500" in text


def test_a_damaged_sample_is_named():
    with pytest.raises(DemoFailed):
        sample_records("{not json}\n")
