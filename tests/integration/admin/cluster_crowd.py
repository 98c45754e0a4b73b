"""Many friends at once: real identities, one light connection each, that pull and acknowledge without deciding."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from signal_admin.desk import Desk
from signal_admin.issuing import mint_user
from signal_admin.registry import User, write_user
from signal_admin.vault import read_vault
from signal_contract.creds import read_creds, write_secret
from signal_contract.delivery import Delivery
from signal_contract.feedback import AgentStatus, Feedback, Kind, Privacy, feedback_bytes
from signal_contract.link import Link
from signal_contract.permissions import RoleName
from signal_contract.signing import MESSAGE_ID_HEADER
from signal_contract.topology import pull_subject

_BATCH = 256
_PULL = orjson.dumps({"batch": _BATCH, "expires": 30_000_000_000, "idle_heartbeat": 5_000_000_000})


def crowd_names(count: int) -> tuple[str, ...]:
    """`u000`, `u001`, …"""
    return tuple(f"u{number:03d}" for number in range(count))


def let_in(desk: Desk, names: Sequence[str], *, filters: tuple[str, ...] = ("signals.*.*",)) -> None:
    """Write identities and registry entries; the next provisioning makes the durables."""
    vault, now = read_vault(desk.vault), datetime.now(UTC).replace(microsecond=0)
    for name in names:
        key, content = mint_user(vault, name=name, role=RoleName.SUBSCRIBER, issued_at=now)
        write_secret(creds_path(desk, name), content)
        write_user(desk, User(name, key, filters, created_at=now, start_sequence=1))


def creds_path(desk: Desk, name: str) -> Path:
    return desk.users / name / f"{name}.creds"


@dataclass
class Friend:
    """One connection with a pull that is asked again. `takes` says whether a message is acknowledged."""

    name: str
    link: Link
    takes: Callable[[int], bool] = lambda sequence: True
    got: Counter[int] = field(default_factory=Counter)
    acked: set[int] = field(default_factory=set)

    async def begin(self) -> None:
        """Subscribe and ask for messages; both survive a reconnect."""
        self.inbox = self.link.new_inbox()
        await self.link.subscribe(self.inbox, self._on_message)
        await self.ask()

    async def ask(self) -> None:
        """Ask for the next batch; to be called again after the server was away."""
        self._left = _BATCH
        await self.link.publish(pull_subject(self.name), _PULL, reply=self.inbox)

    async def _on_message(self, message: Delivery) -> None:
        if not message.reply.startswith("$JS.ACK"):
            if message.status == "408":  # the pull is over
                await self.ask()
            return
        sequence = sequence_of(message.reply)
        self.got[sequence] += 1
        if self.takes(sequence):
            self.acked.add(sequence)
            await self.link.publish(message.reply, b"+ACK")
        self._left -= 1
        if self._left == 0:
            await self.ask()

    @property
    def position(self) -> int:
        """The sequence up to which it has acknowledged everything; its filter takes the whole stream."""
        at = 0
        while at + 1 in self.acked:
            at += 1
        return at

    async def tell_position(self) -> None:
        """Report health as an agent does."""
        status = AgentStatus(
            version="0.3.0",
            mode="paper",
            engine="paper",
            link_state="live",
            trading_state="active",
            position=self.position,
            last_sequence=self.position,
            pending=0,
            undecided=0,
            privacy=Privacy.DECISIONS,
        )
        report = Feedback(feedback_id=secrets.token_hex(16), kind=Kind.STATUS, at=datetime.now(UTC), status=status)
        headers = {MESSAGE_ID_HEADER: report.feedback_id}
        await self.link.publish_stored(report.subject(self.name), feedback_bytes(report), headers=headers)


def sequence_of(reply: str) -> int:
    """The stream sequence in an ack subject, classic (9 tokens) or v2 (11 and more)."""
    parts = reply.split(".")
    return int(parts[5] if len(parts) == 9 else parts[7])


@asynccontextmanager
async def connected(desk: Desk, names: Sequence[str], servers: Sequence[str]) -> AsyncIterator[list[Friend]]:
    """All of them, connected a few at a time; not pulling yet."""
    gate = asyncio.Semaphore(20)

    async def one(name: str) -> Friend:
        async with gate:
            link = await Link.open(servers, read_creds(creds_path(desk, name)), label=name, connect_timeout_s=20)
            return Friend(name, link)

    friends = await asyncio.gather(*(one(name) for name in names))
    try:
        yield list(friends)
    finally:
        await asyncio.gather(*(each.link.close() for each in friends))
