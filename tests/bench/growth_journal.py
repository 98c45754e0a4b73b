"""One friend's journal at several sizes, and what a signal costs there: kept, decided and written down, as it lives.

The first 500 signals go through the real desk and the paper engine. The others are copies of those rows under ids of
their own, made by SQL: the same columns in the same tables and indexes. Only the hash chain does not verify, and
nothing that is measured reads it back.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "acceptance")]

from processes import a_signal  # noqa: E402

from signal_contract.codec import encode  # noqa: E402
from signal_contract.model import Signal  # noqa: E402
from subscriber_agent.desk import Desk  # noqa: E402
from subscriber_agent.engines.paper.engine import PaperEngine  # noqa: E402
from subscriber_agent.journal import Arrival, Journal, Stored  # noqa: E402
from subscriber_agent.settings.config import AgentConfig  # noqa: E402

_FIRST = 500
_KEY = "ed25519:" + "A" * 43
# Most signals lead to an order, at any hour: a refusal is cheaper.
_RISK = {"max_orders_per_minute": 60, "max_trades_per_day": 1000, "fixed_usd": 20}
_RISK |= {"max_age_s": 3600, "cooldown_s": 0, "sessions": ["pre", "regular", "after", "closed"]}
CONFIG = {"servers": ["nats://127.0.0.1:4222"], "creds": "x.creds", "publisher_key": _KEY, "risk": _RISK}
# Unlike for every copy, and scattered over the index as hashes are.
_SCATTERED = "printf('%08x', (n.k * 2654435761) & 4294967295)"
_OTHER_ID = f"{_SCATTERED} || substr({{}}, 9)"
_OTHER_ORDER = f"'cs-' || {_SCATTERED} || substr({{}}, 12)"
_OTHER_TICKER = "{} || char(65 + n.k % 26)"
_LATER = "{} + n.k * :span"
# Every signal is copied, and the orders of every sixteenth copy: 3 orders a hundred signals, some ten a trading day.
_WITH_ORDERS = "n.k % 16 = 0"
# Table → which copies it has, and what in them is not as in the first; `k` numbers the copies of `span` signals.
_JOURNAL: dict[str, tuple[str, dict[str, str]]] = {
    "seen": ("TRUE", {"stream_seq": _LATER}),
    "signals": ("TRUE", {"id": "NULL", "stream_seq": _LATER, "signal_id": _OTHER_ID, "ticker": _OTHER_TICKER}),
    "decisions": ("TRUE", {"number": _LATER, "stream_seq": _LATER, "signal_id": _OTHER_ID}),
    "intents": (_WITH_ORDERS, {"order_id": _OTHER_ORDER, "signal_id": _OTHER_ID, "ticker": _OTHER_TICKER}),
    "fills": (_WITH_ORDERS, {"id": "NULL", "order_id": _OTHER_ORDER, "ticker": _OTHER_TICKER}),
    "protections": (_WITH_ORDERS, {"entry_id": _OTHER_ORDER, "ticker": _OTHER_TICKER}),
    "ledger": (_WITH_ORDERS, {"number": "NULL"}),
    "equity": (_WITH_ORDERS, {"number": "NULL"}),
}
_PAPER: dict[str, tuple[str, dict[str, str]]] = {
    "orders": (_WITH_ORDERS, {"order_id": _OTHER_ORDER, "entry_id": _OTHER_ORDER}),
    "fills": (_WITH_ORDERS, {"id": "NULL", "order_id": _OTHER_ORDER, "ticker": _OTHER_TICKER}),
}


def steps_of(run: str, count: int) -> Iterator[dict[str, Any]]:
    """Signals (what `a_signal` takes): a buy, its sale, and two that are not traded; nothing is held at the end.

    The last ones have the risk ledger take up the sale: the copies' ledgers must agree with their fills.
    """
    for number in range(count // 4):
        ticker, news = f"T{number % 50}", f"{run}-{number}"
        yield {"ticker": ticker, "news": news}
        yield {"ticker": ticker, "news": news, "action": "close", "catalyst": "fraud", "catalysts": ["fraud"]}
        yield {"ticker": ticker, "news": f"{news}-weak", "confidence": "0.2"}
        yield {"ticker": ticker, "news": f"{news}-seen", "action": "watch"}


class LiveBook:
    """A journal with its desk and paper engine, as a running agent has them."""

    def __init__(self, data: Path, *, days_ago: int = 0) -> None:
        self._passed_s = -86_400.0 * days_ago
        self.journal = Journal.open(data / "journal.sqlite")
        self._engine = PaperEngine(data, clock=self._now)
        self._desk = Desk(AgentConfig.model_validate(CONFIG), self.journal, self._engine, self._now, user="alice")
        self._sequence = self.journal.last_sequence()
        for last in self.journal.signals(1):  # an earlier run's clock went ahead: this one's must not go back
            self._passed_s = max(self._passed_s, (last.received_at - datetime.now(UTC)).total_seconds())

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._passed_s)

    async def start(self) -> None:
        """As an agent that begins: look after what is held."""
        await self._engine.start()
        await self._desk.tend()

    async def tend(self) -> None:
        """What the agent does between signals."""
        await self._desk.tend()

    def arrives(self, step: dict[str, Any]) -> Signal:
        """A signal that was published just now, two seconds after the one before: so many orders a minute may be."""
        self._passed_s += 2.0
        return a_signal(age_s=-self._passed_s, **step)

    async def take(self, signal: Signal) -> str:
        """One live signal, from its arrival to the engine's answer in the journal; the verdict."""
        self._sequence += 1
        payload, now = encode(signal), self._now()
        stored = Stored(self._sequence, signal.subject, payload, now, signal)
        arrival = Arrival(self._sequence, signal.subject, payload, now, signal, None, "")
        gathered = await self._desk.gather(stored)
        with self.journal.transaction():
            self.journal.record([arrival])
            decided = self._desk.decide_and_keep(stored, gathered)
        return (await self._desk.finish(decided)).decision.verdict.value

    async def close(self) -> None:
        await self._engine.close()
        self.journal.close()


