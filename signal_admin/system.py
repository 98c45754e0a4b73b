"""Questions to every server of the cluster over the system account: who is there, who is connected, who has to go.

Each server answers for itself; how many answers are due is what the servers themselves say of their cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from signal_contract.delivery import Delivery
from signal_contract.errors import LinkError, RequestTimedOut
from signal_contract.link import Link

# A server on the same network answers in milliseconds; one that does not within this is counted as silent.
ANSWER_TIMEOUT_S = 2.0
_MAX_CONNECTIONS = 1024


@dataclass(frozen=True, slots=True)
class Server:
    """One node of the cluster; `is_silent` when only its neighbours speak of it."""

    id: str
    name: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """A live connection of a user key; `cid` counts within its server."""

    server: Server
    cid: int
    public_key: str
    ip: str
    name: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "server": self.server.name,
            "cid": self.cid,
            "public_key": self.public_key,
            "ip": self.ip,
            "name": self.name,
        }


async def answers(
    link: Link, subject: str, body: bytes = b"", *, expected: int | None, timeout_s: float = ANSWER_TIMEOUT_S
) -> list[bytes]:
    """What came back to one question, at most `expected` answers; fewer when the time is over.

    With `expected` None the servers say how many they are in their answer (STATSZ).
    """
    got: list[bytes] = []
    due = expected
    complete = asyncio.Event()

    async def on_answer(delivery: Delivery) -> None:
        nonlocal due
        # "No responders" is an answer without data: nobody of the system account is listening.
        if delivery.status:
            complete.set()
            return
        got.append(delivery.data)
        due = expected or _cluster_size(delivery.data)
        if len(got) >= due:
            complete.set()

    inbox = link.new_inbox()
    subscription = await link.subscribe(inbox, on_answer)
    try:
        await link.publish(subject, body, reply=inbox)
        async with asyncio.timeout(timeout_s):
            await complete.wait()
    except TimeoutError:
        pass
    finally:
        await subscription.unsubscribe()
    return got


def _document(answer: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise LinkError("a server answered with something that is not a JSON object")
    return found


def _cluster_size(answer: bytes) -> int:
    return max(1, int(_document(answer).get("statsz", {}).get("active_servers", 1)))


def server_of(answer: Mapping[str, Any]) -> Server:
    """Who gave an answer; raises LinkError when it does not say so."""
    server = answer.get("server")
    if not isinstance(server, dict) or not server.get("id"):
        raise LinkError("an answer does not name its server")
    return Server(str(server["id"]), str(server.get("name") or server["id"]))


async def all_servers(link: Link) -> tuple[Server, ...]:
    """Every server of the cluster by name, also those that do not answer; raises RequestTimedOut when none does."""
    statements = await answers(link, "$SYS.REQ.SERVER.PING", expected=None)
    found = {server_of(_document(each)) for each in statements}
    if not found:
        raise RequestTimedOut("no server answers on the system account", hint="Is `catalyst up` running?")
    if len(found) < max(map(_cluster_size, statements)):
        found |= await _silent_neighbours(link, found)
    return tuple(sorted(found, key=lambda server: (server.name, server.id)))


async def _silent_neighbours(link: Link, answering: set[Server]) -> set[Server]:
    # Routes stay for a while when a server hangs, which is when its name is wanted.
    known = {server.id for server in answering}
    routes = [
        route
        for answer in (await ask_servers(link, "$SYS.REQ.SERVER.PING.ROUTEZ", b"", answering)).values()
        for route in (answer.get("data") or {}).get("routes") or []
    ]
    return {
        Server(str(route["remote_id"]), str(route.get("remote_name") or route["remote_id"]), is_silent=True)
        for route in routes
        if route.get("remote_id") not in known
    }


async def ask_servers(link: Link, subject: str, body: bytes, servers: Iterable[Server]) -> dict[Server, dict[str, Any]]:
    """One question, the answer of each server; a silent one is missing from the result."""
    due = len(tuple(servers))
    documents = [_document(each) for each in await answers(link, subject, body, expected=due)]
    return {server_of(document): dict(document) for document in documents}


async def connections_of(link: Link, keys: Iterable[str], servers: Iterable[Server]) -> tuple[Connection, ...]:
    """The live connections of these user keys on all servers that answer."""
    found: list[Connection] = []
    known = tuple(server for server in servers if not server.is_silent)
    for key in keys:
        body = orjson.dumps({"auth": True, "user": key, "limit": _MAX_CONNECTIONS})
        for server, answer in (await ask_servers(link, "$SYS.REQ.SERVER.PING.CONNZ", body, known)).items():
            entries = (answer.get("data") or {}).get("connections") or []
            found += [_connection(server, entry) for entry in entries if entry.get("authorized_user") == key]
    return tuple(found)


def _connection(server: Server, entry: Mapping[str, Any]) -> Connection:
    return Connection(
        server, int(entry["cid"]), str(entry["authorized_user"]), str(entry.get("ip", "")), str(entry.get("name", ""))
    )


async def kick(link: Link, connection: Connection) -> None:
    """Close one connection; its client may come back if its creds are still good. Raises a LinkError."""
    subject = f"$SYS.REQ.SERVER.{connection.server.id}.KICK"
    answer = _document((await link.request(subject, orjson.dumps({"cid": connection.cid}))).data)
    error = answer.get("error")
    if error:
        raise LinkError(f"server {connection.server.name} did not close connection {connection.cid}: {error}")
