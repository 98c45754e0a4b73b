"""What a drain has to send, in the order of the outbox: read from its file, or handed over by the commit that kept it.

What is handed over is taken only if it stands in the same file right behind the last one taken. Otherwise another
process may have submitted something in between, and the file is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from publisher.commits import Commits, Waiting

_READ_AT_ONCE = 256
# So many are kept in memory while sending is held up; what is beyond is read from the file.
_MOST_FRESH = 1024


class News:
    """What a drain that waits is woken by; `is_unread` says that something in the file was not handed over."""

    def __init__(self) -> None:
        self.is_unread = False
        self._event = asyncio.Event()

    def submitted(self) -> None:
        """Something waits in the outbox that was not there before."""
        self.is_unread = True
        self._event.set()

    def stirred(self, _: object = None) -> None:
        """The oldest on its way has its answer, something was handed over, or what was read is there."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for either."""
        await self._event.wait()
        self._event.clear()


class Supply:
    """Fills `queue` as long as it is open."""

    def __init__(self, commits: Commits, news: News) -> None:
        self.queue: deque[Waiting] = deque()
        self._commits, self._news = commits, news
        self._fresh: deque[Waiting] = deque()
        self._last: Waiting | None = None  # the last one that came into the queue
        self._generation = -1
        self._reading: asyncio.Task[list[Waiting]] | None = None
        news.is_unread = True
        commits.on_kept = self._kept

    def close(self) -> None:
        """Hear of nothing more."""
        self._commits.on_kept = None
        if self._reading is not None:
            self._reading.cancel()

    def _kept(self, kept: Sequence[Waiting]) -> None:
        self._fresh.extend(kept)
        if len(self._fresh) > _MOST_FRESH:
            self._skip_fresh()
        self._news.stirred()

    @property
    def has_more(self) -> bool:
        """Whether `fill` has something to do."""
        if self._reading is not None:
            return self._reading.done()
        return not self.queue and (bool(self._fresh) or self._is_behind)

    @property
    def _is_behind(self) -> bool:
        return self._news.is_unread or self._generation != self._commits.generation

    async def fill(self, *, is_busy: bool) -> None:
        """Fill the queue when it is empty; while the caller `is_busy`, what is read is fetched later."""
        if self._reading is None:
            self._take_fresh()
            if not self.queue and self._is_behind:
                self._read()
        if self._reading is None or (is_busy and not self._reading.done()):
            return
        reading, self._reading = self._reading, None
        found = await reading
        if found:
            self._last = found[-1]
            self._news.is_unread |= len(found) == _READ_AT_ONCE
        self.queue.extend(found)
        self._take_fresh()

    def _read(self) -> None:
        self._news.is_unread, self._generation = False, self._commits.generation
        after = self._last.entry.message_id if self._last is not None else ""
        self._reading = asyncio.create_task(self._commits.pending(_READ_AT_ONCE, after), name="relay-read")
        self._reading.add_done_callback(self._news.stirred)

    def _take_fresh(self) -> None:
        while self._fresh and not self._is_behind and self._last is not None:
            next_one = self._fresh[0]
            if next_one.position > self._last.position + 1:
                break
            if next_one.position > self._last.position:  # else it was read as well
                self.queue.append(next_one)
                self._last = next_one
            self._fresh.popleft()
        if self._fresh:
            self._skip_fresh()

    def _skip_fresh(self) -> None:
        self._fresh.clear()
        self._news.is_unread = True
