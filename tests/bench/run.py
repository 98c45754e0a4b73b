"""All benchmarks side by side: this project against bare nats-py, FastAPI + WebSocket and Redis Streams.

    python tests/bench/run.py [live_path …] [--rounds 5] [--json FILE]       the names are those of NAMES
    python tests/bench/run.py --write             writes docs/performance.json and the tables of docs/performance.md
    python tests/bench/run.py --quick --guard     the short form: fails only where a ratio is twice as bad as recorded
    python tests/bench/run.py --quick --record    records what the short form comes to now, in tests/bench/guard.json

Runs on Linux, on loopback, with a real nats-server in the shipped configuration. Redis is measured where a
`redis-server` is installed (Debian: apt-get install redis-server), and left out with a word otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import report
from harness import Bench, Goal, Scale, machine

NAMES = ("live_path", "round_trips", "catch_up", "publishing", "fan_out", "growth", "commands")
# The guard asks whether something became grossly slower than it was, not whether every goal is met.
_GUARD = Path(__file__).with_name("guard.json")
_GROSS = 2.0


def measured(names: list[str], scale: Scale) -> list[Bench]:
    """Run the benchmarks one after the other; each module has a `bench(scale)`."""
    found = []
    for name in names:
        began = time.monotonic()
        print(f"{name}: measuring", file=sys.stderr, flush=True)
        found.append(importlib.import_module(name).bench(scale))
        print(f"{name}: done in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        print(report.as_text(found[-1]), flush=True)
    return found


def guarded(benches: list[Bench]) -> dict[str, tuple[Goal, list[float]]]:
    """The goals that compare two contenders or two sizes: what a slower machine changes little.

    No p99: of a few dozen signals it is the slowest, and says what else the machine did at that moment.
    """
    return {
        f"{bench.name}: {goal.name}": (goal, ratios)
        for bench in benches
        for goal, ratios in bench.ratios()
        if goal.whose and goal.limit and not goal.figure.startswith("p99")
    }


def gross(benches: list[Bench]) -> list[str]:
    """Ratios that are twice as bad as recorded, in every round."""
    recorded = json.loads(_GUARD.read_text())
    found = []
    for name, (goal, ratios) in guarded(benches).items():
        # The best round counts: a machine that others use can make any round slow, and none fast.
        best, was = (min(ratios) if goal.most is not None else max(ratios)), recorded.get(name)
        if was is not None and (best > was * _GROSS if goal.most is not None else best < was / _GROSS):
            found.append(f"{name}: {best:.3g}, recorded {was:.3g}")
    return found


def record(benches: list[Bench]) -> None:
    """Keep the median ratios of this run as what the guard compares with."""
    kept = json.loads(_GUARD.read_text()) if _GUARD.exists() else {}
    kept |= {name: round(statistics.median(ratios), 3) for name, (_, ratios) in guarded(benches).items()}
    _GUARD.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="few and small")
    parser.add_argument("--guard", action="store_true", help="exit 1 where a ratio is twice as bad as recorded")
    parser.add_argument("--record", action="store_true", help="renew what --guard compares with")
    parser.add_argument("--json", type=Path, help="write all figures of all rounds here")
    parser.add_argument("--write", action="store_true", help="renew docs/performance.json and its tables")
    told = parser.parse_args()
    if strangers := sorted({*told.names} - {*NAMES}):
        parser.error(f"there is no benchmark {', '.join(strangers)}; there are {', '.join(NAMES)}")
    about: dict[str, Any] = machine()
    scale = Scale(told.quick, told.rounds or (2 if told.quick else 5))
    benches = measured(told.names or list(NAMES), scale)
    result = {"machine": about, "rounds": scale.rounds, "benches": [each.as_dict() for each in benches]}
    if told.json is not None:
        told.json.write_text(json.dumps(result, indent=1) + "\n")
    if told.write:
        report.write(result)
    if told.record:
        record(benches)
    slower = gross(benches) if told.guard else []
    if slower:
        print("\n".join(["twice as slow as recorded, in every round:", *slower]), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
