"""Where the friend's word on real money is kept: `live.consent` in the data directory, mode 0600.

What cannot be read, is readable by others or is of another shape is no word at all.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from signal_contract.creds import read_secret, write_secret
from signal_contract.errors import CredsInvalid, StorageFailed
from subscriber_agent.settings.live import LiveConsent

CONSENT_FILE = "live.consent"
_VERSION = 1
_MAX_BYTES = 64 * 1024


def write_consent(data: Path, consent: LiveConsent) -> Path:
    """Keep the word, in place of an earlier one. Raises StorageFailed."""
    path = data / CONSENT_FILE
    document = {"version": _VERSION, **asdict(consent), "at": consent.at.isoformat()}
    try:
        write_secret(path, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n")
    except OSError as error:
        raise StorageFailed(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def read_consent(data: Path) -> LiveConsent | None:
    """The word that was kept; None where there is none that can be trusted."""
    path = data / CONSENT_FILE
    try:
        document = orjson.loads(read_secret(path, what="the consent", max_bytes=_MAX_BYTES))
        return _consent(document)
    except (CredsInvalid, ValueError, KeyError, TypeError):
        return None


def remove_consent(data: Path) -> bool:
    """Take the word back; whether there was a file. Raises StorageFailed: one that stays would open the gate."""
    path = data / CONSENT_FILE
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageFailed(f"{path} cannot be removed: {error.strerror or error}") from error
    return True


def _consent(document: Any) -> LiveConsent:
    if document["version"] != _VERSION or not isinstance(document["risk"], dict):
        raise ValueError("not a consent of this version")
    at = datetime.fromisoformat(document["at"])
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    names = ("user", "account", "engine", "engine_hash", "config_hash", "mode")
    texts = {name: document[name] for name in names}
    if not all(isinstance(each, str) for each in texts.values()):
        raise ValueError("not texts")
    return LiveConsent(**texts, risk=document["risk"], at=at)
