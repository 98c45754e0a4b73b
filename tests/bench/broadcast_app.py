"""The peer as people write it: FastAPI, one WebSocket for the operator, one for each friend, nothing stored.

A friend who is away misses what is sent; nothing is signed, acknowledged or synced. It is the least that such a wire
can do, and so the least that it can cost.
"""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
_friends: set[WebSocket] = set()


async def _send(friend: WebSocket, text: str) -> None:
    try:
        await friend.send_text(text)
    except (WebSocketDisconnect, RuntimeError):
        _friends.discard(friend)


@app.websocket("/signals")
async def signals(friend: WebSocket) -> None:
    """A friend listens until he leaves."""
    await friend.accept()
    _friends.add(friend)
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await friend.receive_text()
    _friends.discard(friend)


@app.websocket("/publish")
async def publish(operator: WebSocket) -> None:
    """What the operator sends goes to everybody; he is told when all sends are done."""
    await operator.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            text = await operator.receive_text()
            await asyncio.gather(*(_send(friend, text) for friend in list(_friends)))
            await operator.send_text("sent")
