"""One drain of the outbox: entries go out in a window, their receipts are committed behind it, the order is kept.

What is sent while others are on their way names the message before it (`Nats-Expected-Last-Msg-Id`): the stream stores
it right behind that one or refuses it. When anything is refused or lost, what was on its way is sent again one at a
time under the same ids, from the first without a receipt.

A message that names none is sent only when everything before it has its receipt. So whatever is stored, by whichever
attempt of whichever relay, was stored behind its predecessor.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from publisher.commits import Commits, Waiting
from publisher.entry import Entry, Receipt
from publisher.supply import News, Supply
from signal_contract.delivery import PubAck
from signal_contract.edges import reached
from signal_contract.errors import CatalystError, StorageFailed

# For so long a drain goes on for what is submitted meanwhile; it holds the relay's lock, which others want too.
_DRAIN_S = 1.0
_COMMIT_S = 0.02


@dataclass(frozen=True, slots=True)
class Ways:
    """How the relay sends. `send` puts one on its way behind a message id; `deliver` tries one until it is stored.

    `width()` is how many may be on their way at once, `told` hears of receipts that are on disk.
    """

    send: Callable[[Entry, str], Awaitable[asyncio.Future[PubAck]]]
    deliver: Callable[[Entry], Awaitable[PubAck | CatalystError]]
    width: Callable[[], Awaitable[int]]
    told: Callable[[Receipt], None]


class Sending:
    """Sends what waits; `receipts` are those on disk, in order."""

    def __init__(self, commits: Commits, ways: Ways, news: News) -> None:
        self._commits, self._ways, self._news = commits, ways, news
        self.receipts: list[Receipt] = []
        self._supply = Supply(commits, news)
        self._queue = self._supply.queue
        self._flight: deque[tuple[Waiting, asyncio.Future[PubAck]]] = deque()
        self._acked: list[Receipt] = []
        self._confirming: asyncio.Task[None] | None = None
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + _DRAIN_S
        self._careful = 0  # so many are to be sent one at a time

    async def run(self) -> tuple[CatalystError | None, Entry | None]:
        """Send until nothing waits: why it ended before that, and the entry that is not what was submitted, if any.

        Raises StorageFailed.
        """
        try:
            failure, damaged = await self._all()
            await self._confirmed()
        finally:
            self._supply.close()
            self._forget_flight()
            if self._confirming is not None:
                await asyncio.wait([self._confirming])
                self._confirming.exception()  # raised already, or worth less than what ends this
        return failure, damaged

    async def _all(self) -> tuple[CatalystError | None, Entry | None]:
        while True:
            await self._supply.fill(is_busy=bool(self._queue or self._flight))
            if not self._queue and not self._flight:
                if await self._more_comes():
                    continue
                return None, None
            if not self._flight and not self._queue[0].is_intact:
                return None, self._queue[0].entry
            failure = await self._one_at_a_time() if self._careful else await self._in_a_window()
            if failure is not None:
                return failure, None

    async def _more_comes(self) -> bool:
        """Whether this process is submitting more right now: then a new drain would begin at once."""
        await self._confirmed()
        await asyncio.sleep(0)  # whoever waited for a receipt goes on
        if self._clock() >= self._until:
            return False
        if self._commits.is_writing and not self._supply.has_more:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_COMMIT_S):
                    await self._news.wait()
            return True
        return self._supply.has_more

    async def _one_at_a_time(self) -> CatalystError | None:
        entry = self._queue[0].entry
        answer = await self._ways.deliver(entry)
        if isinstance(answer, CatalystError):
            return answer
        self._queue.popleft()
        self._careful -= 1
        self._note(entry, answer)
        return None

    async def _in_a_window(self) -> CatalystError | None:
        width = await self._ways.width()
        if width <= 1 and not self._flight:
            self._careful = 1
            return None
        try:
            while self._queue and self._queue[0].is_intact and len(self._flight) < width:
                entry = self._queue[0].entry
                behind = self._flight[-1][0].entry.message_id if self._flight else ""
                self._flight.append((self._queue[0], await self._ways.send(entry, behind)))
                self._queue.popleft()
            await self._oldest_answered()
        except StorageFailed:  # of the receipts: nothing that sending again would cure
            raise
        except CatalystError:
            self._turn_back()
        return None

    async def _oldest_answered(self) -> None:
        """Take the answers that are in, in order; when there is none wait for one, or for something to send."""
        oldest = self._flight[0][1]
        if not oldest.done() and not self._supply.has_more:
            oldest.add_done_callback(self._news.stirred)
            while not oldest.done() and not self._supply.has_more:
                await self._news.wait()
            oldest.remove_done_callback(self._news.stirred)
        while self._flight and self._flight[0][1].done():
            waiting, answer = self._flight[0]
            ack = answer.result()
            self._flight.popleft()
            reached("relay.sent")
            self._note(waiting.entry, ack)

    def _turn_back(self) -> None:
        # An answer that comes yet is of no use: the next attempt gets it again, as a duplicate.
        self._careful = max(1, len(self._flight))
        self._queue.extendleft([waiting for waiting, _ in reversed(self._flight)])
        self._forget_flight()

    def _forget_flight(self) -> None:
        for _, answer in self._flight:
            answer.cancel()
        self._flight.clear()

    def _note(self, entry: Entry, ack: PubAck) -> None:
        self._acked.append(Receipt(entry.message_id, ack.sequence, ack.is_duplicate))
        if self._confirming is not None and self._confirming.done():
            self._confirming.result()
            self._confirming = None
        if self._confirming is None:
            self._confirming = asyncio.create_task(self._confirm(), name="relay-confirm")

    async def _confirm(self) -> None:
        # One commit for all receipts that came during the last one. What is sent again for want of it is a duplicate.
        while self._acked:
            receipts, self._acked = self._acked, []
            await self._commits.confirm(receipts)
            for each in receipts:
                reached("relay.confirmed")
                self.receipts.append(each)
                self._ways.told(each)

    async def _confirmed(self) -> None:
        if self._confirming is not None:
            await self._confirming
