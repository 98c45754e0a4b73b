"""The long form: rounds of the chaos tests, each with a new seed, until the time is used up; then one table of all.

`python tests/chaos/chaos_rounds.py [--minutes 20] [--seed N] [--report FILE] [pytest arguments]`. Ends with 1 when a
round failed; the round's seed is printed, and `CHAOS_FORM=long CHAOS_SEED=<seed> pytest tests/chaos` repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))

from chaos_report import table_text  # noqa: E402  # found through the path above

# Of several rounds the counts are added up, these figures are the largest of all rounds.
_WORST = ("_s", "_ms", "_mb", "worst_lag", "grown_")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rounds until the time is used up (at least one); the exit status."""
    options, more = _parser().parse_known_args(arguments)
    seeds = _seeds(options.seed)
    report = options.report or Path(tempfile.mkdtemp(prefix="chaos-")) / "report.jsonl"
    began, failed = time.monotonic(), list[int]()
    for number, seed in enumerate(seeds, start=1):
        print(f"round {number}, seed {seed}", flush=True)
        if _round(seed, report, more) != 0:
            failed.append(seed)
        if time.monotonic() - began >= options.minutes * 60:
            break
    lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    print(f"\n{number} rounds in {(time.monotonic() - began) / 60:.0f} minutes; every line as JSON: {report}")
    print(table_text(added_up(lines)))
    if failed:
        print(f"FAILED with seeds {failed}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="the chaos tests in rounds of new seeds")
    parser.add_argument("--minutes", type=float, default=20.0, help="no new round begins after that")
    parser.add_argument("--seed", type=int, default=None, help="the first round's seed")
    parser.add_argument("--report", type=Path, default=None, help="file that each scenario's counts are added to")
    return parser


def _seeds(first: int | None) -> Iterator[int]:
    seed = random.SystemRandom().randrange(1_000_000) if first is None else first
    while True:
        yield seed
        seed += 1


def _round(seed: int, report: Path, more: Sequence[str]) -> int:
    environment = {**os.environ, "CHAOS_FORM": "long", "CHAOS_SEED": str(seed), "CHAOS_REPORT": str(report)}
    command = [sys.executable, "-m", "pytest", str(_HERE), "-q", "-p", "no:cacheprovider", *more]
    return subprocess.run(command, env=environment, check=False, cwd=_HERE.parents[1]).returncode


def added_up(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each scenario: counts of all rounds added, times and sizes the worst of them. Pure."""
    totals: dict[str, dict[str, Any]] = {}
    for line in lines:
        total = totals.setdefault(line["scenario"], {"rounds": 0})
        total["rounds"] += 1
        for key, value in line.items():
            total[key] = _joined(key, total.get(key), value)
    return list(totals.values())


def _joined(key: str, before: Any, value: Any) -> Any:
    if before is None or not isinstance(value, int | float) or key == "seed":
        return value
    is_worst = key.endswith(_WORST) or key.startswith(_WORST)
    return max(before, value) if is_worst and key != "took_s" else before + value


if __name__ == "__main__":
    sys.exit(main())
