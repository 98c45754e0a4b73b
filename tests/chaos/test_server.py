"""The server dies under load, and is away for a while: the outbox keeps, the order stays, the agent catches up."""

from __future__ import annotations

import time
from datetime import datetime
from itertools import pairwise
from typing import Any

from chaos_ledger import decided_count, journal_file, ledger_of, stream_faults
from chaos_load import signals_of
from chaos_process import waited
from chaos_publisher import Classifier, quantile_ms

RIGHT = {"missing": 0, "doubled": 0, "out_of_order": 0}


def test_server_killed_under_load(bare_wire: Any, crew: Any, chaos: Any, report: Any) -> None:
    wire = bare_wire
    kills, dice = chaos.pick(2, 8), chaos.dice("server")
    # `catalyst up` gives up after five deaths within a minute: the kills of the long form are further apart.
    pace_s = chaos.pick(0.01, 0.075)
    alice = wire.friend("alice")
    wire.hurry("alice")
    signals = signals_of("load", chaos.pick(250, 2000))
    agent = crew.agent(alice)
    agent.wait_for("caught_up")
    gaps: list[float] = []
    with Classifier(wire.data, signals, pace_s=pace_s) as classifier:
        for number in range(kills):
            goal = int(len(signals) * (number + dice.uniform(0.2, 0.8)) / kills)
            waited(lambda: len(classifier.receipts) >= goal, what=f"{goal} stored", timeout_s=200)  # noqa: B023
            killed_at, pid = time.monotonic(), wire.kill_server()
            waited(lambda: wire.nats_pid() != pid, what="the server is up again")  # noqa: B023
            before = len(classifier.receipts)
            waited(lambda: len(classifier.receipts) > before or classifier.is_done, what="stored again")  # noqa: B023
            gaps.append(classifier.gap_s(killed_at))
        classifier.finished(120)
    file = journal_file(alice)
    waited(lambda: decided_count(file) == len(signals), what="all decided", timeout_s=60)
    stops = _longest_silence_s(agent)
    assert agent.stop() == 0, agent.said
    stream = wire.stream()
    ledger, faults = ledger_of(file, stream), stream_faults(stream, signals)
    report.add(
        kills=kills, signals=len(signals), publish_gap_s=max(gaps), decision_gap_s=stops, **faults, **ledger.as_dict()
    )
    assert faults == RIGHT
    assert ledger.is_right, ledger


def test_server_away_while_signals_are_submitted(bare_wire: Any, crew: Any, chaos: Any, report: Any) -> None:
    wire = bare_wire
    away_s, count = chaos.pick(5, 60), 1000
    alice = wire.friend("alice")
    agent = crew.agent(alice)
    agent.wait_for("caught_up")
    first, rest = signals_of("before", 20), signals_of("away", count)
    with Classifier(wire.data, first) as classifier:
        classifier.finished(30)
    wire.stop()
    gone_at = time.monotonic()
    with Classifier(wire.data, rest, pace_s=away_s / count / 2) as classifier:
        waited(lambda: len(classifier.submitted_s) == count, what="all submitted", timeout_s=away_s + 30)
        waited(lambda: time.monotonic() >= gone_at + away_s, what="the server's absence", timeout_s=away_s + 5)
        assert not classifier.receipts
        wire.start()
        back_at = time.monotonic()
        classifier.finished(120)
        first_receipt_s = classifier.receipts[0][0] - back_at
    file = journal_file(alice)
    waited(lambda: decided_count(file) == count + len(first), what="all decided", timeout_s=90)
    assert agent.stop() == 0, agent.said
    stream = wire.stream()
    ledger, faults = ledger_of(file, stream), stream_faults(stream, [*first, *rest])
    report.add(
        away_s=away_s,
        signals=count,
        submit_p50_ms=quantile_ms(classifier.submitted_s, 0.5),
        submit_p99_ms=quantile_ms(classifier.submitted_s, 0.99),
        first_stored_after_s=first_receipt_s,
        **faults,
        **ledger.as_dict(),
    )
    assert faults == RIGHT
    assert ledger.is_right, ledger


def _longest_silence_s(agent: Any) -> float:
    """The longest time between two decisions that the agent reported."""
    times = [datetime.fromisoformat(line["at"]) for line in agent.lines("decision")]
    return max((b - a).total_seconds() for a, b in pairwise(times))
