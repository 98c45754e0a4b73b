"""NATS as an agent speaks it, on a bare socket: log in by JWT and nonce, pull from the own durable, acknowledge each.

The protocol is NATS' client protocol; pulls and acks are those of ADR-37 and of `subscriber_agent.receiving.pull`, with
its numbers: 100 a batch, asked again at the half, 30 s, a heartbeat every 5 s.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from raw_clients import Message, RawClient, Tally, few_at_a_time, opened

from signal_contract.creds import Creds, read_creds
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER
from signal_contract.topology import pull_subject

_BATCH = 100
_PULL = json.dumps({"batch": _BATCH, "expires": 30_000_000_000, "idle_heartbeat": 5_000_000_000}).encode()
_HEARTBEAT, _PULL_IS_OVER = b"NATS/1.0 100", b"NATS/1.0 408"


def _pub(subject: str, data: bytes, reply: str = "") -> bytes:
    return f"PUB {subject} {reply + ' ' if reply else ''}{len(data)}\r\n".encode() + data + b"\r\n"


class NatsClient(RawClient):
    """Logs in and listens to its own inbox; what comes there is `message`'s."""

    def __init__(self, creds: Creds, tally: Tally) -> None:
        super().__init__(tally)
        self._creds = creds
        self.inbox = f"{creds.inbox_prefix}.{secrets.token_hex(11)}"

    def parse(self, data: bytes) -> int:
        used, size = 0, len(data)
        while (end := data.find(b"\r\n", used)) >= 0:
            if data.startswith((b"HMSG ", b"MSG "), used):
                words = data[used:end].split()
                begin, stop = end + 2, end + 4 + int(words[-1])
                if stop > size:
                    break
                self.message(words, data, begin)
                used = stop
            else:
                self._control(data[used:end])
                used = end + 2
        return used

    def message(self, words: Sequence[bytes], data: bytes, begin: int) -> None:
        """`words` are those of the MSG or HMSG line; what it holds begins at `begin` in `data`."""

    def begin(self) -> None:
        """Logged in."""

    def _control(self, line: bytes) -> None:
        if line == b"PING":
            self.write(b"PONG\r\n")
        elif line == b"PONG":
            self.begin()
            self.is_ready()
        elif line.startswith(b"INFO "):
            if not self.ready.done():
                self._log_in(json.loads(line[5:])["nonce"])
        elif line.startswith(b"-ERR"):
            self.refused(f"{self._creds.user}: {line.decode()}")

    def _log_in(self, nonce: str) -> None:
        told = {
            "verbose": False,
            "pedantic": False,
            "lang": "python",
            "version": "raw",
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            "name": self._creds.user,
            "jwt": self._creds.jwt,
            "sig": base64.urlsafe_b64encode(self._creds.key.sign(nonce.encode())).rstrip(b"=").decode(),
        }
        self.write(f"CONNECT {json.dumps(told)}\r\nSUB {self.inbox}.* 1\r\nPING\r\n".encode())


class NatsFriend(NatsClient):
    """Pulls, counts, acknowledges. A pull's number ends its inbox; what becomes of an older one does not matter."""

    def begin(self) -> None:
        self._number = 0
        self._ask()

    def _ask(self) -> None:
        self._left = _BATCH
        self._number += 1
        self._current = f"{self.inbox}.{self._number}"
        self.write(_pub(pull_subject(self._creds.user), _PULL, self._current))

    def message(self, words: Sequence[bytes], data: bytes, begin: int) -> None:
        if words[3].startswith(b"$JS.ACK."):
            self.write(b"PUB %b 4\r\n+ACK\r\n" % words[3])
            self.tally.arrived()
            self._left -= 1
            if self._left <= _BATCH // 2:
                self._ask()
        elif data.startswith(_PULL_IS_OVER, begin):
            if words[1] == self._current.encode():
                self._ask()
        elif not data.startswith(_HEARTBEAT, begin):
            self.refused(f"{self._creds.user}: {data[begin : begin + 80].decode(errors='replace')}")


class NatsPublisher(NatsClient):
    """Publishes into the stream; the receipt comes to its inbox and must be one."""

    def __init__(self, creds: Creds, tally: Tally, message: Message) -> None:
        super().__init__(creds, tally)
        self._message = message

    def publish(self, message_id: str) -> None:
        told = self._message
        head = f"NATS/1.0\r\n{MESSAGE_ID_HEADER}: {message_id}\r\n{SIGNATURE_HEADER}: {told.signature.decode()}\r\n\r\n"
        size = len(head) + len(told.payload)
        line = f"HPUB {told.subject} {self.inbox}.0 {len(head)} {size}\r\n{head}"
        self.write(line.encode() + told.payload + b"\r\n")

    def message(self, words: Sequence[bytes], data: bytes, begin: int) -> None:
        receipt = data[begin : begin + int(words[-1])]
        if b'"seq"' not in receipt:
            self.tally.fail(f"not stored: {receipt.decode(errors='replace')}")


async def crowd(port: int, names: Sequence[str], message: Message, tally: Tally) -> NatsPublisher:
    """A friend for each creds file, all pulling; the first file is the publisher's."""
    first, *others = (read_creds(Path(each)) for each in names)
    publisher = await opened(partial(NatsPublisher, first, tally, message), port)
    await few_at_a_time(partial(opened, partial(NatsFriend, each, tally), port) for each in others)
    return publisher
