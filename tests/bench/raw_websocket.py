"""WebSocket (RFC 6455) on a bare socket: the handshake, text frames, pongs. Just enough for `broadcast_app`."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from functools import partial

from raw_clients import HOST, Message, RawClient, Tally, few_at_a_time, opened

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


def masked(opcode: int, data: bytes) -> bytes:
    """A whole frame from the client, masked as the protocol asks of clients."""
    size, key = len(data), os.urandom(4)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2, "big")
    pad = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


class WebSocketClient(RawClient):
    """Upgrades; each text frame is `text`'s. Its content is neither copied nor unpacked: who has it, has it."""

    def __init__(self, path: str, offers: str, tally: Tally) -> None:
        super().__init__(tally)
        self._path, self._offers = path, offers

    def greet(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        offer = f"Sec-WebSocket-Extensions: {self._offers}\r\n" if self._offers else ""
        self.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
        )

    def parse(self, data: bytes) -> int:
        used = 0
        if not self.ready.done():
            used = data.find(b"\r\n\r\n") + 4
            if used < 4:
                return 0
            if not data.startswith(b"HTTP/1.1 101"):
                self.refused(data[:80].decode(errors="replace"))
            self.is_ready()
        while (frame := _frame(data, used)) is not None:
            begin, used, opcode = frame
            self._take(opcode, data, begin, used)
        return used

    def _take(self, opcode: int, data: bytes, begin: int, end: int) -> None:
        if opcode == _TEXT:
            self.text()
        elif opcode == _PING:
            self.write(masked(_PONG, data[begin:end]))
        elif opcode == _CLOSE:
            self.refused("the server closed a WebSocket")

    def text(self) -> None:
        """A whole text has arrived."""


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    # (where its content begins, where it ends, opcode) of an unfragmented, unmasked frame below 64 KB; or None.
    if len(data) < at + 4:
        return None
    size, begin = data[at + 1], at + 2
    if size == 126:
        size, begin = data[at + 2] << 8 | data[at + 3], at + 4
    return (begin, begin + size, data[at] & 0x0F) if len(data) >= begin + size else None


class WebSocketFriend(WebSocketClient):
    """Counts what it is sent; there is nothing to acknowledge."""

    def text(self) -> None:
        self.tally.arrived()


class WebSocketPublisher(WebSocketClient):
    """Sends the signal with its signature before it, in one text."""

    def __init__(self, tally: Tally, message: Message) -> None:
        super().__init__("/publish", "", tally)
        self._message = message

    def publish(self, message_id: str) -> None:
        text = b"\n".join((message_id.encode(), self._message.signature, self._message.payload))
        self.write(masked(_TEXT, text))


async def crowd(
    port: int, names: Sequence[str], message: Message, tally: Tally, *, offers: str = ""
) -> WebSocketPublisher:
    """A friend for each name but the first, which is the publisher; `offers` is the friends' list of extensions."""
    publisher = await opened(partial(WebSocketPublisher, tally, message), port)
    friend = partial(WebSocketFriend, "/signals", offers, tally)
    await few_at_a_time(partial(opened, friend, port) for _ in names[1:])
    return publisher
