"""Control, heartbeat and feedback: what is read is what was written, and nothing else is read."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signal_contract.control import Control, Verb, control_bytes, is_known_control, read_control
from signal_contract.errors import SignalInvalid
from signal_contract.feedback import (
    AgentStatus,
    Feedback,
    Kind,
    Privacy,
    feedback_bytes,
    is_allowed,
    read_feedback,
    trimmed,
)
from signal_contract.heartbeat import Heartbeat, OutboxState, heartbeat_bytes, read_heartbeat
from signal_contract.topology import FEEDBACK_KINDS

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
ID = "0123456789abcdef" * 2


def control(verb=Verb.HALT, user=None):
    return Control(control_id=ID, verb=verb, user=user, reason="earnings", issued_at=NOW)


def heartbeat(**changes):
    fields = {
        "started_at": NOW,
        "counter": 1,
        "at": NOW,
        "interval_s": 15,
        "state": OutboxState.UP,
        "waiting": 0,
        "first_sequence": 1,
        "last_sequence": 9,
        "classifier": None,
    }
    return Heartbeat(**(fields | changes))


def report(kind=Kind.ORDER):
    return Feedback(
        feedback_id=ID, kind=kind, at=NOW, label="FILLED", side="buy", quantity=Decimal(10), price=Decimal("5.41")
    )


@pytest.mark.parametrize("user", [None, "alice"])
@pytest.mark.parametrize("verb", list(Verb))
def test_a_control_message_is_read_as_it_was_written(verb, user):
    sent = control(verb, user)
    assert read_control(sent.subject, control_bytes(sent)) == sent
    assert is_known_control(sent.subject)


def test_a_control_message_counts_on_its_own_subject_only():
    assert control().subject == "control.all.halt"
    assert control(user="alice").subject == "control.user.alice.halt"
    for other in ("control.all.resume", "control.user.bob.halt", "control.all.key"):
        with pytest.raises(SignalInvalid):
            read_control(other, control_bytes(control()))


def test_an_unknown_verb_is_told_apart():
    assert not is_known_control("control.all.flatten")
    assert not is_known_control("control.all.key")


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "flatten"},
        {"user": ">"},
        {"user": "A"},
        {"reason": "x\x1b[2J"},
        {"reason": "x" * 501},
        {"issued_at": "2026-03-02T14:30:00"},
        {"control_id": "1"},
        {"more": 1},
        {"schema_version": 2},
    ],
)
def test_a_malformed_control_message_is_refused(change):
    document = orjson.loads(control_bytes(control())) | change
    with pytest.raises(SignalInvalid):
        read_control("control.all.halt", orjson.dumps(document))


@given(st.binary(max_size=6000))
def test_arbitrary_bytes_are_refused_by_name(payload):
    for read in (lambda: read_control("control.all.halt", payload), lambda: read_heartbeat(payload)):
        with pytest.raises(SignalInvalid):
            read()
    with pytest.raises(SignalInvalid):
        read_feedback("feedback.alice.decision", payload)


def test_a_heartbeat_is_read_as_it_was_written():
    assert read_heartbeat(heartbeat_bytes(heartbeat())) == heartbeat()
    with pytest.raises(ValidationError):
        heartbeat(counter=0)


def test_feedback_names_its_sender_by_the_subject_alone():
    assert read_feedback("feedback.alice.order", feedback_bytes(report())) == ("alice", report())
    for subject in ("feedback.alice.fill", "feedback.alice", "signals.alice.order", "feedback.alice.order.x"):
        with pytest.raises(SignalInvalid):
            read_feedback(subject, feedback_bytes(report()))


def test_each_level_of_privacy_lets_out_what_the_ones_before_it_do():
    allowed = [{kind for kind in Kind if is_allowed(kind, level)} for level in Privacy]
    assert allowed[0] == set()
    assert allowed[1] == {Kind.RECEIVED, Kind.DECISION, Kind.STATUS}
    assert allowed[2] == allowed[3] == set(Kind)


def test_numbers_leave_the_machine_at_the_highest_level_only():
    assert trimmed(report(), Privacy.DECISIONS) is None
    without = trimmed(report(), Privacy.OUTCOMES)
    assert without is not None
    assert (without.side, without.quantity, without.price) == (None, None, None)
    assert trimmed(report(), Privacy.FULL) == report()


def test_every_kind_of_feedback_has_its_permission():
    assert set(FEEDBACK_KINDS) == {kind.value for kind in Kind}


def test_a_full_status_report_fits_the_limits_of_its_subject():
    status = AgentStatus(
        version="1.2.3",
        mode="paper",
        engine="paper",
        link_state="LIVE",
        trading_state="ACTIVE",
        position=2**53,
        last_sequence=2**53,
        pending=2**31,
        undecided=0,
        privacy=Privacy.FULL,
    )
    sent = Feedback(feedback_id=ID, kind=Kind.STATUS, at=NOW, detail="x" * 200, status=status)
    assert len(feedback_bytes(sent)) < 2048


@pytest.mark.parametrize(
    ("where", "survives"), [("", True), ("b", True), ("a", False), ("a:3", False), ("a:4", True), ("a:x", False)]
)
def test_a_process_dies_at_the_named_edge_and_pass_only(where, survives):
    script = "from signal_contract.edges import reached\nfor _ in range(3): reached('a')\nprint('survived')"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"CATALYST_STOP_AT": where}, capture_output=True, text=True, check=False
    )
    assert ("survived" in done.stdout) == survives
