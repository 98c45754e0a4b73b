"""Takes secrets out of what is about to be written to a log or sent to somebody. Pure.

A net below the rule that secrets are never logged in the first place: it knows their shapes, not their values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REMOVED = "<secret removed>"

# NKey seeds, our signing seeds, age files, PEM private keys, JWTs, a broker's keys, passwords in addresses.
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|SEED|AGE ENCRYPTED FILE|USER JWT)-----.*?(?:-----END[A-Z ]*-----|\Z)"
    r"|\bS[A-Z][A-Z2-7]{56}\b"
    r"|ed25519-seed:[\w-]+"
    r"|AGE-SECRET-KEY-1[A-Z0-9]+"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b[PAC]K[A-Z0-9]{18}\b"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|\b(?i:bearer|basic)\s+[\w.+/=~-]{8,}",
    re.DOTALL,
)
_WORD = r"(?:pass(?:word|wd|phrase)|secret|token|seed|api[_-]?key|secret[_-]?key|private[_-]?key|authorization|dsn)"
_NAMED = re.compile(rf"(?i)(\b[\w-]*{_WORD}[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)")
_NAME = re.compile(rf"(?i)(?:.*[_-])?{_WORD}")
# Beyond this a value is cut off: no log line is a mirror of a hostile payload.
MAX_CHARACTERS = 10_000


def redacted(text: str) -> str:
    """The text without secrets, with an end, and without what UTF-8 cannot say: logging would print that raw."""
    short = text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"
    short = short.encode("utf-8", "backslashreplace").decode()
    return _NAMED.sub(lambda found: f"{found[1]}{REMOVED}", _SHAPES.sub(REMOVED, short))


def redacted_value(value: Any, name: str = "") -> Any:
    """The value as JSON holds it, without secrets; what is called by a secret's name is taken out whole."""
    if isinstance(value, str):
        return REMOVED if value and _NAME.fullmatch(name) else redacted(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): redacted_value(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted_value(each, name) for each in value]
    return redacted(str(value))
