"""What grows with the rows in a friend's journal, the messages in the stream and the registered users, and what not.

Full: 1 k, 10 k, 100 k and 1 M rows and 1 k and 1 M messages, some ten minutes and 6 GB of disk. Quick: 1 k and 20 k.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / each) for each in ("acceptance", "chaos")]

import growth_journal  # noqa: E402
from chaos_process import Crew  # noqa: E402
from commands import command_path, medians_ms, ran  # noqa: E402
from growth_stream import Grown, drained_rss_mb, fillers  # noqa: E402
from harness import Bench, Goal, Measured, Scale  # noqa: E402
from processes import with_settings  # noqa: E402

_FRIEND = "alice"
_ROWS, _MESSAGES, _USERS = "{:,} rows", "{:,} messages", "{:,} users"


def bench(scale: Scale) -> Bench:
    """Fill everything once, then measure all sizes in turns."""
    sizes = (1_000, 20_000) if scale.is_quick else (1_000, 10_000, 100_000, 1_000_000)
    users = scale.of(1000, 50)
    result = Bench("growth", "As it grows", goals=_goals(sizes[0], sizes[-1], users))
    with tempfile.TemporaryDirectory() as name, Crew(Path(name)) as crew, contextlib.ExitStack() as ends:
        folder = Path(name)
        small, large, crowded = (Grown(folder / each, crew) for each in ("small", "large", "crowded"))
        for each in (small, large, crowded):
            ends.callback(each.wire.end)
        small.filled(fillers(sizes[0]))
        large.filled(fillers(sizes[-1]))
        crowded.filled(fillers(sizes[0]))
        crowded.let_in_many(users - 1)
        for each in (small, large, crowded):
            each.wire.friend(_FRIEND)
        books = {rows: _book(folder, rows) for rows in sizes}
        for number in range(scale.rounds):
            # Whoever is first pays for what is loaded late, and for a processor that has idled.
            asyncio.run(growth_journal.costs(folder / "first", f"warm{number}", 200))
            turns = sizes if number % 2 else sizes[::-1]
            found = [_written(books[rows], rows, f"r{number}", scale.of(300, 100)) for rows in turns]
            found += [_looked_at(small, books[rows], rows, scale.of(5, 2)) for rows in (sizes[0], sizes[-1])]
            count = scale.of(200, 60)
            found += [_sent(small, sizes[0], count), _sent(large, sizes[-1], count)]
            found += [_with_users(small, 1, count), _with_users(crowded, users, count)]
            result.rounds.append(found)
        result.rounds[0].append(_long_run(small, crew, scale.of(100_000, 2_000)))
    return result


def _goals(least: int, most: int, users: int) -> list[Goal]:
    def grows(name: str, figure: str, at: str, than: int, to: int, limit: float | None) -> Goal:
        who = "journal" if at == _ROWS else "server"
        return Goal(name, figure, who, who, at=at.format(to), than_at=at.format(than), most=limit)

    return [
        grows("CPU a signal, most rows / least", "cpu_us", _ROWS, least, most, 1.2),
        grows("wall time a signal, most rows / least", "wall_p50_us", _ROWS, least, most, 1.2),
        grows("publish to ack, most messages / least", "p50_ms", _MESSAGES, least, most, 1.2),
        grows("publish to ack, many users / one", "p50_ms", _USERS, 1, users, 1.2),
        grows("`status`, most rows / least", "status_ms", _ROWS, least, most, None),
        grows("`explain --last`, most rows / least", "explain_ms", _ROWS, least, most, None),
        grows("start of desk and engine, most rows / least", "start_ms", _ROWS, least, most, None),
    ]


def _book(folder: Path, rows: int) -> Path:
    first = folder / "first"
    if not first.exists():
        asyncio.run(growth_journal.first_book(first))
    data = folder / f"rows-{rows}"
    shutil.copytree(first, data)
    growth_journal.grow(data, rows)
    return data


def _written(data: Path, rows: int, run: str, count: int) -> Measured:
    costs = asyncio.run(growth_journal.costs(data, run, count))
    return Measured("journal", costs | {"size_mb": growth_journal.size_mb(data)}, at=_ROWS.format(rows))


def _looked_at(grown: Grown, data: Path, rows: int, runs: int) -> Measured:
    """The wall time of commands over a journal, with the config of a friend."""
    folder = grown.data / "users" / _FRIEND
    config = shutil.copy(folder / f"{_FRIEND}.yaml", folder / f"rows-{rows}.yaml")
    with_settings(Path(config), data=str(data))
    words = ["--config", str(config)]
    works = {
        "status_ms": lambda: ran([command_path("subscriber-agent"), "status", *words]),
        "explain_ms": lambda: ran([command_path("subscriber-agent"), "explain", "--last", *words]),
    }
    return Measured("journal", medians_ms(works, runs), at=_ROWS.format(rows))


def _sent(grown: Grown, messages: int, count: int) -> Measured:
    return Measured("server", asyncio.run(grown.delivered(_FRIEND, count)), at=_MESSAGES.format(messages))


def _with_users(grown: Grown, users: int, count: int) -> Measured:
    figures = asyncio.run(grown.delivered(_FRIEND, count))
    return Measured("server", figures | {"consumer_kb": grown.consumer_kb(users)}, at=_USERS.format(users))


def _long_run(grown: Grown, crew: Crew, count: int) -> Measured:
    config = grown.wire.friend("bob")
    before, after = drained_rss_mb(grown, crew, config, count)
    return Measured("agent", {"rss_before_mb": before, "rss_after_mb": after}, at=f"{count:,} signals drained")
