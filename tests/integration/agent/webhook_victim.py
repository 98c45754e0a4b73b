"""A process that posts one entry to a fire-and-forget receiver, to be killed on the way: its words are HOME and URL."""

import asyncio
import sys
from pathlib import Path

from webhook_samples import ENTRY, a_plan, an_engine, started


async def main(home: Path, url: str) -> None:
    async with started(an_engine(home, url, template="traderspost", assumed_cash_usd="10000", timeout_s=20)) as engine:
        await engine.submit(a_plan(), ENTRY)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
