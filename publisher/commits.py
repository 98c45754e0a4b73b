"""Group commit: signals and receipts that come in one turn of the event loop share a transaction and its fsync, and
so does what comes while the outbox is writing.

While the disk is quick the commit is done at once, in the loop's own thread: handing it to another one and back takes
as long, and there each of its statements would wait for the interpreter. On a slow disk one thread writes. Another
process that writes for long holds the loop up once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from publisher.entry import Entry, Receipt, Submitted, is_intact
from publisher.outbox import Outbox
from signal_contract.pace import QUICK_S, Pace

_Answer = TypeVar("_Answer")

# What was submitted here and not read yet is known to be intact; beyond this many the signature is checked.
_KNOWN = 4096
# A commit of more than this takes longer on any disk.
_MANY = 256


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry without a receipt, its position in the outbox, and whether it is what was submitted."""

    position: int
    entry: Entry
    is_intact: bool = True


@dataclass(slots=True)
class _Job:
    done: asyncio.Future[tuple[Submitted, ...]]
    entries: Sequence[Entry] = ()
    receipts: Sequence[Receipt] = ()
    answer: tuple[Submitted, ...] = ()
    failure: Exception | None = None


class Commits:
    """The writer of one open outbox for the tasks of one event loop.

    A commit that takes longer than `quick_s` seconds sends the next ones to a thread. `on_kept` hears of new entries
    as soon as they are synced, in their order, so that they need not be read from the file.
    """

    def __init__(self, outbox: Outbox, *, quick_s: float = QUICK_S) -> None:
        self._outbox = outbox
        self._pace = Pace(quick_s=quick_s)
        self.on_kept: Callable[[Sequence[Waiting]], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Job] = []
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._known: dict[str, Entry] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    @property
    def is_writing(self) -> bool:
        """Whether something is being committed, or about to be."""
        return not self._is_idle.is_set()

    @property
    def generation(self) -> int:
        """Which file the positions are of: another one after damage."""
        return self._outbox.generation

    async def submit(self, entries: Sequence[Entry]) -> tuple[Submitted, ...]:
        """Keep entries in their order, all or none of them; on return they are synced.

        Raises StorageFailed, to everybody whose entries or receipts were in the same commit.
        """
        return await self._queued(_Job(self._loop.create_future(), entries=entries))

    async def confirm(self, receipts: Sequence[Receipt]) -> None:
        """Note receipts; on return they are synced. Raises StorageFailed."""
        await self._queued(_Job(self._loop.create_future(), receipts=receipts))

    def _queued(self, job: _Job) -> asyncio.Future[tuple[Submitted, ...]]:
        self._waiting.append(job)
        if self._is_idle.is_set():
            self._is_idle.clear()
            self._loop.call_soon(self._write)  # not at once: whoever submits in the same turn shares it
        return job.done

    def _write(self) -> None:
        jobs, self._waiting = self._waiting, []
        if self._pace.is_quick and sum(len(job.entries) + len(job.receipts) for job in jobs) <= _MANY:
            self._commit(jobs)
            self._committed(jobs)
        else:
            writing = self._loop.run_in_executor(self._thread, self._commit, jobs)
            writing.add_done_callback(lambda _: self._committed(jobs))

    def _commit(self, jobs: list[_Job]) -> None:
        began = self._pace.now()
        receipts = [receipt for job in jobs for receipt in job.receipts]
        try:
            answers = self._outbox.write([job.entries for job in jobs], receipts, now=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001  # handed to all who wait for this commit
            for job in jobs:
                job.failure = error
        else:
            for job, answer in zip(jobs, answers, strict=True):
                job.answer = answer
        self._pace.took(began)

    def _committed(self, jobs: list[_Job]) -> None:
        _told(jobs)
        kept = [
            Waiting(submitted.position, entry)
            for job in jobs
            for entry, submitted in zip(job.entries, job.answer, strict=False)
            if submitted.position is not None
        ]
        if self.on_kept is not None:
            self.on_kept(kept)
        else:
            self._remember(kept)
        if self._waiting:
            self._loop.call_soon(self._write)
        else:
            self._is_idle.set()

    def _remember(self, kept: Sequence[Waiting]) -> None:
        for each in kept:
            self._known[each.entry.message_id] = each.entry
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    async def pending(self, limit: int, after: str) -> list[Waiting]:
        """Entries without a receipt, behind a message id, read from the file. Raises StorageFailed.

        What this process has submitted is compared with that; for everything else the signature says what is intact.
        """
        found = await self.brief(partial(self._outbox.placed, limit, after=after))
        strange = [entry for _, entry in found if not self._is_known(entry)]
        damaged = await self._loop.run_in_executor(None, _damaged, strange) if strange else ()
        return [Waiting(position, entry, is_intact=entry not in damaged) for position, entry in found]

    def _is_known(self, entry: Entry) -> bool:
        # An older version signed nothing that could be checked here.
        return not entry.signed_by or self._known.pop(entry.message_id, None) == entry

    async def brief(self, look: Callable[[], _Answer]) -> _Answer:
        """What a short look into the outbox's directory finds: at once while the disk is quick, else by a thread."""
        return look() if self._pace.is_quick else await asyncio.to_thread(look)

    async def close(self) -> None:
        """Wait for what is being written."""
        await self._is_idle.wait()
        await asyncio.to_thread(self._thread.shutdown)


def _damaged(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not is_intact(entry)]


def _told(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.done.done():  # its caller was cancelled; what it submitted is kept all the same
            continue
        if job.failure is not None:
            job.done.set_exception(job.failure)
        else:
            job.done.set_result(job.answer)
