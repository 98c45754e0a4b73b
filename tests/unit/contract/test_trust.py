"""Address rules, TLS contexts and what a failed handshake means."""

import ssl

import pytest

from signal_contract.errors import ConfigInvalid, TlsFailed
from signal_contract.trust import secure_context, tls_failure
from signal_contract.websocket import proxy_for


def test_a_context_takes_tls_1_3_only_and_checks_the_name():
    context = secure_context(None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "content", [None, b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_an_authority_that_cannot_be_read_is_a_config_mistake(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match="CA certificate"):
        secure_context(path)


def _verification(code, words):
    error = ssl.SSLCertVerificationError(1, words)
    error.verify_code, error.verify_message = code, words
    return error


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (10, "not valid now"),
        (9, "not valid now"),
        (62, "another name"),
        (64, "another name"),
        (18, "not to be trusted"),
        (20, "not to be trusted"),
        (99, "not to be trusted"),
    ],
)
def test_each_certificate_problem_has_its_words_and_a_hint(code, meaning):
    found = tls_failure(_verification(code, "words of OpenSSL"))
    assert isinstance(found, TlsFailed)
    assert meaning in found.message
    assert found.hint


class _Wrapped(Exception):
    """As aiohttp wraps them."""

    def __init__(self, name, error):
        super().__init__()
        setattr(self, name, error)


def test_the_error_inside_a_wrapper_counts():
    assert "another name" in tls_failure(_Wrapped("certificate_error", _verification(62, "x"))).message
    assert tls_failure(_Wrapped("os_error", OSError("gone"))) is None


@pytest.mark.parametrize(
    "error", [None, OSError("x"), TimeoutError(), ssl.SSLEOFError(8, "eof"), ssl.SSLZeroReturnError(6, "closed")]
)
def test_a_broken_connection_is_no_tls_failure(error):
    assert tls_failure(error) is None


def test_websocket_goes_through_the_proxy_of_the_environment_but_never_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "near.example.org")
    assert proxy_for("signals.example.org") == "http://proxy.example.org:3128"
    assert proxy_for("near.example.org") is None
    assert proxy_for("127.0.0.1") is None
    assert proxy_for("localhost") is None
