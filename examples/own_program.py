"""Signals in a program of your own: prints what comes, and hands nothing to any broker.

    python own_program.py alice.invite

Needs an invite of your operator's; joined at the first start into a folder beside it. Nothing is lost between two
starts: what was not called done comes again. One program or agent for each identity.
"""

# ruff: noqa: T201  # a program for a terminal
from __future__ import annotations

import asyncio
import sys

from signal_contract.errors import CatalystError
from signal_contract.model import Event
from subscriber_agent.client import SignalClient


async def main(invite: str, *, how_many: int | None = None) -> None:
    """Print signals of 70 % confidence and more; end after `how_many` (None: never)."""
    async with SignalClient.from_invite(invite, on_link_change=print) as client:
        print(f"entitled to {', '.join(client.filters)}; everything up to {client.position} is here")
        count = 0
        async for received in client.signals(min_confidence="0.7"):
            signal = received.signal
            if signal.event is Event.RETRACT:
                print(f"{signal.ticker}: withdrawn; forget {signal.signal_id}")
            elif not received.is_retracted:
                print(f"{signal.ticker}: {signal.action} at {signal.reference_price} for {signal.catalyst}")
            await received.done()  # from here on it does not come again
            count += 1
            if count == how_many:
                return


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except CatalystError as error:
        sys.exit(f"{error.message}. {error.hint}")
    except KeyboardInterrupt:
        sys.exit(130)
