"""W3C trace context (https://www.w3.org/TR/trace-context/, version 00) on a signal's way. Pure; knows no OpenTelemetry.

It travels in the signal's `meta`, which is signed, and beside it as a header for other programs, which nothing here
trusts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from signal_contract.codec import decode
from signal_contract.errors import InputError
from signal_contract.model import Signal

TRACEPARENT = "traceparent"
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traced(signal: Signal, traceparent: str | None) -> Signal:
    """The signal with a trace context in its `meta`; unchanged without one. Raises InputError for what is none."""
    if traceparent is None:
        return signal
    if not _FORM.fullmatch(traceparent):
        raise InputError(
            "that is no trace context",
            hint="Such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, or leave it out.",
        )
    document = signal.model_dump(mode="json")
    document["meta"] = {**document["meta"], TRACEPARENT: traceparent}
    return decode(orjson.dumps(document))


def trace_of(meta: Mapping[str, str]) -> str | None:
    """The trace context in a signal's `meta`; None without one, and for what is none."""
    found = meta.get(TRACEPARENT, "")
    return found if _FORM.fullmatch(found) else None


def trace_headers(payload: bytes) -> dict[str, str]:
    """The header to send a signal's payload with; empty without a trace context."""
    if TRACEPARENT.encode() not in payload:
        return {}
    try:
        found = trace_of(orjson.loads(payload)["meta"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}
    return {} if found is None else {TRACEPARENT: found}
