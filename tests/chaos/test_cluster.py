"""Three nodes, R3: the stream's leader is killed under load, nodes restart in turn, one misses a revocation."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chaos_cluster import NODES, Cluster
from chaos_ledger import decided_count, journal_file, ledger_of, stream_faults
from chaos_load import signals_of
from chaos_process import waited
from chaos_publisher import Classifier

from signal_admin.actions import revoke
from signal_admin.desk import make_desk
from signal_contract.model import Signal

RIGHT = {"missing": 0, "doubled": 0, "out_of_order": 0}
_PER_ROUND = 150
_PACE_S = 0.02


@pytest.fixture
def cluster(tmp_path: Path, crew: Any) -> Iterator[Cluster]:
    """Three nodes that run; friend alice is known to them."""
    made = Cluster(tmp_path / "data", crew)
    try:
        yield made
    finally:
        made.end()


def _settled(cluster: Cluster, config: Path, signals: list[Signal], report: Any) -> None:
    """Wait until the friend has decided everything; count."""
    file = journal_file(config)
    waited(lambda: decided_count(file) >= len(signals), what="all decided", timeout_s=120)
    stream = cluster.stream()
    ledger, faults = ledger_of(file, stream), stream_faults(stream, signals)
    report.add(signals=len(signals), **faults, **ledger.as_dict())
    assert faults == RIGHT
    assert ledger.is_right, ledger


def _decision_gap_s(agent: Any, since: datetime) -> float:
    times = [datetime.fromisoformat(line["at"]) for line in agent.lines("decision")]
    late = [at for at in times if at >= since]
    return max((b - a).total_seconds() for a, b in pairwise(late)) if len(late) > 1 else 0.0


def test_leader_killed_under_load_and_a_node_that_missed_a_revocation(
    cluster: Cluster, crew: Any, chaos: Any, report: Any
) -> None:
    rounds, dice = chaos.pick(1, 10), chaos.dice("leader")
    alice = cluster.bring_up(friend="alice")
    agent = crew.agent(alice)
    agent.wait_for("caught_up")
    sent: list[Signal] = []
    publish_gaps: list[float] = []
    decision_gaps: list[float] = []
    for number in range(rounds):
        batch, began = signals_of(f"round-{number}", _PER_ROUND), datetime.now(UTC)
        with Classifier(cluster.data, batch, pace_s=_PACE_S) as classifier:
            goal = int(_PER_ROUND * dice.uniform(0.1, 0.6))
            waited(lambda: len(classifier.receipts) >= goal, what=f"{goal} stored")  # noqa: B023
            leader, killed_at = cluster.leader(), time.monotonic()
            cluster.end_node(leader)
            classifier.finished(120)
        sent += batch
        file = journal_file(alice)
        waited(lambda: decided_count(file) >= len(sent), what=f"round {number} decided", timeout_s=120)  # noqa: B023
        publish_gaps.append(classifier.gap_s(killed_at))
        decision_gaps.append(_decision_gap_s(agent, began))
        cluster.start_node(leader)
        cluster.wait_healthy()
    if chaos.is_long:
        _rolled(cluster, sent)
    report.add(
        leaders_killed=rounds,
        publish_gap_s=max(publish_gaps),
        decision_gap_s=max(decision_gaps),
        publish_gaps_s=[round(each, 1) for each in publish_gaps],
    )
    _settled(cluster, alice, sent, report)
    assert agent.stop() == 0, agent.said
    report.add(refused_after_s=_refused_after_s(cluster, alice.with_suffix(".creds")))


def _rolled(cluster: Cluster, sent: list[Signal]) -> None:
    """Restart every node in turn while signals are published."""
    batch = signals_of("rolling", _PER_ROUND * 3)
    with Classifier(cluster.data, batch, pace_s=_PACE_S) as classifier:
        for node in range(NODES):
            cluster.end_node(node, signal.SIGTERM)
            cluster.start_node(node)
            cluster.wait_healthy()
        classifier.finished(180)
    sent += batch


def _refused_after_s(cluster: Cluster, creds: Path) -> float:
    """Revoke a friend while a node is down; how long after its start that node refuses him."""
    node = next(each for each in range(NODES) if each != 0)
    assert cluster.is_let_in(creds, node)
    cluster.end_node(node)
    asyncio.run(revoke(make_desk(cluster.data), creds.stem, now=datetime.now(UTC)))
    assert not cluster.is_let_in(creds, 0), "the nodes that were up refuse him at once"
    cluster.start_node(node)
    began = time.monotonic()
    waited(lambda: not cluster.is_let_in(creds, node), what="the node that was down refuses him", timeout_s=30)
    return time.monotonic() - began
