"""The friend's clock is wrong by ten minutes, or jumps while the agent runs. The agent is the shipped command; the
clock under it is stepped from outside (see `inside/sitecustomize.py`). Monotonic time and the server's clock go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_inside import Clock
from chaos_ledger import journal_file, ledger_of, rows
from chaos_load import written
from chaos_process import Crew, Running
from chaos_wire import Wire
from processes import a_signal

TEN_MINUTES_S = 600
_RISK = {"max_age_s": 120, "max_orders_per_minute": 60}


@dataclass(frozen=True, slots=True)
class _Friend:
    """An agent on a clock of its own that is off from the start, or from a moment on."""

    config: Path
    clock: Clock
    agent: Running
    off_s: int
    jumps: bool

    def labels(self, count: int) -> list[str]:
        return [str(line["label"]) for line in self.agent.wait_for("decision", count)]


def _friend(wire: Wire, crew: Crew, folder: Path, off_s: int, *, jumps: bool) -> _Friend:
    name = f"{'jump' if jumps else 'wrong'}{'-ahead' if off_s > 0 else '-behind'}"
    (folder / name).mkdir()
    config, clock = wire.friend(name, risk=_RISK), Clock(folder / name, 0 if jumps else off_s)
    return _Friend(config, clock, crew.agent(config, **clock.environment), off_s, jumps)


def _publish(wire: Wire, crew: Crew, *signals: Any) -> None:
    file = written(wire.data.parent / "clock.jsonl", signals)
    process = crew("catalyst", "publish", file, "--data", wire.data)
    assert process.ended() == 0, process.said


def test_clock_wrong_by_ten_minutes_or_jumping_while_it_runs(
    wire: Wire, crew: Crew, tmp_path: Path, report: Any
) -> None:
    """No entry is traded on a wrong clock, neither a fresh one nor one that the clock makes look fresh; an exit is."""
    friends = [
        _friend(wire, crew, tmp_path, off_s, jumps=jumps)
        for off_s in (TEN_MINUTES_S, -TEN_MINUTES_S)
        for jumps in (False, True)
    ]
    for each in friends:
        each.agent.wait_for("caught_up")
    _publish(wire, crew, a_signal("AAA", news="before"))
    before = [each.labels(1) for each in friends]
    for each in friends:
        each.clock.set(each.off_s)
    fresh, stale = a_signal("BBB", news="fresh"), a_signal("CCC", news="stale", age_s=TEN_MINUTES_S - 10)
    close = a_signal("AAA", news="exit", action="close", catalyst="fraud", catalysts=["fraud"])
    _publish(wire, crew, fresh, stale, close)
    after = [each.labels(4)[1:] for each in friends]
    report.add(**{each.config.stem: " ".join(labels) for each, labels in zip(friends, after, strict=True)})
    for each in friends:
        assert each.agent.stop() == 0, each.agent.said
    stream = wire.stream()
    for each, first, labels in zip(friends, before, after, strict=True):
        assert ledger_of(journal_file(each.config), stream).is_right
        assert first == (["FILLED"] if each.jumps else ["CLOCK_SKEW"]), each.config
        assert "FILLED" not in labels[:2], f"{each.config.stem}: an entry was traded on a wrong clock"
        assert labels[2] == ("FILLED" if each.jumps else "NO_POSITION"), "an exit never expires"
        assert rows(journal_file(each.config), "SELECT count(*) FROM fills") == [(2 if each.jumps else 0,)]
