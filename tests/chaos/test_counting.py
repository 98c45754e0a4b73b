"""The counting itself: a ledger that could not see a fault would prove nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chaos_growth import Sample, growth
from chaos_ledger import engine_file, ledger_of, stream_faults, traded_in_a_halt
from chaos_load import control, signals_of
from chaos_rounds import added_up
from chaos_wire import Kept

from signal_contract.codec import encode
from signal_contract.control import Verb, control_bytes
from signal_contract.model import Signal

SIGNALS = signals_of("count", 2)
_TABLES = """
CREATE TABLE signals (signal_id TEXT, revision INTEGER, is_decided INTEGER);
CREATE TABLE decisions (signal_id TEXT, revision INTEGER, verdict TEXT);
CREATE TABLE intents (order_id TEXT, signal_id TEXT, revision INTEGER, state TEXT);
CREATE TABLE fills (order_id TEXT, quantity TEXT);
CREATE TABLE parked (id INTEGER);
"""
_ENGINE_TABLES = """
CREATE TABLE orders (order_id TEXT, state TEXT, entry_id TEXT);
CREATE TABLE fills (order_id TEXT, quantity TEXT);
"""


def _stream(*signals: Signal) -> list[Kept]:
    return [Kept(n, each.subject, each.message_id, encode(each)) for n, each in enumerate(signals, start=1)]


def _journal(path: Path, *statements: str, engine: str = "") -> Path:
    """Both signals accepted and filled, then changed by `statements`; the engine's own log by `engine`."""
    _engine(engine_file(path), engine)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_TABLES)
        for number, each in enumerate(SIGNALS):
            order = f"o{number}"
            connection.execute("INSERT INTO signals VALUES (?, 1, 1)", (each.signal_id,))
            connection.execute("INSERT INTO decisions VALUES (?, 1, 'ACCEPTED')", (each.signal_id,))
            connection.execute("INSERT INTO intents VALUES (?, ?, 1, 'FILLED')", (order, each.signal_id))
            connection.execute("INSERT INTO fills VALUES (?, '10')", (order,))
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


def _engine(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_ENGINE_TABLES)
        for number in range(len(SIGNALS)):
            connection.execute("INSERT INTO orders VALUES (?, 'FILLED', '')", (f"o{number}",))
            connection.execute("INSERT INTO orders VALUES (?, 'ACCEPTED', ?)", (f"o{number}-stop", f"o{number}"))
            connection.execute("INSERT INTO fills VALUES (?, '10')", (f"o{number}",))
        connection.executescript(statements)
        connection.commit()


def test_a_whole_journal_is_right(tmp_path: Path) -> None:
    ledger = ledger_of(_journal(tmp_path / "j.sqlite"), _stream(*SIGNALS))
    assert ledger.is_right
    assert (ledger.entitled, ledger.decided, ledger.orders, ledger.fills) == (2, 2, 2, 2)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (f"DELETE FROM signals WHERE signal_id = '{SIGNALS[0].signal_id}'", "lost"),
        (f"DELETE FROM decisions WHERE signal_id = '{SIGNALS[0].signal_id}'", "undecided"),
        ("UPDATE signals SET is_decided = 0", "undecided"),
        (f"INSERT INTO decisions VALUES ('{SIGNALS[0].signal_id}', 1, 'ACCEPTED')", "twice"),
        (f"INSERT INTO signals VALUES ('{SIGNALS[0].signal_id}', 1, 1)", "twice"),
        ("INSERT INTO signals VALUES ('never published', 1, 1)", "twice"),
        ("DELETE FROM intents WHERE order_id = 'o0'", "orders_wrong"),
        (f"INSERT INTO intents VALUES ('o2', '{SIGNALS[0].signal_id}', 1, 'FILLED')", "orders_wrong"),
        ("INSERT INTO fills VALUES ('o0', '10')", "orders_wrong"),
        ("DELETE FROM fills WHERE order_id = 'o0'", "orders_wrong"),
        ("UPDATE fills SET quantity = '9' WHERE order_id = 'o0'", "orders_wrong"),
    ],
)
def test_each_fault_of_a_journal_is_seen(tmp_path: Path, statement: str, fault: str) -> None:
    ledger = ledger_of(_journal(tmp_path / "j.sqlite", statement), _stream(*SIGNALS))
    assert not ledger.is_right
    assert getattr(ledger, fault) > 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO orders VALUES ('o9', 'FILLED', '')",
        "UPDATE orders SET state = 'REJECTED' WHERE order_id = 'o0'",
        "INSERT INTO fills VALUES ('o0', '10')",
        "DELETE FROM fills WHERE order_id = 'o0'",
        "INSERT INTO fills VALUES ('o0-stop', '10')",
        "UPDATE orders SET state = 'FILLED' WHERE order_id = 'o0-stop'",
    ],
)
def test_each_order_that_the_engines_own_log_says_otherwise_is_seen(tmp_path: Path, statement: str) -> None:
    assert ledger_of(_journal(tmp_path / "j.sqlite", engine=statement), _stream(*SIGNALS)).orders_wrong > 0


def test_each_fault_of_a_stream_is_seen() -> None:
    a, b = SIGNALS
    assert stream_faults(_stream(a, b), [a, b]) == {"missing": 0, "doubled": 0, "out_of_order": 0}
    assert stream_faults(_stream(b), [a, b])["missing"] == 1
    assert stream_faults(_stream(a, a, b), [a, b])["doubled"] == 1
    assert stream_faults(_stream(b, a), [a, b])["out_of_order"] == 1


def test_an_entry_that_was_traded_in_a_halt_is_seen(tmp_path: Path) -> None:
    def word(verb: Verb) -> Kept:
        said = control(verb)
        return Kept(0, said.subject, said.message_id, control_bytes(said))

    (first, second), journal = _stream(*SIGNALS), _journal(tmp_path / "j.sqlite")
    assert traded_in_a_halt(journal, [word(Verb.HALT), word(Verb.RESUME), first, second]) == 0
    assert traded_in_a_halt(journal, [first, word(Verb.HALT), second]) == 1


def test_growth_is_the_rise_of_the_line() -> None:
    samples = [Sample(at_s=n, rss_kb=1000 + 5 * n, files=3, threads=1, tasks=1, lag=0) for n in range(11)]
    assert growth(samples, "rss_kb") == pytest.approx(50)
    assert growth(samples, "files") == 0


def test_rounds_add_counts_and_keep_the_worst_times() -> None:
    one: dict[str, Any] = {"scenario": "x", "seed": 1, "form": "long", "took_s": 2.0, "kills": 50, "publish_gap_s": 4.0}
    (total,) = added_up([one, {**one, "seed": 2, "publish_gap_s": 3.0}])
    assert (total["rounds"], total["kills"], total["took_s"], total["publish_gap_s"]) == (2, 100, 4.0, 4.0)
