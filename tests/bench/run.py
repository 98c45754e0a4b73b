"""All benchmarks side by side: this project against bare nats-py, FastAPI + WebSocket and Redis Streams.

    python tests/bench/run.py [live_path catch_up publishing fan_out growth commands] [--rounds 5] [--json FILE]
    python tests/bench/run.py --quick --guard     the short form: fails only where a ratio is twice what its goal allows
    python tests/bench/run.py --write             writes docs/performance.json and the tables of docs/performance.md

Runs on Linux, on loopback, with a real nats-server in the shipped configuration. Redis is measured where a
`redis-server` is installed (Debian: apt-get install redis-server), and left out with a word otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import report
from harness import Bench, Scale, machine

NAMES = ("live_path", "catch_up", "publishing", "fan_out", "growth", "commands")
# The guard asks whether something broke, not whether every goal is met: see docs/performance.md.
_GUARD_SLACK = 2.0


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


def gross(benches: list[Bench]) -> list[str]:
    """Goals that are missed by twice their limit or more."""
    found = []
    for bench in benches:
        for goal, ratios in bench.ratios():
            # The best round counts: a machine that others use can make any round slow, and none fast.
            if not any(goal.is_met_by(each, slack=_GUARD_SLACK) for each in ratios):
                found.append(f"{bench.name}: {goal.name}: {min(ratios):.2f} to {max(ratios):.2f}, wanted {goal.limit}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="few and small")
    parser.add_argument("--guard", action="store_true", help="exit 1 where a goal is missed by twice its limit")
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
    missed = gross(benches)
    if told.guard and missed:
        print("\n".join(["slower than twice what its goal allows, in every round:", *missed]), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
