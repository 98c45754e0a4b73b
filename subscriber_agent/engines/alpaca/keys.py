"""The friend's Alpaca keys: read from a file of mode 0600 or from the environment, shown to nobody."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from signal_contract.creds import read_secret
from signal_contract.errors import CredsInvalid, EngineUnusable
from subscriber_agent.engines.context import EngineContext

KEY_ID, SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
_HINT = f"Make the keys on Alpaca's web page and write {KEY_ID}=… and {SECRET}=… on two lines of a file of mode 0600."
# Letters and digits, sometimes / and +: anything else is a mistake, and must not get into a header.
_KEY = re.compile(r"[A-Za-z0-9/+=_-]{8,128}")
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class AlpacaKeys:
    """Both halves. Neither is in the repr."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)


def keys_from(key_file: Path | None, context: EngineContext) -> AlpacaKeys:
    """Read the keys; raises EngineUnusable, never with a part of a key in its text."""
    if key_file is None:
        return _checked(context.environ.get(KEY_ID), context.environ.get(SECRET), "the environment")
    path = context.path(key_file)
    try:
        text = read_secret(path, what="the Alpaca key file", max_bytes=_MAX_BYTES)
    except CredsInvalid as error:
        raise EngineUnusable(error.message, hint=error.hint if "chmod" in error.hint else _HINT) from error
    values = _from_json(text) if text.lstrip().startswith("{") else _from_lines(text)
    return _checked(values.get(KEY_ID), values.get(SECRET), str(path))


def _from_json(text: str) -> dict[str, object]:
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _from_lines(text: str) -> dict[str, object]:
    """`NAME=value`, as a shell would read it: quotes and a leading `export` are left out, # begins a remark."""
    values: dict[str, object] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = value.strip().strip("\"'")
    return values


def _checked(key_id: object, secret: object, where: str) -> AlpacaKeys:
    for name, value in ((KEY_ID, key_id), (SECRET, secret)):
        if not value:
            raise EngineUnusable(f"{where} holds no {name}", hint=_HINT)
        if not isinstance(value, str) or not _KEY.fullmatch(value):
            raise EngineUnusable(f"{name} in {where} does not look like a key of Alpaca", hint=_HINT)
    return AlpacaKeys(str(key_id), str(secret))
