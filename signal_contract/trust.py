"""How servers prove who they are: TLS context, TLS failures in words. Which may be spoken to is `addresses`'.

Knows no NATS and opens no connection.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from signal_contract.errors import ConfigInvalid, TlsFailed

# X509_V_ERR_… of OpenSSL (openssl-verification-options) → what is wrong and what to do.
_NOT_YET, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_HINT_NAME = "Use an address whose name is in the certificate, or ask the operator to add it (`catalyst up --tls`)."
_HINT_CA = "Check ca_file: it must be the CA certificate that came with the invite. If it is, somebody is in between."
_HINT_CLOCK = "Ask the operator to renew it (`catalyst tls renew`); also check this machine's clock."
_HINT_NO_TLS = "Nothing was sent. Check address and port; the server must offer TLS 1.3 from the first byte."


def secure_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.3 or nothing, host name and issuer always checked; `ca_file` replaces the system's authorities.

    Raises ConfigInvalid when the file is missing or holds no certificate.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca_file) if ca_file else None)
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"the CA certificate {ca_file} cannot be used: {getattr(error, 'strerror', None) or error}",
            hint="It is a PEM file that comes with the invite; check ca_file.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def tls_failure(error: BaseException | None) -> TlsFailed | None:
    """What a failed TLS handshake means, or None when the error is of another kind (also a mere broken connection)."""
    # aiohttp wraps the two kinds, and its wrappers lose the details.
    for wrapped in ("certificate_error", "os_error"):
        error = getattr(error, wrapped, error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_failure(error)
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "close notify" in reason:
        return None  # the end of a connection that was fine
    if "version" in reason or "protocol" in reason or "record layer" in reason or "http request" in reason:
        return TlsFailed(f"the server does not speak TLS 1.3 there ({reason})", hint=_HINT_NO_TLS)
    return TlsFailed(f"the TLS handshake failed ({reason})")


def _certificate_failure(error: ssl.SSLCertVerificationError) -> TlsFailed:
    code = getattr(error, "verify_code", 0)
    words = getattr(error, "verify_message", "") or str(error)
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        return TlsFailed(f"the server's certificate is for another name: {words}", hint=_HINT_NAME)
    if code in (_EXPIRED, _NOT_YET):
        return TlsFailed(f"the server's certificate is not valid now: {words}", hint=_HINT_CLOCK)
    return TlsFailed(f"the server's certificate is not to be trusted: {words}", hint=_HINT_CA)
