"""How fast `subscriber-agent replay` decides: signals a second, without and with a second config.

    python tests/bench/replay.py [signals] [--json] [--profile defaults]

The signals are made from a seed and written to a file first; reading and decoding them is part of what is measured.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "agent"))

from replay_samples import past_lines

from subscriber_agent.replay.simulate import simulate_all
from subscriber_agent.replay.source import SignalFile
from subscriber_agent.replay.summary import summary_from
from subscriber_agent.settings.config import AgentConfig

KEY = "ed25519:" + "A" * 43
BASE = {"servers": ["nats://127.0.0.1:4222"], "creds": "x.creds", "publisher_key": KEY}
# Half of the first config's signals are accepted in the second: no check refuses early, which is the slowest way.
WIDE = {"max_open_positions": 100, "max_exposure_percent": 100, "max_trades_per_day": 1000, "fixed_usd": 100}


def configs(which: str) -> list[AgentConfig]:
    """The defaults, a wide config that takes much more, or both in one pass."""
    plain = AgentConfig.model_validate(BASE)
    wide = AgentConfig.model_validate({**BASE, "risk": WIDE})
    return {"defaults": [plain], "wide": [wide], "compare": [plain, wide]}[which]


def measured(path: Path, which: str) -> dict[str, object]:
    """One pass over the file."""
    source = SignalFile(path)
    began, cpu_began = time.perf_counter(), time.process_time()
    replays = simulate_all(source, configs(which))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    source.close()
    return {
        "configs": which,
        "signals": len(replays[0].steps),
        "seconds": round(seconds, 2),
        # On a machine that others use as well, the second number is the one to compare.
        "cpu_s": round(cpu_s, 2),
        "signals_per_s": round(len(replays[0].steps) / seconds),
        "taken": [summary_from(each).taken for each in replays],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("signals", nargs="?", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", choices=("defaults", "wide", "compare"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "past.jsonl"
        with path.open("wb") as file:
            file.writelines(line + b"\n" for line in past_lines(chosen.signals))
        if chosen.profile:
            with cProfile.Profile() as profile:
                measured(path, chosen.profile)
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)
            return
        for which in ("defaults", "wide", "compare"):
            found = measured(path, which)
            text = f"{found['configs']:<9} {found['signals']} signals in {found['seconds']} s"
            rest = f"{found['signals_per_s']}/s, {found['cpu_s']} s of processor, peak {found['peak_memory_mb']} MB"
            print(json.dumps(found) if chosen.json else f"{text}: {rest}")


if __name__ == "__main__":
    main()
