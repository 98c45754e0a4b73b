"""Alpaca's trade updates: the only module that imports websockets. It gives hints, never facts.

alpaca-py's own stream is not used: it wants an event loop and a thread of its own, sits on the deprecated half of
websockets, and does not notice a connection that is up and says nothing (alpaca-py#740). The protocol is four messages.
Three things end a connection here: no pong; no answer to `listen`, which is said again and again because Alpaca has no
heartbeat; and an order of ours that no update came for. Each end and each new beginning is a gap: look at everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.alpaca.keys import AlpacaKeys
from subscriber_agent.engines.engine import EngineEvent

_log = logging.getLogger("catalyst.engine")
# At DEBUG websockets logs every frame, and the first one holds the secret key.
_frames = logging.getLogger("catalyst.engine.alpaca.frames")
_frames.setLevel(logging.INFO)

_DICE = random.SystemRandom()
_LISTEN = orjson.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}).decode()
_TICK_S = 0.5


class Broken(Exception):
    """The connection is of no use any more; the text says why."""


@dataclass(frozen=True, slots=True)
class Beats:
    """Seconds: between two questions whether anybody is there, to wait for the answer, to wait for an order's update,
    to open a connection, that a connection must have lived for its end to be no failure, and the shortest and longest
    pause before the next try.
    """

    every_s: float = 20.0
    patience_s: float = 10.0
    missed_s: float = 20.0
    open_s: float = 10.0
    steady_s: float = 30.0
    pause_s: float = 1.0
    longest_pause_s: float = 60.0


def require() -> None:
    """Raise EngineUnusable without a websockets that has its new half."""
    try:
        importlib.import_module("websockets.asyncio.client")
    except ImportError as error:
        raise EngineUnusable(
            "the package websockets is missing or too old", hint='Run: pip install -U "websockets>=13"'
        ) from error


class TradeUpdates:
    """`named` makes an event of an order in an update."""

    def __init__(
        self, url: str, keys: AlpacaKeys, named: Callable[[Mapping[str, Any]], EngineEvent], beats: Beats | None = None
    ) -> None:
        self._url, self._keys, self._named = url, keys, named
        self._beats = beats or Beats()
        self._expected: dict[str, float] = {}
        self._is_connected = False
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Let `events` come to its end."""
        self._closing.set()

    def reopen(self) -> None:
        """Let `events` begin again."""
        self._closing.clear()

    def expect(self, order_id: str) -> None:
        """An order was just accepted: an update about it must come, or this connection is mute."""
        if self._is_connected:
            self._expected[order_id] = time.monotonic()

    async def events(self) -> AsyncIterator[EngineEvent]:
        """Hints until the caller stops; a lost connection is made again, with longer and longer pauses."""
        from websockets.exceptions import WebSocketException

        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                async for event in self._one():
                    yield event
            except (Broken, WebSocketException, OSError, TimeoutError) as error:
                reason = str(error) if isinstance(error, Broken) else type(error).__name__
            else:
                reason = "it was closed"
            finally:
                self._is_connected = False
            if self._closing.is_set():
                return
            failures = 1 if time.monotonic() - began >= self._beats.steady_s else failures + 1
            _log.warning("Alpaca's trade updates are cut off: %s", reason)
            yield EngineEvent(detail=f"the trade updates are cut off: {reason}", is_gap=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(failures)):
                    await self._closing.wait()

    def _pause_s(self, failures: int) -> float:
        """Alpaca takes one connection an account: a crowd of quick tries would keep itself out (429)."""
        full = min(self._beats.longest_pause_s, self._beats.pause_s * 2.0 ** min(failures - 1, 10))
        return float(full * (0.5 + _DICE.random() / 2))

    async def _one(self) -> AsyncIterator[EngineEvent]:
        from websockets.asyncio.client import connect

        beats = self._beats
        options = {"open_timeout": beats.open_s, "ping_interval": beats.every_s, "ping_timeout": beats.patience_s}
        async with connect(self._url, close_timeout=1, logger=_frames, **options) as socket:  # type: ignore[arg-type]
            async with asyncio.timeout(beats.open_s):
                await self._authorised(socket)
            self._expected.clear()
            self._is_connected = True
            yield EngineEvent(detail="the trade updates are connected", is_gap=True)
            async for event in self._updates(socket):
                yield event

    async def _authorised(self, socket: Any) -> None:
        keys = {"key_id": self._keys.key_id, "secret_key": self._keys.secret}
        await socket.send(orjson.dumps({"action": "authenticate", "data": keys}).decode())
        answer = _message(await socket.recv())
        if answer is None or _data(answer).get("status") != "authorized":
            raise Broken("Alpaca does not accept the keys")
        await socket.send(_LISTEN)
        answer = _message(await socket.recv())
        if answer is None or answer.get("stream") != "listening":
            raise Broken("Alpaca does not listen to us")
        streams = _data(answer).get("streams")
        if not isinstance(streams, list) or "trade_updates" not in streams:
            raise Broken("Alpaca gives no trade updates to this account")

    async def _updates(self, socket: Any) -> AsyncIterator[EngineEvent]:
        asked = time.monotonic()
        unanswered: float | None = None
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(_TICK_S):
                    frame = await socket.recv()
            except TimeoutError:
                frame = None
            now = time.monotonic()
            if frame is not None:
                message = _message(frame)
                if message is not None and message.get("stream") == "listening":
                    unanswered = None
                elif (event := self._event(message)) is not None:
                    yield event
            self._raise_if_mute(now, unanswered)
            if now - asked >= self._beats.every_s:
                await socket.send(_LISTEN)
                asked, unanswered = now, unanswered or now

    def _raise_if_mute(self, now: float, unanswered: float | None) -> None:
        if unanswered is not None and now - unanswered > self._beats.patience_s:
            raise Broken("it is connected and answers nothing")
        if any(now - at > self._beats.missed_s for at in self._expected.values()):
            raise Broken("it is connected and said nothing about an order of ours")

    def _event(self, message: Mapping[str, Any] | None) -> EngineEvent | None:
        if message is None:
            return EngineEvent(detail="an update that cannot be read", is_gap=True)
        if message.get("stream") != "trade_updates":
            return None
        order = _data(message).get("order")
        event = self._named(order if isinstance(order, Mapping) else {})
        self._expected.pop(event.order_id, None)
        return event


def _message(frame: str | bytes) -> Mapping[str, Any] | None:
    """A frame as an object; Alpaca's paper endpoint sends JSON in binary frames. None when it is anything else."""
    try:
        found = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, Mapping) else None


def _data(message: Mapping[str, Any]) -> Mapping[str, Any]:
    data = message.get("data")
    return data if isinstance(data, Mapping) else {}
