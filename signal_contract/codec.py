"""Wire bytes ⇄ Signal. One canonical form: `encode(decode(b)) == b` for every b that `encode` made."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from pydantic import ValidationError

from signal_contract.errors import SchemaTooNew, SignalInvalid
from signal_contract.model import SCHEMA_VERSION, Action, Signal, SignalId

MAX_PAYLOAD_BYTES = 64 * 1024


def signal_id_from(news_id: str, ticker: str, action: Action) -> SignalId:
    """The same news, ticker and action is the same id, on every machine and after every restart.

    128 bits of SHA-256 in hex; the parts are joined by a unit separator, which none of them may hold.
    """
    digest = hashlib.sha256("\x1f".join((news_id, ticker, action.value)).encode()).hexdigest()
    return SignalId(digest[:32])


def encode(signal: Signal) -> bytes:
    """Canonical JSON in field order, UTF-8."""
    return signal.model_dump_json().encode()


def decode(payload: bytes) -> Signal:
    """Read wire bytes; raises SignalInvalid with every violation, or SchemaTooNew. Never raises anything else."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise SignalInvalid(f"a signal of {len(payload)} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    try:
        return Signal.model_validate_json(payload)
    except ValidationError as error:
        version = _version_in(payload)
        if version is not None and version > SCHEMA_VERSION:
            raise SchemaTooNew(f"signal schema {version} is newer than {SCHEMA_VERSION}") from error
        raise SignalInvalid(violations_text(error)) from error


def _version_in(payload: bytes) -> int | None:
    try:
        document: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    version = document.get("schema_version") if isinstance(document, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def violations_text(error: ValidationError) -> str:
    """All violations in one line each, without echoing the offending values (they may be secret or hostile)."""
    parts = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(step) for step in item["loc"])
        parts.append(f"{where}: {item['msg']}" if where else item["msg"])
    return "; ".join(parts)
