"""What is told to a Sentry: nothing unless it is named, and then no more than the fault."""

from typing import ClassVar

import pytest
from sentry_sdk.transport import Transport

from signal_contract.errors import ConfigInvalid
from signal_contract.fault_reports import VARIABLE, report_fault, scrubbed
from signal_contract.redaction import REMOVED
from signal_contract.signing import Signer

SECRET = Signer.generate().secret_text


class Box(Transport):
    """Keeps what would be sent."""

    sent: ClassVar[list] = []

    def capture_envelope(self, envelope):
        self.sent.append(envelope.get_event())


@pytest.fixture
def box():
    Box.sent = []
    return Box


def a_fault() -> Exception:
    account_worth = "10000 USD"
    try:
        raise RuntimeError(f"cannot use {SECRET} of {len(account_worth)}")
    except RuntimeError as error:
        return error


def test_without_a_name_nothing_is_sent(box, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not report_fault(a_fault(), transport=box)
    assert box.sent == []


def test_a_fault_is_sent_without_secrets_variables_or_host(box, monkeypatch):
    monkeypatch.setenv(VARIABLE, "https://key@sentry.example.org/1")
    assert report_fault(a_fault(), transport=box)
    (event,) = box.sent
    text = str(event)
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert REMOVED in event["exception"]["values"][0]["value"]
    assert event["exception"]["values"][0]["stacktrace"]["frames"][-1]["function"] == "a_fault"
    assert SECRET not in text
    assert "10000 USD" not in text
    assert not {"server_name", "user", "extra", "breadcrumbs", "request", "contexts", "modules"} & set(event)


def test_an_address_that_is_none_is_told_and_not_repeated(box, monkeypatch):
    monkeypatch.setenv(VARIABLE, "hunter22")
    with pytest.raises(ConfigInvalid) as refused:
        report_fault(a_fault(), transport=box)
    assert "hunter22" not in str(refused.value)


def test_what_a_library_adds_is_dropped():
    event = {"event_id": "1", "server_name": "bedroom", "user": {"name": "a"}, "extra": {"argv": ["x"]}, "tags": {}}
    assert scrubbed(event) == {"event_id": "1"}
