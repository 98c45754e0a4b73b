"""Redis Streams on a bare socket (RESP2): a consumer group for each friend, a blocking read, an acknowledgement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from raw_clients import Message, RawClient, Tally, few_at_a_time, opened

_STREAM = "signals"
# What an answer with one entry of three fields is: `*1 *2 $7 signals *1 *2 $n id *6 ($n text) × 6`, by lines.
_ENTRY_LINES, _ID_LINE = 21, 7


def command(*words: str | bytes) -> bytes:
    """A command in RESP."""
    raw = [each.encode() if isinstance(each, str) else each for each in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in raw)


class RedisFriend(RawClient):
    """Waits in XREADGROUP; what it gets is acknowledged in the same write as the next question."""

    def __init__(self, name: str, tally: Tally) -> None:
        super().__init__(tally)
        self._name = name
        self._read = command("XREADGROUP", "GROUP", name, name, "COUNT", "1", "BLOCK", "0", "STREAMS", _STREAM, ">")
        # XACK with the length and the text of an id left open.
        self._ack = b"*4\r\n$4\r\nXACK\r\n$7\r\nsignals\r\n$%d\r\n%b\r\n$%%d\r\n%%b\r\n" % (len(name), name.encode())

    def greet(self) -> None:
        self.write(command("XGROUP", "CREATE", _STREAM, self._name, "$", "MKSTREAM"))

    def parse(self, data: bytes) -> int:
        used = 0
        while used < len(data):
            if data.startswith(b"*", used):
                lines = data[used:].split(b"\r\n", _ENTRY_LINES)
                if len(lines) <= _ENTRY_LINES:
                    break
                self._take(lines[_ID_LINE])
                used = len(data) - len(lines[_ENTRY_LINES])
            else:
                end = data.find(b"\r\n", used)
                if end < 0:
                    break
                self._control(data[used:end])
                used = end + 2
        return used

    def _take(self, entry_id: bytes) -> None:
        self.write(self._ack % (len(entry_id), entry_id) + self._read)
        self.tally.arrived()

    def _control(self, line: bytes) -> None:
        # `:1` answers an XACK; the group of an earlier round is gone on as it is.
        if line == b"+OK" or line.startswith(b"-BUSYGROUP"):
            self.write(self._read)
            self.is_ready()
        elif line.startswith(b"-"):
            self.refused(line.decode())


class RedisPublisher(RawClient):
    """XADD; its answer is the entry's id."""

    def __init__(self, tally: Tally, message: Message) -> None:
        super().__init__(tally)
        self._message = message

    def greet(self) -> None:
        self.is_ready()

    def parse(self, data: bytes) -> int:
        if data.startswith(b"-"):
            self.refused(data.decode(errors="replace"))
        return len(data)

    def publish(self, message_id: str) -> None:
        told = self._message
        fields = ("id", message_id, "signature", told.signature, "signal", told.payload)
        self.write(command("XADD", _STREAM, "*", *fields))


async def crowd(port: int, names: Sequence[str], message: Message, tally: Tally) -> RedisPublisher:
    """A friend for each name but the first, which is the publisher."""
    await few_at_a_time(partial(opened, partial(RedisFriend, each, tally), port) for each in names[1:])
    return await opened(partial(RedisPublisher, tally, message), port)
