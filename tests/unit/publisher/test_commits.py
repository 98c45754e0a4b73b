"""Concurrent submits share a commit; a lone one waits for nothing; a failure reaches all who were in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from publisher.commits import Commits
from publisher.entry import Counts, Entry, Receipt, Submitted
from publisher.outbox import Outbox
from signal_contract.errors import StorageFailed

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)


def entry(number: int, size: int = 10) -> Entry:
    return Entry(f"id{number}.1", f"signals.fda.T{number}", b"x" * size, "c2ln")


class Counted(Outbox):
    """Counts its commits; the first one waits until it is let go."""

    commits = 0
    first = threading.Event()
    threads: list[str]

    def write(
        self, groups: Sequence[Sequence[Entry]], receipts: Sequence[Receipt], *, now: datetime
    ) -> list[tuple[Submitted, ...]]:
        self.commits += 1
        self.threads.append(threading.current_thread().name)
        if self.commits == 1:
            assert self.first.wait(10)
        return super().write(groups, receipts, now=now)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Counted]:
    with Counted.open(tmp_path / "outbox.sqlite", max_bytes=256 * 1024) as opened:
        opened.first, opened.threads = threading.Event(), []
        yield opened


async def test_what_comes_during_a_commit_shares_the_next_one_in_its_order(
    outbox: Counted, until: Callable[..., Any]
) -> None:
    commits = Commits(outbox, quick_s=0)
    first = asyncio.create_task(commits.submit([entry(0)]))
    await until(lambda: outbox.commits > 0, what="the first commit")
    rest = [asyncio.create_task(commits.submit([entry(n)])) for n in (5, 3, 9)]
    receipt = asyncio.create_task(commits.confirm([Receipt("id0.1", 1, is_duplicate=False)]))
    await asyncio.sleep(0)
    outbox.first.set()
    answers = await asyncio.gather(first, *rest)
    await receipt
    assert [each[0].message_id for each in answers] == ["id0.1", "id5.1", "id3.1", "id9.1"]
    assert outbox.commits == 2
    assert [each.message_id for each in outbox.pending(10)] == ["id5.1", "id3.1", "id9.1"]
    await commits.close()


async def test_failed_commit_reaches_everybody_who_was_in_it_and_keeps_nothing(
    outbox: Counted, until: Callable[..., Any]
) -> None:
    commits = Commits(outbox, quick_s=0)
    first = asyncio.create_task(commits.submit([entry(0)]))
    await until(lambda: outbox.commits > 0, what="the first commit")
    small = asyncio.create_task(commits.submit([entry(1)]))
    large = asyncio.create_task(commits.submit([entry(2, size=400_000)]))
    await asyncio.sleep(0)
    outbox.first.set()
    failed = await asyncio.gather(small, large, return_exceptions=True)
    assert [type(each) for each in failed] == [StorageFailed, StorageFailed]
    assert (await first)[0].is_new
    assert [each.message_id for each in outbox.pending(10)] == ["id0.1"]
    assert (await commits.submit([entry(1)]))[0].is_new
    await commits.close()


async def test_caller_that_was_cancelled_has_submitted_all_the_same(outbox: Counted) -> None:
    commits = Commits(outbox, quick_s=0)
    gone = asyncio.create_task(commits.submit([entry(1)]))
    await asyncio.sleep(0)
    gone.cancel()
    outbox.first.set()
    await commits.close()
    assert outbox.counts() == Counts(pending=1, stored=0)


async def test_quick_disk_is_written_at_once_and_a_slow_one_by_a_thread(outbox: Counted) -> None:
    outbox.first.set()
    quick, slow = Commits(outbox, quick_s=60), Commits(outbox, quick_s=1e-9)
    for number in range(3):
        await quick.submit([entry(number)])
    assert set(outbox.threads) == {threading.current_thread().name}
    outbox.threads.clear()
    await quick.submit([entry(number) for number in range(100, 500)])  # too many for the event loop
    assert outbox.threads == ["outbox_0"]
    outbox.threads.clear()
    for number in range(3, 6):
        await slow.submit([entry(number)])
    assert set(outbox.threads[1:]) == {"outbox_0"}
    await quick.close()
    await slow.close()


async def test_all_who_submit_in_one_turn_share_a_commit(outbox: Counted) -> None:
    outbox.first.set()
    commits = Commits(outbox, quick_s=60)
    await asyncio.gather(*[commits.submit([entry(number)]) for number in range(20)])
    assert outbox.commits == 1
    await commits.close()
