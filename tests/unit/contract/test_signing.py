"""Signatures: what the publisher signed is accepted, anything else is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.errors import InputError, SignatureInvalid
from signal_contract.signing import Signer, Verifier

SIGNER = Signer.from_seed(bytes(range(32)))


@given(st.binary(max_size=200))
def test_a_signed_message_is_accepted(payload):
    SIGNER.verifier.check("signals.fda.AAPL", payload, SIGNER.sign("signals.fda.AAPL", payload))


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_another_payload_is_refused(signed, sent):
    signature = SIGNER.sign("signals.fda.AAPL", signed)
    if signed != sent:
        with pytest.raises(SignatureInvalid):
            SIGNER.verifier.check("signals.fda.AAPL", sent, signature)


def test_a_message_moved_to_another_subject_is_refused():
    with pytest.raises(SignatureInvalid):
        SIGNER.verifier.check("signals.fda.MSFT", b"x", SIGNER.sign("signals.fda.AAPL", b"x"))


def test_subject_and_payload_cannot_be_shifted_into_each_other():
    with pytest.raises(SignatureInvalid):
        SIGNER.verifier.check("signals.fda.A", b"B\nx", SIGNER.sign("signals.fda.A\nB", b"x"))


def test_another_key_is_refused():
    with pytest.raises(SignatureInvalid):
        SIGNER.verifier.check("s", b"x", Signer.generate().sign("s", b"x"))


@given(st.none() | st.text(max_size=100) | st.binary(max_size=64).map(lambda raw: base64.b64encode(raw).decode()))
def test_arbitrary_signatures_get_our_error(signature):
    with pytest.raises(SignatureInvalid):
        SIGNER.verifier.check("s", b"x", signature)


def test_keys_survive_their_text_form():
    assert Verifier.from_text(SIGNER.public_key).public_key == SIGNER.public_key
    assert Signer.from_secret_text(SIGNER.secret_text).public_key == SIGNER.public_key


@given(st.text(max_size=60))
def test_arbitrary_key_texts_get_our_error(text):
    with pytest.raises(InputError):
        Verifier.from_text(text)
    with pytest.raises(InputError):
        Signer.from_secret_text(text)


def test_the_secret_never_shows():
    assert SIGNER.secret_text not in repr(SIGNER)
    assert bytes(range(32)).hex() not in repr(SIGNER)
