"""Stands for an agent that is killed: starts a rude engine in the folder given, says so, and waits for its own end."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from command_samples import ENTRY, a_plan, a_rude_engine


async def main() -> None:
    engine = a_rude_engine(Path(sys.argv[1]), "none")
    await engine.start()
    await engine.submit(a_plan(), ENTRY)
    print(engine.pid, flush=True)
    await asyncio.sleep(60)


asyncio.run(main())
