"""The process in which all friends of one contender live, and the operator: publishes, and times the last arrival.

Its first line on stdin says who they are, each further one `{"signals": 50, "rest_s": 0.02}`; it answers each with a
line: `{}` when all listen, then the milliseconds of each signal. One process and one clock for both ends, on uvloop; it
ends with its stdin. Started by `fan_out`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import resource
import secrets
import sys
import time

import uvloop
from raw_clients import Message, Publishes, Tally

_SIGNAL_TIMEOUT_S = 30.0


async def timed(publisher: Publishes, tally: Tally, friends: int, signals: int, rest_s: float) -> list[float]:
    """Milliseconds from the publish until the last friend has it, one signal after the other, with rests between."""
    times = []
    for _ in range(signals):
        all_have = tally.expect(friends)
        began = time.perf_counter()
        publisher.publish(secrets.token_hex(16))
        async with asyncio.timeout(_SIGNAL_TIMEOUT_S):
            await all_have
        times.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(rest_s)
    return times


def _answer(value: object) -> None:
    print(json.dumps(value), flush=True)


async def main() -> None:
    loop = asyncio.get_running_loop()
    job = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    message = Message(job["subject"], job["payload"].encode(), job["signature"].encode())
    tally = Tally()
    publisher = await importlib.import_module(job["protocol"]).crowd(job["port"], job["names"], message, tally)
    # A collector's pause would be counted as the server's.
    gc.freeze()
    gc.disable()
    _answer({})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wanted = json.loads(line)
        _answer(await timed(publisher, tally, len(job["names"]) - 1, wanted["signals"], wanted["rest_s"]))


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    uvloop.run(main())
