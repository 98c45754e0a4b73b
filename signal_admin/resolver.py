"""Brings account FRIENDS' JWT to every server: look up, compare, push, count one answer a node, look up again.

The server answers 200 to a JWT of an unknown operator or with an older issue time, and then refuses everyone after a
restart or silently takes revocations back. So what it has is looked at before and after, and nothing is overwritten
that this desk did not issue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signal_admin.accounts import has_same_content
from signal_admin.system import Server, all_servers, answers, ask_servers
from signal_contract.creds import claims_of
from signal_contract.errors import Conflict, CredsInvalid, InputError
from signal_contract.link import Link

# An account JWT travels as one message; nats/embedded.conf allows 128 KB.
MAX_JWT_BYTES = 124 * 1024


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push, by name of server. `refused` gives each server's words."""

    servers: tuple[str, ...]
    accepted: tuple[str, ...]
    refused: Mapping[str, str]
    silent: tuple[str, ...]
    is_verified: bool

    @property
    def is_complete(self) -> bool:
        """Whether every server has it, and says so when it is asked again."""
        return self.is_verified and set(self.accepted) == set(self.servers)

    @property
    def in_words(self) -> str:
        """One line for people."""
        parts = [f"accepted by {len(self.accepted)} of {len(self.servers)} servers"]
        parts += [f"{name} refused: {words}" for name, words in self.refused.items()]
        parts += [f"{name} did not answer" for name in self.silent]
        if not self.is_verified:
            parts.append("a look-up afterwards shows another JWT")
        return "; ".join(parts)


def checked_copy(theirs: str, ours: str, trusted: frozenset[str]) -> None:
    """Refuse to touch a server's copy that this desk must not overwrite.

    `theirs` is what the server has (empty: nothing), `ours` what this desk issued last, `trusted` the operator keys it
    signs with. Raises Conflict when the copy is by another operator, or newer than ours with another content.
    """
    if not theirs or theirs == ours:
        return
    try:
        found, mine = claims_of(theirs), claims_of(ours)
    except CredsInvalid as error:
        raise Conflict("the server holds an account JWT that cannot be read", hint=_FOREIGN_HINT) from error
    if found.get("iss") not in trusted:
        raise Conflict(
            f"the server holds a JWT of account {mine.get('name')} by an unknown operator ({found.get('iss')})",
            hint=_FOREIGN_HINT,
        )
    if _issued(found) > _issued(mine) and not has_same_content(found, mine):
        raise Conflict(
            f"the server holds a newer JWT of account {mine.get('name')} than this desk "
            f"(issued {_issued(found)}, ours {_issued(mine)})",
            hint="Somebody administers it from a copy of this directory. Use the newest copy, and only that one.",
        )


_FOREIGN_HINT = "Nothing was changed. Stop the server, look at <data>/jwt, and start it again with `catalyst up`."


def _issued(claims: Mapping[str, Any]) -> int:
    found = claims.get("iat")
    return found if isinstance(found, int) else 0


async def look_up(link: Link, account_key: str) -> str:
    """The account's JWT as the servers have it; empty when they know none. `link` is one of the system role."""
    found = await answers(link, f"$SYS.REQ.ACCOUNT.{account_key}.CLAIMS.LOOKUP", expected=1)
    return found[0].decode(errors="replace").strip() if found else ""


async def push(link: Link, jwt: str, account_key: str) -> Pushed:
    """Hand an account JWT to every server and look it up again.

    Raises InputError when it is larger than a message may be, RequestTimedOut when no server answers.
    """
    if len(jwt) > MAX_JWT_BYTES:
        raise InputError(
            f"the account JWT has grown to {len(jwt)} bytes; {MAX_JWT_BYTES} can be sent",
            hint="Users with addresses or hours of their own take about 1.4 KB each: give fewer users such limits.",
        )
    servers = await all_servers(link)
    replies = await ask_servers(link, "$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), servers)
    refused = {server.name: words for server, reply in replies.items() if (words := _refusal(reply))}
    return Pushed(
        servers=_names(servers),
        accepted=_names(server for server in replies if server.name not in refused),
        refused=refused,
        silent=_names(server for server in servers if server not in replies),
        is_verified=await look_up(link, account_key) == jwt,
    )


def _names(servers: Iterable[Server]) -> tuple[str, ...]:
    return tuple(server.name for server in servers)


def _refusal(reply: Mapping[str, Any]) -> str:
    error, data = reply.get("error"), reply.get("data") or {}
    if error:
        return str(error.get("description", error)) if isinstance(error, dict) else str(error)
    return "" if data.get("code") == 200 else str(data.get("message", "no receipt"))
