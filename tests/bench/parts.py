"""What the parts of a signal's way cost by themselves, in microseconds of one core: for finding out, not for comparing.

    python tests/bench/parts.py [signals]

Signing, verifying, decoding; then, for signals that waited, the journal's rows of an arrival, and the decision that
takes no word of the engine with its own rows; then the checks of a live entry, in the middle of everything that is done
for it, and again and again. One thread, real files, best of three; the live entry's is a median.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench_signals import bench_signal
from catch_up import ACTIONS
from receivers import UNHINDERED
from wire import RISK

from signal_contract.codec import decode, encode
from signal_contract.model import Action
from signal_contract.signing import Signer, Verifier
from subscriber_agent import deciding
from subscriber_agent.desk import Desk
from subscriber_agent.disk import Disk
from subscriber_agent.engines.paper.engine import PaperEngine
from subscriber_agent.journal import Arrival, Journal
from subscriber_agent.settings.config import AgentConfig

_BATCH = 128


def now() -> datetime:
    return datetime.now(UTC)


def alone(signer: Signer) -> dict[str, float]:
    """Pure parts, each called many times."""
    signal = bench_signal("parts", 1, at=now())
    payload, verifier = encode(signal), Verifier.from_text(signer.public_key)
    signature = signer.sign(signal.subject, payload)
    return {
        "encode": _each(lambda: encode(signal)),
        "sign": _each(lambda: signer.sign(signal.subject, payload)),
        "verify": _each(lambda: verifier.check(signal.subject, payload, signature)),
        "decode": _each(lambda: decode(payload)),
    }


def _each(call: Callable[[], object], count: int = 2000) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        for _ in range(count):
            call()
        times.append((time.process_time() - began) / count * 1e6)
    return min(times)


def in_the_journal(folder: Path, signer: Signer, count: int) -> dict[str, float]:
    """Arrivals that waited, kept in batches, then decided."""
    at = now() - timedelta(hours=1)
    signals = [bench_signal("parts", each, action=ACTIONS[each % len(ACTIONS)], at=at) for each in range(count)]
    arrivals = [
        Arrival(number, each.subject, encode(each), now(), each, None, "") for number, each in enumerate(signals, 1)
    ]
    config = AgentConfig.model_validate(
        {"servers": ["nats://127.0.0.1:4222"], "creds": "x.creds", "publisher_key": signer.public_key}
    )
    gc.collect()
    gc.freeze()  # or the 3,000 that are made ready here would be looked through for garbage in the time that counts
    with Journal.open(folder / "journal.sqlite") as journal:
        desk = Desk(config, journal, PaperEngine(folder, clock=now), now, user="parts", disk=Disk.inline())
        began = time.process_time()
        for first in range(0, count, _BATCH):
            journal.record(arrivals[first : first + _BATCH])
        kept = time.process_time()
        assert asyncio.run(_settled(desk)) == count
        decided = time.process_time()
    return {"arrival's rows": (kept - began) / count * 1e6, "decision with its rows": (decided - kept) / count * 1e6}


def of_an_entry(folder: Path, signer: Signer, count: int) -> dict[str, float]:
    """The checks alone, as they are met on an entry's way to the engine, and repeated on the last of them."""
    config = AgentConfig.model_validate(
        {"servers": ["nats://127.0.0.1:4222"], "creds": "x.creds", "publisher_key": signer.public_key, "risk": RISK}
    )
    config = config.model_copy(update={"risk": config.risk.model_copy(update=UNHINDERED)})
    took: list[float] = []
    last: list[Any] = []
    checks = deciding.decide

    def timed(*given: Any, **how: Any) -> Any:
        began = time.thread_time()
        decision = checks(*given, **how)
        if given[0].action is Action.BUY:
            took.append(time.thread_time() - began)
            last[:] = given
        return decision

    with Journal.open(folder / "journal.sqlite") as journal:
        desk = Desk(config, journal, PaperEngine(folder, clock=now), now, user="parts", disk=Disk.inline())
        deciding.decide = timed
        try:
            for seq in range(count):
                # What was opened is closed again.
                action = Action.CLOSE if seq % 2 else Action.BUY
                signal = bench_signal("parts", seq // 2, action=action, at=now())
                journal.record([Arrival(seq + 1, signal.subject, encode(signal), now(), signal, None, "")])
                assert asyncio.run(_settled(desk, only="FILLED")) == 1
        finally:
            deciding.decide = checks
    again = _each(lambda: checks(*last))
    return {"checks, once": statistics.median(took) * 1e6, "checks, again and again": again}


async def _settled(desk: Desk, *, only: str = "") -> int:
    """How many signals were decided; `only` those that came to this."""
    count = 0
    async for each in desk.settle():
        count += only in ("", each.label)
    return count


def main() -> None:
    count, signer = int(sys.argv[1]) if len(sys.argv) > 1 else 3000, Signer.generate()
    parts, tries = alone(signer), []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            tries.append(in_the_journal(Path(folder), signer, count))
    parts |= {name: min(each[name] for each in tries) for name in tries[0]}
    with tempfile.TemporaryDirectory() as folder:
        parts |= of_an_entry(Path(folder), signer, 400)
    for name, us in parts.items():
        print(f"{name:<24} {us:7.1f} us")


if __name__ == "__main__":
    main()
