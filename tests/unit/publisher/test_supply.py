"""What a drain sends comes in the outbox's order, each entry once, whoever else writes into the same outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest_asyncio

from publisher.commits import Commits
from publisher.entry import Entry
from publisher.outbox import Outbox
from publisher.supply import News, Supply

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)


def entry(number: int) -> Entry:
    return Entry(f"id{number}.1", f"signals.fda.T{number}", b"x", "c2ln")


class Desk:
    """An outbox with its commits and an open supply; counts how often the file is read."""

    def __init__(self, path: Path) -> None:
        self.outbox = Outbox.open(path)
        self.commits, self.reads = Commits(self.outbox), 0
        self.supply = Supply(_Counted(self), News())

    async def submit(self, *numbers: int) -> None:
        await self.commits.submit([entry(each) for each in numbers])

    def other(self, *numbers: int) -> None:
        """Another process submits."""
        with Outbox.open(self.outbox.path) as other:
            other.submit_many([entry(each) for each in numbers], now=NOW)

    async def taken(self) -> list[str]:
        """The message ids that come next."""
        found = []
        while True:
            await self.supply.fill(is_busy=False)
            found += [each.entry.message_id for each in self.supply.queue]
            self.supply.queue.clear()
            if not self.supply.has_more:
                return found


class _Counted:
    """The commits, with their readings counted."""

    def __init__(self, desk: Desk) -> None:
        self.__dict__["desk"] = desk

    def __getattr__(self, name: str) -> object:
        self.desk.reads += name == "pending"
        return getattr(self.desk.commits, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.desk.commits, name, value)


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "outbox.sqlite")
    yield made
    made.supply.close()
    await made.commits.close()
    made.outbox.close()


def ids(*numbers: int) -> list[str]:
    return [f"id{each}.1" for each in numbers]


async def test_what_is_committed_here_is_not_read_again(desk: Desk) -> None:
    await desk.submit(0)
    assert await desk.taken() == ids(0)
    for numbers in ((1, 2), (3,), (4, 5, 6)):
        await desk.submit(*numbers)
        assert await desk.taken() == ids(*numbers)
    assert desk.reads == 1


async def test_what_another_process_submits_in_between_keeps_its_place(desk: Desk) -> None:
    await desk.submit(0)
    assert await desk.taken() == ids(0)
    await desk.submit(1)
    desk.other(2)
    await desk.submit(3)
    assert await desk.taken() == ids(1, 2, 3)
    await desk.submit(4)
    assert await desk.taken() == ids(4)
    assert desk.reads == 2


async def test_what_was_known_before_is_not_sent_twice(desk: Desk) -> None:
    await desk.submit(0, 1)
    assert await desk.taken() == ids(0, 1)
    await desk.submit(1, 0, 2, 2)
    await desk.submit(1)
    await desk.submit(3)
    assert await desk.taken() == ids(2, 3)


async def test_what_is_committed_while_the_file_is_read_comes_once(desk: Desk) -> None:
    await desk.submit(0)
    await desk.supply.fill(is_busy=True)  # begins to read
    await desk.submit(1)
    assert await desk.taken() == ids(0, 1)


async def test_file_that_was_replaced_is_read_behind_the_last_one(desk: Desk) -> None:
    await desk.submit(0, 1)
    assert await desk.taken() == ids(0, 1)
    desk.outbox.condemn("a test")  # what cannot be proven stays in the damaged file: positions begin again
    desk.other(7)
    await desk.submit(2)
    assert await desk.taken() == ids(7, 2)


async def test_more_than_memory_holds_is_read_from_the_file(desk: Desk) -> None:
    await desk.submit(0)
    assert await desk.taken() == ids(0)
    for start in range(1, 2401, 400):
        await desk.submit(*range(start, start + 400))
    assert await desk.taken() == ids(*range(1, 2401))


async def test_closed_supply_hears_of_nothing(desk: Desk) -> None:
    desk.supply.close()
    await desk.submit(0)
    again = Supply(desk.commits, News())
    await again.fill(is_busy=False)
    assert [each.entry.message_id for each in again.queue] == ids(0)
    again.close()
