"""Every message of a stream on a private server, oldest first, by direct get in batches (NATS ADR-31)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from signal_admin.backup.stream_checks import Message
from signal_contract.delivery import Delivery
from signal_contract.errors import BrokerRefused, RequestTimedOut
from signal_contract.link import Link
from signal_contract.topology import API_PREFIX

_BATCH = 500
_TIMEOUT_S = 60.0
_NOT_FOUND = "404"
_OWN_HEADERS = frozenset(
    {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"}
)


def readable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy's config: it may be read directly, and nothing leaves it for its age while it is looked at."""
    return {**config, "allow_direct": True, "max_age": 0}


async def messages(link: Link, stream: str, subject: str | None = None) -> AsyncIterator[Message]:
    """All messages, or those on one subject. The stream must be `readable`.

    Raises RequestTimedOut, BrokerRefused (the server, or an answer that cannot be read).
    """
    start = 1
    while True:
        query: dict[str, Any] = {"seq": start, "batch": _BATCH}
        batch = await _batch(link, stream, query if subject is None else {**query, "next_by_subj": subject})
        for each in batch:
            message = _message(each)
            start = message.sequence + 1
            yield message
        if len(batch) < _BATCH:
            return


async def _batch(link: Link, stream: str, query: Mapping[str, Any]) -> list[Delivery]:
    found: list[Delivery] = []
    ended = asyncio.Event()

    async def take(message: Delivery) -> None:
        if message.status:
            if message.status not in ("204", _NOT_FOUND):
                found.clear()
                found.append(message)
            ended.set()
        else:
            found.append(message)

    inbox = link.new_inbox()
    subscription = await link.subscribe(inbox, take)
    try:
        await link.publish(f"{API_PREFIX}.DIRECT.GET.{stream}", orjson.dumps(query), reply=inbox)
        async with asyncio.timeout(_TIMEOUT_S):
            await ended.wait()
    except TimeoutError as error:
        raise RequestTimedOut(f"{stream} cannot be read: no answer within {_TIMEOUT_S:g} s") from error
    finally:
        await subscription.unsubscribe()
    return found


def _message(found: Delivery) -> Message:
    headers = found.headers
    try:
        return Message(
            sequence=int(headers["Nats-Sequence"]),
            subject=headers["Nats-Subject"],
            data=found.data,
            headers={key: value for key, value in headers.items() if key not in _OWN_HEADERS},
            at=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        )
    except (KeyError, ValueError) as error:
        words = headers.get("Description", "a message without its place")
        raise BrokerRefused(f"the copy cannot be read: {found.status} {words}") from error
