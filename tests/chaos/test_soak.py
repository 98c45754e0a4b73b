"""Whole days of real arrival times, pressed into seconds: memory, files, threads, tasks and lag do not grow."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chaos_arrivals import ARRIVALS, DAY_S, days_of_arrivals, waits_of
from chaos_growth import Sample, growth, looked_at, warmed_up
from chaos_inside import TaskCount
from chaos_ledger import decided_count, journal_file, ledger_of, stream_faults
from chaos_load import signals_of
from chaos_process import Crew, waited
from chaos_publisher import Classifier
from chaos_wire import Wire

# What the allocator and sqlite's page cache may still take after the warm-up, in either form; a leak of one signal
# document a message (about 2 kB) would be ten times that in the long form.
_MEMORY_KB = 3072


def test_days_of_real_arrivals_leave_no_growth(
    bare_wire: Wire, crew: Crew, chaos: Any, tmp_path: Path, report: Any
) -> None:
    if not ARRIVALS.exists():
        pytest.skip("the file of real arrival times is not beside this checkout")
    if not sys.platform.startswith("linux"):
        pytest.skip("memory and open files are read from /proc")
    wire = bare_wire
    days, day_takes_s = (days_of_arrivals() * chaos.pick(1, 3))[: chaos.pick(2, 9)], chaos.pick(6.0, 40.0)
    waits = waits_of(days, day_takes_s)
    signals = signals_of("soak", len(waits), dice=chaos.dice("soak"))
    alice, tasks = wire.friend("alice"), TaskCount(tmp_path)
    agent = crew.agent(alice, **tasks.environment)
    agent.wait_for("caught_up")
    samples: list[Sample] = []
    began, file = time.monotonic(), journal_file(alice)

    def sample() -> bool:
        rss_kb, files, threads = looked_at(agent.process.pid)
        at_s = time.monotonic() - began
        samples.append(Sample(at_s, rss_kb, files, threads, tasks.of(agent), sum(wire.lag("alice"))))
        return classifier.is_done and at_s >= len(days) * day_takes_s

    with Classifier(wire.data, signals, waits=waits) as classifier:
        waited(sample, what="the days are over", timeout_s=len(days) * day_takes_s * 2 + 60, every_s=0.25)
        classifier.finished(60)
    waited(lambda: decided_count(file) == len(signals), what="all decided")
    sample()
    assert agent.stop() == 0, agent.said
    stream = wire.stream()
    ledger, faults = ledger_of(file, stream), stream_faults(stream, signals)
    late = warmed_up(samples, 0.5)
    grown = {what: round(growth(late, what), 1) for what in ("rss_kb", "files", "threads", "tasks", "lag")}
    report.add(
        simulated_hours=len(days) * DAY_S / 3600,
        signals=len(signals),
        samples=len(samples),
        rss_mb=samples[-1].rss_kb / 1024,
        files=samples[-1].files,
        threads=samples[-1].threads,
        tasks=samples[-1].tasks,
        worst_lag=max(each.lag for each in samples),
        last_lag=samples[-1].lag,
        **{f"grown_{key}": value for key, value in grown.items()},
        **faults,
        **ledger.as_dict(),
    )
    assert ledger.is_right, ledger
    assert samples[-1].lag == 0
    assert grown["rss_kb"] < _MEMORY_KB
    assert max(abs(grown[what]) for what in ("files", "threads", "tasks")) < 3
