"""What becomes of an agent whose link ends while it holds something."""

import asyncio

from signal_contract.errors import ServerUnreachable
from subscriber_agent.outlasting import outlast


async def test_each_lost_connection_is_told_and_each_vain_try_is_not():
    """Between two ends of one kind it was connected: whoever feeds a watchdog must hear of the second one too."""
    stop, told, connected = asyncio.Event(), [], [False]
    tries = iter([True, False, False, True, False])

    async def receive():
        connected[0] = next(tries, None)
        if connected[0] is None:
            stop.set()
            return
        raise ServerUnreachable("away")

    async def looked_after(_failure):
        return 1

    def was_connected():
        was, connected[0] = connected[0], False
        return bool(was)

    def tell(event, _):
        told.append(event)

    await outlast(receive, looked_after, stop, tell, was_connected=was_connected, again_s=0)
    assert told == ["not_connected", "not_connected"]