async def first_book(data: Path) -> None:
    """A journal of 500 signals, decided forty days ago: what is left of them are rows."""
    book = LiveBook(data, days_ago=40)
    await book.start()
    verdicts = [await book.take(book.arrives(each)) for each in steps_of("first", _FIRST)]
    await book.close()
    assert verdicts.count("ACCEPTED") == _FIRST // 2, verdicts[-8:]
    with closing(sqlite3.connect(data / "journal.sqlite")) as connection, connection:
        connection.execute("DELETE FROM feedback")  # a running agent has sent them


def grow(data: Path, rows: int) -> None:
    """Copy what a first book holds until that many signals are decided."""
    copies = rows // _FIRST - 1
    for file, tables in (("journal.sqlite", _JOURNAL), ("paper.sqlite3", _PAPER)):
        with closing(sqlite3.connect(data / file, isolation_level=None)) as connection:
            for pragma in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -1000000"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            for table, (which, changed) in tables.items():
                _copy(connection, table, which, changed, copies)
            if file == "journal.sqlite":
                _point_at_the_end(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")


def _copy(connection: sqlite3.Connection, table: str, which: str, changed: dict[str, str], copies: int) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    made = ", ".join(changed.get(each, each).format(each) for each in columns)
    connection.execute(f"CREATE TEMP TABLE first_{table} AS SELECT * FROM {table}")
    connection.execute(
        f"WITH RECURSIVE n(k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM n WHERE k < :copies)"
        f" INSERT INTO {table} ({', '.join(columns)}) SELECT {made} FROM n CROSS JOIN first_{table}"
        f" WHERE {which} AND :copies > 0 AND :span > 0",
        {"copies": copies, "span": _FIRST},
    )


def _point_at_the_end(connection: sqlite3.Connection) -> None:
    ((number, digest),) = connection.execute("SELECT number, hash FROM decisions ORDER BY number DESC LIMIT 1")
    connection.execute("UPDATE meta SET value = ? WHERE key = 'decision_head'", (f"{number} {digest}",))


async def costs(data: Path, run: str, count: int) -> dict[str, float]:
    """What a signal costs on this journal: the median of wall time, the mean of CPU; and how long the start takes."""
    began = time.perf_counter()
    book = LiveBook(data)
    try:
        await book.start()
        start_ms = (time.perf_counter() - began) * 1e3
        for each in steps_of(f"{run}-warm", 40):
            await book.take(book.arrives(each))
        walls, cpus, verdicts = [], [], []
        for each in steps_of(run, count):
            signal = book.arrives(each)
            began, began_cpu = time.perf_counter(), time.process_time()
            verdicts.append(await book.take(signal))
            cpus.append(time.process_time() - began_cpu)
            walls.append(time.perf_counter() - began)
        assert verdicts.count("ACCEPTED") == len(verdicts) // 2, "each size must do the same work"
        began_cpu = time.process_time()
        for _ in range(20):
            await book.tend()
        tend_s = time.process_time() - began_cpu
    finally:
        await book.close()
    return {
        "cpu_us": statistics.mean(cpus) * 1e6,
        "wall_p50_us": statistics.median(walls) * 1e6,
        "tend_cpu_us": tend_s / 20 * 1e6,
        "start_ms": start_ms,
    }


def size_mb(data: Path) -> float:
    """The files of journal and paper account."""
    return sum(each.stat().st_size for each in data.iterdir()) / 1e6
