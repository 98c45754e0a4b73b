"""How a request proves that it comes from this agent and is fresh. Pure: the secret and the clock are arguments."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

TIMESTAMP = "X-Catalyst-Timestamp"
SIGNATURE = "X-Catalyst-Signature"
IDEMPOTENCY = "Idempotency-Key"
MIN_SECRET_CHARS = 16
# How far a request's time may be off before the receiver refuses it: long enough for clocks, short for replays.
FRESH_S = 300


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """`sha256=` and 64 hex digits over `timestamp.body`: neither can be changed, nor an old body be sent anew."""
    digest = hmac.new(secret, timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


def signed_headers(secret: bytes | None, body: bytes, at: datetime, key: str = "") -> dict[str, str]:
    """The headers of one request; `key` is its idempotency key, "" for what may be asked any number of times.

    Without a secret nothing is signed: then the address itself is what proves the sender.
    """
    headers = {IDEMPOTENCY: key} if key else {}
    if secret is not None:
        timestamp = str(int(at.timestamp()))
        headers |= {TIMESTAMP: timestamp, SIGNATURE: signature(secret, timestamp, body)}
    return headers
