"""One message out of a stream, by sequence or as the last of a subject: MSG.GET of the JetStream API, no consumer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from signal_contract.errors import BrokerRefused
from signal_contract.link import Link
from signal_contract.receipts import raise_api_error
from signal_contract.topology import API_PREFIX

_NO_MESSAGE = 10037  # JetStream's err_code: no message found


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it lies in the stream; `at` is when the server stored it, aware UTC."""

    subject: str
    sequence: int
    data: bytes
    at: datetime


async def message_at(link: Link, stream: str, sequence: int) -> Stored | None:
    """The message at a sequence; None when there is none (any more). Raises a LinkError."""
    return await _message(link, stream, {"seq": sequence})


async def last_message(link: Link, stream: str, subject: str) -> Stored | None:
    """The newest message on a subject; None when there is none. Raises a LinkError."""
    return await _message(link, stream, {"last_by_subj": subject})


async def _message(link: Link, stream: str, query: Mapping[str, Any]) -> Stored | None:
    reply = await link.request(f"{API_PREFIX}.STREAM.MSG.GET.{stream}", orjson.dumps(query))
    answer: Any = orjson.loads(reply.data)
    if (answer.get("error") or {}).get("err_code") == _NO_MESSAGE:
        return None
    raise_api_error(answer)
    found = answer["message"]
    try:
        data = base64.b64decode(found.get("data", ""), validate=True)
        at = datetime.fromisoformat(found["time"]).astimezone(UTC)
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BrokerRefused(f"the server's answer about stream {stream} cannot be read") from error
    return Stored(str(found["subject"]), int(found["seq"]), data, at)
