"""The operator's side as processes: `catalyst up`, its publisher directories, and a look into the stream."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos_load import BUSY
from chaos_process import SIGKILL, Crew, Running, waited
from processes import with_settings

from signal_admin.desk import make_desk
from signal_admin.server.orphan import orphan_of
from signal_admin.users import add_user, entitlement_from
from signal_contract.control import Control, control_bytes
from signal_contract.creds import read_creds
from signal_contract.link import Link, opened
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer
from signal_contract.topology import STREAM, durable_config, durable_name

# The server sends again what was not acknowledged after 30 s; here sooner, so that fifty kills fit into a test.
ACK_WAIT_S = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """One message of the stream."""

    sequence: int
    subject: str
    message_id: str
    payload: bytes


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Wire:
    """`catalyst up` on a data directory and a fixed port; `urls` are more than one for a cluster."""

    def __init__(self, data: Path, crew: Crew, *flags: str, port: int | None = None) -> None:
        self.data = data
        self._flags = flags
        self.crew = crew
        self.port = port or free_ports(1)[0]
        self.urls = [f"nats://127.0.0.1:{self.port}"]
        self.up: Running | None = None

    def start(self, *, stop_at: str = "") -> Running:
        """Start it and wait until it is ready."""
        words = ("catalyst", "up", "--json", "--port", self.port, "--data", self.data, *self._flags)
        self.up = up = self.crew(*words, stop_at=stop_at)

        def is_ready() -> bool:
            assert up.is_alive, f"catalyst up ended: {up.said}"
            return up.out.read_text().endswith("\n")

        waited(is_ready, what="catalyst up is ready")
        return up

    def stop(self) -> None:
        """SIGTERM: everything ends."""
        if self.up is not None:
            assert self.up.stop() == 0, self.up.said

    def end(self) -> None:
        """Whatever happened: nothing of it runs afterwards."""
        if self.up is not None:
            self.up.process.terminate()
            self.up.ended()
        pid = orphan_of(self.data / "nats-server.pid", self.data / "server.conf")
        if pid is not None:
            os.kill(pid, SIGKILL)

    def nats_pid(self) -> int:
        return int(json.loads((self.data / "server.json").read_text())["nats_pid"])

    def kill_server(self) -> int:
        """kill -9 nats-server; `catalyst up` starts it again. Its pid."""
        pid = self.nats_pid()
        os.kill(pid, SIGKILL)
        return pid

    # Users and publishers ---------------------------------------------------------------------------------------

    def friend(self, name: str, filters: Sequence[str] = ("signals.*.*",), **settings: Any) -> Path:
        """A new user with limits that accept much; the path of his config."""
        entitlement = entitlement_from([], list(filters))
        added = asyncio.run(add_user(make_desk(self.data), name, entitlement, now=datetime.now(UTC)))
        return with_settings(added.config, **{"risk": BUSY, **settings})

    def hurry(self, name: str, filters: Sequence[str] = ("signals.*.*",)) -> None:
        """Have the server send again sooner what this user did not acknowledge."""

        async def change(link: Link) -> None:
            config = (await link.api(f"$JS.API.CONSUMER.INFO.{STREAM}.{durable_name(name)}"))["config"]
            wanted = durable_config(name, tuple(filters)) | config | {"ack_wait": ACK_WAIT_S * 1_000_000_000}
            body = {"stream_name": STREAM, "config": wanted, "action": "update"}
            await link.api(f"$JS.API.CONSUMER.CREATE.{STREAM}.{durable_name(name)}", body)

        self.asked("admin", change)

    def publisher_copy(self, name: str) -> Path:
        """Another classifier's machine: the same keys, an outbox of its own. A directory for `--data`."""
        copy = self.data.parent / name
        shutil.copytree(self.data / "publisher", copy / "publisher", ignore=shutil.ignore_patterns("outbox*"))
        return copy

    def signer(self) -> Signer:
        return Signer.from_secret_text((self.data / "publisher" / "signing.seed").read_text())

    # The server ---------------------------------------------------------------------------------------------------

    def asked(self, role: str, work: Callable[[Link], Coroutine[Any, Any, Any]]) -> Any:
        """`await work(link)` with the creds of a role."""

        async def ask() -> Any:
            creds = read_creds(self.data / role / f"{role}.creds")
            async with opened(self.urls, creds, label="chaos") as link:
                return await work(link)

        return asyncio.run(ask())

    def say(self, control: Control) -> int:
        """Publish a control message, signed; its sequence."""
        payload = control_bytes(control)
        signature = self.signer().sign(control.subject, payload)
        headers = {MESSAGE_ID_HEADER: control.message_id, SIGNATURE_HEADER: signature}

        async def send(link: Link) -> int:
            return (await link.publish_stored(control.subject, payload, headers=headers)).sequence

        return int(self.asked("admin", send))

    def stream(self) -> list[Kept]:
        """Every message of the stream, in order."""
        return list(self.asked("admin", stream_of))

    def lag(self, name: str) -> tuple[int, int]:
        """What waits for a user, and what he has not acknowledged."""

        async def ask(link: Link) -> tuple[int, int]:
            info = await link.api(f"$JS.API.CONSUMER.INFO.{STREAM}.{durable_name(name)}")
            return int(info["num_pending"]), int(info["num_ack_pending"])

        return tuple(self.asked("admin", ask))


async def stream_of(link: Link) -> list[Kept]:
    """Read the whole stream, message by message."""
    state = (await link.api(f"$JS.API.STREAM.INFO.{STREAM}"))["state"]
    found = []
    for sequence in range(int(state["first_seq"]), int(state["last_seq"]) + 1):
        message = (await link.api(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"seq": sequence}))["message"]
        headers = base64.b64decode(message.get("hdrs", "")).decode()
        message_id = next(
            (line.partition(":")[2].strip() for line in headers.splitlines() if line.startswith(MESSAGE_ID_HEADER)), ""
        )
        payload = base64.b64decode(message.get("data", ""))
        found.append(Kept(int(message["seq"]), str(message["subject"]), message_id, payload))
    assert len(found) == int(state["messages"])
    return found
