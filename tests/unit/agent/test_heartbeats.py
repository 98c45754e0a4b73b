"""Which heartbeats count: signed, newer than the last one, and of this minute."""

import json
from datetime import timedelta

import pytest
from agent_samples import NOW

from signal_contract.delivery import Delivery
from signal_contract.heartbeat import ClassifierState, Heartbeat, OutboxState, heartbeat_bytes
from signal_contract.model import ClassifierMode
from signal_contract.signing import SIGNATURE_HEADER, Signer
from signal_contract.subject import HEARTBEAT_PUBLISHER
from subscriber_agent.receiving.heartbeats import MAX_AGE, counted, is_stalled, kept_text
from subscriber_agent.receiving.keys import KeyChain

PUBLISHER, MALLORY = Signer.generate(), Signer.generate()
KEYS = KeyChain.pinned(PUBLISHER.public_key)


def a_heartbeat(**changes):
    fields = {
        "started_at": NOW - timedelta(hours=1),
        "counter": 5,
        "at": NOW,
        "interval_s": 15,
        "state": OutboxState.UP,
        "waiting": 0,
        "first_sequence": 1,
        "last_sequence": 9,
        "classifier": None,
    }
    return Heartbeat.model_validate({**fields, **changes})


def said(heartbeat, *, signer=PUBLISHER, payload=None):
    body = heartbeat_bytes(heartbeat) if payload is None else payload
    return Delivery(HEARTBEAT_PUBLISHER, body, headers={SIGNATURE_HEADER: signer.sign(HEARTBEAT_PUBLISHER, body)})


def test_the_publishers_own_counts():
    assert counted(said(a_heartbeat()), KEYS, None, NOW) == a_heartbeat()


def test_one_that_he_did_not_sign_does_not():
    assert counted(said(a_heartbeat(), signer=MALLORY), KEYS, None, NOW) is None
    assert counted(Delivery(HEARTBEAT_PUBLISHER, heartbeat_bytes(a_heartbeat())), KEYS, None, NOW) is None


def test_what_is_no_heartbeat_does_not():
    assert counted(said(a_heartbeat(), payload=b"{}"), KEYS, None, NOW) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_an_old_or_a_future_one_does_not(sign):
    assert counted(said(a_heartbeat()), KEYS, None, NOW + sign * MAX_AGE) is None
    assert counted(said(a_heartbeat()), KEYS, None, NOW + sign * MAX_AGE * 0.9) is not None


def test_a_copy_of_one_that_counted_does_not():
    last = a_heartbeat()
    assert counted(said(last), KEYS, last, NOW) is None
    assert counted(said(a_heartbeat(counter=4)), KEYS, last, NOW) is None
    assert counted(said(a_heartbeat(counter=6)), KEYS, last, NOW) is not None


def test_a_restarted_publisher_counts_from_one_again():
    restarted = a_heartbeat(started_at=NOW, counter=1)
    assert counted(said(restarted), KEYS, a_heartbeat(), NOW) == restarted


def test_a_classifier_that_missed_three_cycles_is_stalled_and_one_that_says_nothing_is_not():
    def state(seconds_ago, cycle_s=60):
        at = None if seconds_ago is None else NOW - timedelta(seconds=seconds_ago)
        return ClassifierState(name="x", mode=ClassifierMode.LLM, degraded=False, last_cycle_at=at, cycle_s=cycle_s)

    assert is_stalled(a_heartbeat(classifier=state(196)), NOW)
    assert not is_stalled(a_heartbeat(classifier=state(195)), NOW)
    assert not any(
        is_stalled(each, NOW)
        for each in (None, a_heartbeat(), a_heartbeat(classifier=state(None)), a_heartbeat(classifier=state(999, None)))
    )


def test_what_status_may_know_of_it_is_json():
    assert json.loads(kept_text(a_heartbeat()))["last_sequence"] == 9
