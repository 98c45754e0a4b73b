"""The end of the day: stream, journal and the engine's own log against each other. Reads files, changes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos_wire import Kept

from signal_contract.codec import decode
from signal_contract.model import Action, Signal
from signal_contract.subject import is_entitled


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts of one friend, `fills` by the engine's own log. `lost`, `undecided`, `twice`, `orders_wrong` must be 0."""

    entitled: int
    journaled: int
    decided: int
    accepted: int
    orders: int
    fills: int
    lost: int
    undecided: int
    twice: int
    orders_wrong: int
    parked: int

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.undecided or self.twice or self.orders_wrong)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def journal_file(config: Path) -> Path:
    """Where a friend's journal is: beside his config, unless the config names another place."""
    return config.with_name(f"{config.stem}-data") / "journal.sqlite"


def engine_file(journal: Path) -> Path:
    """The paper engine's own log, which lies beside the journal."""
    return journal.with_name("paper.sqlite3")


def rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    """One question to a journal or to the engine's log, also beside a running agent."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(query).fetchall()


def decided_count(file: Path) -> int:
    """How many signals a journal holds that are decided; 0 before there is a journal."""
    try:
        return int(rows(file, "SELECT count(*) FROM decisions")[0][0])
    except sqlite3.OperationalError:
        return 0


def ledger_of(file: Path, stream: Sequence[Kept], filters: Iterable[str] = ("signals.*.*",)) -> Ledger:
    """Count a friend's journal against the stream and his entitlement."""
    wanted = tuple(filters)
    # The same signal stored twice in the stream (by another message id) is one signal.
    entitled = {_key(decode(each.payload)) for each in stream if is_entitled(each.subject, wanted)}
    signals = rows(file, "SELECT signal_id, revision, is_decided FROM signals")
    held = {(row[0], row[1]) for row in signals}
    decisions = Counter((row[0], row[1]) for row in rows(file, "SELECT signal_id, revision FROM decisions"))
    accepted = rows(file, "SELECT signal_id, revision FROM decisions WHERE verdict = 'ACCEPTED'")
    intents = rows(file, "SELECT order_id, signal_id, revision, state FROM intents")
    return Ledger(
        entitled=len(entitled),
        journaled=len(signals),
        decided=len(decisions),
        accepted=len(accepted),
        orders=len(intents),
        fills=int(rows(engine_file(file), "SELECT count(*) FROM fills")[0][0]),
        lost=len(entitled - held),
        undecided=len(held - decisions.keys()) + sum(not row[2] for row in signals),
        twice=len(signals) - len(held) + sum(count > 1 for count in decisions.values()) + len(held - entitled),
        orders_wrong=_orders_wrong(file, {(row[0], row[1]) for row in accepted}, intents),
        parked=int(rows(file, "SELECT count(*) FROM parked")[0][0]),
    )


def _orders_wrong(file: Path, accepted: set[tuple[str, int]], intents: list[tuple[Any, ...]]) -> int:
    """Accepted without exactly one order, orders without an accepted signal, orders and fills that do not match.

    The engine's own log is the truth: the journal's outcomes and booked shares are held against it.
    """
    of_signal = Counter((row[1], row[2]) for row in intents)
    log = rows(engine_file(file), "SELECT order_id, state, entry_id FROM orders")
    engine = {order_id: state for order_id, state, _ in log}
    fills = Counter(row[0] for row in rows(engine_file(file), "SELECT order_id FROM fills"))
    # A stop or a target that the engine holds for an entry has no intent of its own.
    stray = [order_id for order_id, _, entry_id in log if not entry_id and order_id not in {row[0] for row in intents}]
    filled = {key for key, state in engine.items() if state == "FILLED"}
    booked, executed = _shares(file), _shares(engine_file(file))
    return (
        len(accepted ^ of_signal.keys())
        + sum(count > 1 for count in of_signal.values())
        # Killed before the hand-over and refused since (a halt came, it grew stale): then the engine never saw it.
        + sum(engine.get(order_id, "ABANDONED") != state for order_id, _, _, state in intents)
        + len(stray)
        + len(filled ^ fills.keys())
        + sum(count > 1 for count in fills.values())
        + sum(booked.get(key, 0) != executed.get(key, 0) for key in booked.keys() | executed.keys())
    )


def _shares(file: Path) -> dict[str, Decimal]:
    """Shares filled, by order."""
    found: dict[str, Decimal] = {}
    for order_id, quantity in rows(file, "SELECT order_id, quantity FROM fills"):
        found[order_id] = found.get(order_id, Decimal(0)) + Decimal(quantity)
    return found


def traded_in_a_halt(file: Path, stream: Sequence[Kept]) -> int:
    """Entries that were accepted though a halt stood before them in the stream."""
    halted, is_halted = set(), False
    for each in stream:
        if each.subject.startswith("control.all."):
            is_halted = {"halt": True, "resume": False}.get(each.subject.rpartition(".")[2], is_halted)
        elif is_halted and (signal := decode(each.payload)).action is not Action.CLOSE:
            halted.add(_key(signal))
    accepted = rows(file, "SELECT signal_id, revision FROM decisions WHERE verdict = 'ACCEPTED'")
    return sum(tuple(row) in halted for row in accepted)


def _key(signal: Signal) -> tuple[str, int]:
    return signal.signal_id, signal.revision


def stream_faults(stream: Sequence[Kept], submitted: Sequence[Signal]) -> dict[str, int]:
    """How the stream differs from what was submitted: signals missing, stored twice, and out of order."""
    wanted = [each.message_id for each in submitted]
    ids = [each.message_id for each in stream if each.subject.startswith("signals.")]
    mine = [each for each in ids if each in set(wanted)]
    order = {each: number for number, each in enumerate(wanted)}
    moved = sum(order[a] > order[b] for a, b in pairwise(mine))
    return {"missing": len(set(wanted) - set(ids)), "doubled": len(ids) - len(set(ids)), "out_of_order": moved}
