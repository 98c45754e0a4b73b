"""kill -9 at every named point of both sides, under load; then the same point by point at random, fifty times.

The process ends itself there with SIGKILL (`CATALYST_STOP_AT`): no handler runs, nothing is flushed.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from chaos_ledger import decided_count, journal_file, ledger_of, stream_faults, traded_in_a_halt
from chaos_load import control, signals_of, written
from chaos_process import KILLED, Crew, Running, waited
from chaos_publisher import kept_only
from chaos_wire import Kept, Wire

from signal_contract.control import Verb
from signal_contract.model import Signal

PUBLISHER_EDGES = (
    "outbox.uncommitted",
    "outbox.committed",
    "relay.taken",
    "relay.sent",
    "receipts.uncommitted",
    "relay.confirmed",
)
AGENT_EDGES = (
    "feed.received",
    "journal.uncommitted",
    "journal.recorded",
    "feed.acked",
    "decision.uncommitted",
    "decision.committed",
    "paper.committed",
    "engine.submitted",
    "outcome.committed",
    "control.recorded",
    "feedback.sent",
    "feedback.marked",
)
# Reached only at a start that finds an order whose end is not known.
RECOVERING = "recover.looked_up"
RIGHT = {"missing": 0, "doubled": 0, "out_of_order": 0}
# Edges that are passed once a batch or once a run, not once a signal.
_ONCE = ("outbox.uncommitted", "outbox.committed", "receipts.uncommitted", "control.recorded", RECOVERING)


def _armed(edge: str, dice: random.Random, most: int) -> str:
    return f"{edge}:{1 if edge in _ONCE else dice.randint(1, most)}"


def _died(process: Running) -> None:
    assert process.ended(90) == KILLED, f"it did not come to that point: {process.said}"


def _is_right(config: Path, stream: list[Kept], edge: str) -> dict[str, int]:
    ledger = ledger_of(journal_file(config), stream)
    assert ledger.is_right, (edge, ledger)
    assert ledger.accepted > 0, (edge, ledger)
    return ledger.as_dict()


def test_agent_killed_at_every_edge(wire: Wire, crew: Crew, chaos: Any, report: Any) -> None:
    """One friend for each edge: all are killed by the same signals, started again, and counted."""
    dice = chaos.dice("agent-edges")
    friends = {edge: wire.friend(f"friend{number}") for number, edge in enumerate((*AGENT_EDGES, RECOVERING))}
    for config in friends.values():
        wire.hurry(config.stem)
    first = {edge: _armed(edge, dice, 2) for edge in AGENT_EDGES} | {RECOVERING: "decision.committed:1"}
    agents = {edge: crew.agent(friends[edge], stop_at=stop) for edge, stop in first.items()}
    for each in agents.values():
        each.wait_for("caught_up")
    signals = signals_of("edges", 20, dice=dice)
    for part in (signals[:10], signals[10:]):
        file = written(wire.data.parent / "signals.jsonl", part)
        assert crew("catalyst", "publish", file, "--data", wire.data).ended() == 0
    wire.say(control(Verb.NOTICE))
    for each in agents.values():
        _died(each)
    _died(crew.agent(friends[RECOVERING], stop_at=RECOVERING))
    again = [crew.agent(config, "--until-drained") for config in friends.values()]
    for each in again:
        assert each.ended(90) == 0, each.said
    stream = wire.stream()
    totals = [_is_right(config, stream, edge) for edge, config in friends.items()]
    report.add(
        edges=len(friends),
        signals=len(signals),
        **{key: sum(each[key] for each in totals) for key in totals[0]},
        waiting=sum(sum(wire.lag(config.stem)) for config in friends.values()),
    )
    assert report.facts["waiting"] == 0


def test_publisher_killed_at_every_edge(wire: Wire, crew: Crew, chaos: Any, report: Any) -> None:
    """One outbox for each edge, all into the same stream."""
    dice = chaos.dice("publisher-edges")
    submitted: list[Signal] = []
    tries: list[tuple[str, list[object], Running]] = []
    for edge in PUBLISHER_EDGES:
        data, batch = wire.publisher_copy(edge.replace(".", "-")), signals_of(edge, 20, dice=dice)
        words: list[object] = ["catalyst", "publish", written(data / "in.jsonl", batch), "--data", data]
        submitted += batch
        tries.append((edge, words, crew(*words, stop_at=_armed(edge, dice, 15))))
    for _, _, process in tries:
        _died(process)
    for edge, words, _ in tries:
        process = crew(*words)
        assert process.ended() == 0, (edge, process.said)
    stream = wire.stream()
    by_edge = [
        stream_faults(stream, [each for each in submitted if each.news and each.news.id.startswith(edge)])
        for edge in PUBLISHER_EDGES
    ]
    report.add(
        edges=len(PUBLISHER_EDGES),
        signals=len(submitted),
        stored=len(stream),
        faults=sum(sum(each.values()) for each in by_edge),
    )
    assert all(each == RIGHT for each in by_edge), by_edge


def test_operator_killed_while_it_relays(wire: Wire, crew: Crew, chaos: Any, report: Any) -> None:
    """`catalyst up` dies as a whole in the middle of sending; its nats-server is left behind and must be found."""
    dice, edges, submitted = chaos.dice("operator"), ("relay.taken", "relay.sent", "relay.confirmed"), list[Signal]()
    wire.stop()
    for edge in edges:
        wire.start(stop_at=_armed(edge, dice, 15))
        batch = signals_of(edge, 20)
        submitted += batch
        kept_only(wire.data, batch)
        assert wire.up is not None
        _died(wire.up)
    wire.start()
    waited(lambda: len(wire.stream()) >= len(submitted), what="all stored", timeout_s=60)
    faults = stream_faults(wire.stream(), submitted)
    report.add(kills=len(edges), signals=len(submitted), **faults)
    assert faults == RIGHT


def test_killed_at_random_edges_of_both_sides(wire: Wire, crew: Crew, chaos: Any, report: Any) -> None:
    """Chunks are published while publisher and agent are killed where the dice say; now and then trading is halted."""
    kills, count, dice = chaos.pick(5, 50), chaos.pick(50, 500), chaos.dice("random-edges")
    alice = wire.friend("alice")
    wire.hurry("alice")
    signals = signals_of("random", count, dice=dice)
    killings = _Killings(wire, crew, alice, dice, kills)
    size = max(1, count // kills)
    for start in range(0, count, size):
        killings.halt_or_resume()
        killings.publish(signals[start : start + size])
        killings.go_on(min(count, start + size))
    while killings.made < kills:
        killings.go_on(count)
    killings.end(count)
    stream = wire.stream()
    faults, ledger = stream_faults(stream, signals), ledger_of(journal_file(alice), stream)
    traded = traded_in_a_halt(journal_file(alice), stream)
    report.add(kills=killings.made, by_edge=killings.in_words, halts=killings.halts, traded_in_a_halt=traded)
    report.add(signals=count, **faults, **ledger.as_dict())
    assert traded == 0
    assert faults == RIGHT
    assert ledger.is_right, ledger
    assert ledger.journaled == count
    assert wire.lag("alice") == (0, 0)


class _Killings:
    """An agent and a publisher that are started armed again and again, until enough of them died."""

    def __init__(self, wire: Wire, crew: Crew, config: Path, dice: random.Random, wanted: int) -> None:
        self._wire, self._crew, self._config, self._dice = wire, crew, config, dice
        self._wanted = wanted
        self._file = wire.data.parent / "chunk.jsonl"
        self.died_at: list[str] = []
        self.halts = 0
        self._is_halted = False
        self._agent = self._start()

    @property
    def made(self) -> int:
        return len(self.died_at)

    @property
    def in_words(self) -> str:
        return " ".join(f"{each}×{self.died_at.count(each)}" for each in sorted(set(self.died_at)))

    def _start(self) -> Running:
        is_armed = self.made < self._wanted
        edge = self._dice.choice((*AGENT_EDGES, RECOVERING))
        return self._crew.agent(self._config, stop_at=_armed(edge, self._dice, 3) if is_armed else "")

    def halt_or_resume(self) -> None:
        """Now and then the operator halts all trading, and soon takes it back."""
        if self._dice.random() < (0.6 if self._is_halted else 0.15):
            self._is_halted = not self._is_halted
            self.halts += self._is_halted
            self._wire.say(control(Verb.HALT if self._is_halted else Verb.RESUME))

    def publish(self, chunk: list[Signal]) -> None:
        """`catalyst publish`, armed every other time, until it has gone through."""
        written(self._file, chunk)
        while True:
            is_armed = self.made < self._wanted and self._dice.random() < 0.5
            edge = self._dice.choice(PUBLISHER_EDGES)
            stop = _armed(edge, self._dice, len(chunk)) if is_armed else ""
            process = self._crew("catalyst", "publish", self._file, "--data", self._wire.data, stop_at=stop)
            if (status := process.ended()) == 0:
                return
            assert status == KILLED, process.said
            self.died_at.append(edge)

    def go_on(self, published: int) -> None:
        """Wait until the agent died or has decided everything; in the latter case kill it half of the time."""
        waited(lambda: not self._agent.is_alive or self._decided() >= published, what="decided or dead", timeout_s=90)
        where = self._agent.stop_at.partition(":")[0]
        if self._agent.is_alive and self.made < self._wanted and self._dice.random() < 0.5:
            self._agent.kill()
            where = "anywhere"
        if not self._agent.is_alive:
            assert self._agent.ended() == KILLED, self._agent.said
            self.died_at.append(where)
            self._agent = self._start()

    def _decided(self) -> int:
        return decided_count(journal_file(self._config))

    def end(self, published: int) -> None:
        """The last agent may still be armed: kill it, and let one without a point to die at finish."""
        self._agent.kill()
        self._agent = self._crew.agent(self._config)
        self._agent.wait_for("caught_up", timeout_s=90)
        waited(lambda: self._decided() >= published, what=f"{published} decided", timeout_s=120)
        assert self._agent.stop() == 0, self._agent.said
