"""From a delivery to what is kept: nothing counts that is not signed, not ours, or not what its subject says."""

import secrets

import pytest
from agent_samples import NOW, a_signal

from signal_contract.announce import ANNOUNCE_SUBJECT
from signal_contract.codec import encode
from signal_contract.control import Control, Verb, control_bytes
from signal_contract.delivery import Delivery
from signal_contract.signing import SIGNATURE_HEADER, Signer
from subscriber_agent.receiving.arrival import CONTROL_UNKNOWN, batch_sorted
from subscriber_agent.receiving.keys import KeyChain

PUBLISHER, MALLORY = Signer.generate(), Signer.generate()
KEYS = KeyChain.pinned(PUBLISHER.public_key)


def delivered(subject, payload, *, signer=PUBLISHER, seq=7, reply=None):
    headers = {SIGNATURE_HEADER: signer.sign(subject, payload)}
    return Delivery(
        subject, payload, reply or f"$JS.ACK.SIGNALS.sub_alice.1.{seq}.{seq}.1700000000000000000.0", headers
    )


def arrival_of(message):
    ((_, arrival),) = batch_sorted([message], KEYS, NOW, user="alice", is_doubtful=False).pairs
    return arrival


def a_control(verb=Verb.HALT, user=None, **changes):
    fields = {"control_id": secrets.token_hex(16), "verb": verb, "user": user, "reason": "why", "issued_at": NOW}
    return Control.model_validate({**fields, **changes})


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("user", [None, "alice"])
def test_each_known_word_of_the_operator_is_read(verb, user):
    control = a_control(verb, user)
    arrival = arrival_of(delivered(control.subject, control_bytes(control)))
    assert (arrival.control, arrival.signal, arrival.code) == (control, None, None)


def test_a_word_for_another_user_is_set_aside():
    control = a_control(user="bob")
    arrival = arrival_of(delivered(control.subject, control_bytes(control)))
    assert (arrival.control, arrival.code) == (None, "SCHEMA_INVALID")


def test_a_word_copied_to_another_subject_is_set_aside():
    arrival = arrival_of(delivered("control.all.resume", control_bytes(a_control(Verb.HALT))))
    assert (arrival.control, arrival.code) == (None, "SCHEMA_INVALID")


def test_a_word_that_the_publisher_did_not_sign_is_set_aside():
    control = a_control()
    arrival = arrival_of(delivered(control.subject, control_bytes(control), signer=MALLORY))
    assert (arrival.control, arrival.code) == (None, "SIGNATURE_INVALID")


@pytest.mark.parametrize("subject", ["control.all.dance", "control.user.alice.dance", "control.new.thing"])
def test_a_verb_of_a_later_version_is_kept_and_not_guessed(subject):
    assert arrival_of(delivered(subject, b"{}")).code == CONTROL_UNKNOWN


def test_a_signal_is_read_from_its_own_subject_only():
    signal = a_signal()
    assert arrival_of(delivered(signal.subject, encode(signal))).signal == signal
    assert arrival_of(delivered("signals.fda.OTHER", encode(signal))).code == "SIGNATURE_INVALID"


def test_an_announcement_that_is_none_is_set_aside_and_changes_no_key():
    found = batch_sorted([delivered(ANNOUNCE_SUBJECT, b"{}")], KEYS, NOW, user="alice", is_doubtful=False)
    assert found.keys is KEYS
    assert found.pairs[0][1].code is not None


def test_what_comes_from_no_stream_is_dropped():
    message = delivered("signals.fda.ABCD", b"{}", reply="_INBOX.x")
    assert batch_sorted([message], KEYS, NOW, user="alice", is_doubtful=False).pairs == ()
