"""A trace context on its way: signed in the signal, beside it as a header, and never trusted as it comes."""

import pytest

from signal_contract.codec import decode, encode
from signal_contract.errors import InputError
from signal_contract.model import Signal
from signal_contract.resources import resource_path
from signal_contract.signing import Signer
from signal_contract.tracing import TRACEPARENT, trace_headers, trace_of, traced

SAMPLE = Signal.model_validate_json(resource_path("config/samples/signal.v1.json").read_bytes())
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WRONG = [
    "", "x", TRACE.upper(), TRACE + " ", TRACE + "\r\nEvil: 1", "01" + TRACE[2:],
    "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
]  # fmt: skip


def test_a_signal_carries_its_trace_signed_and_stays_the_same_signal():
    signal = traced(SAMPLE, TRACE)
    signer = Signer.generate()
    signer.verifier.check(signal.subject, encode(signal), signer.sign(signal.subject, encode(signal)))
    assert trace_of(decode(encode(signal)).meta) == TRACE
    assert (signal.message_id, signal.subject) == (SAMPLE.message_id, SAMPLE.subject)
    assert signal.model_copy(update={"meta": SAMPLE.meta}) == SAMPLE


def test_without_a_trace_nothing_changes():
    assert traced(SAMPLE, None) is SAMPLE
    assert trace_headers(encode(SAMPLE)) == {}


def test_the_header_is_the_one_that_was_signed():
    assert trace_headers(encode(traced(SAMPLE, TRACE))) == {TRACEPARENT: TRACE}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_trace_context_is_refused_where_it_is_given(text):
    with pytest.raises(InputError):
        traced(SAMPLE, text)


def test_a_signal_whose_meta_is_full_takes_no_trace():
    full = SAMPLE.model_copy(update={"meta": {f"k{n}": "v" for n in range(32)}})
    with pytest.raises(InputError):
        traced(full, TRACE)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_trace_context_is_dropped_where_it_comes(text):
    assert trace_of({TRACEPARENT: text}) is None


@pytest.mark.parametrize("payload", [b"", b"traceparent", b'{"meta": "traceparent"}', b'["traceparent"]'])
def test_a_payload_that_cannot_be_read_has_no_header(payload):
    assert trace_headers(payload) == {}
