"""How many times a friend's agent goes to his broker and back before an order is out: time, in units of one such way.

Alpaca's stand-in answers everything 50 ms after it was asked, as a broker across an ocean does. The contender beside
ours is the same engine when it is asked in turn. The way to the broker and back is all that counts here: connections
are open already, and there is no TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / each) for each in ("integration/agent", "unit/agent")]

from agent_samples import a_close, a_signal  # noqa: E402
from alpaca_stand_in import KEY_ID, SECRET, StandIn  # noqa: E402
from bench_signals import ticker  # noqa: E402
from desk_samples import Clock, Watched  # noqa: E402
from harness import OURS, Bench, Goal, Measured, Round, Scale  # noqa: E402
from test_alpaca_engine import REGULAR  # noqa: E402

from signal_contract.model import Signal  # noqa: E402
from subscriber_agent.engines.alpaca.engine import AlpacaEngine  # noqa: E402
from subscriber_agent.engines.alpaca.keys import AlpacaKeys  # noqa: E402
from subscriber_agent.engines.alpaca.settings import AlpacaSettings  # noqa: E402
from subscriber_agent.engines.context import EngineContext  # noqa: E402
from subscriber_agent.journal import Journal  # noqa: E402
from subscriber_agent.risk.market import Capabilities  # noqa: E402

_AWAY_S = 0.05
IN_TURN = "asked in turn"
ENTRY, AGAIN, EXIT, TEND = "entry", "entry, ticker seen before", "exit", "a look at 8 positions"
_HELD = 8
_RISK = {"max_orders_per_minute": 60, "max_trades_per_day": 1000, "cooldown_s": 0, "fixed_usd": 100}
_RISK |= {"max_open_positions": 20, "limit_day_trades": False}
_TIMES = {"published_at": REGULAR, "reference_price_at": REGULAR, "classified_at": REGULAR - timedelta(seconds=1)}
GOALS = (
    Goal("entry, round trips", "round_trips", at=ENTRY, most=1.5),
    Goal("entry, to asking in turn", "round_trips", whose=IN_TURN, at=ENTRY, most=0.5),
    Goal("exit, to asking in turn", "round_trips", whose=IN_TURN, at=EXIT),
    Goal("a look at 8 positions, to asking in turn", "round_trips", whose=IN_TURN, at=TEND, most=0.5),
)


def a_buy(name: str, news: str) -> Signal:
    """A buy of this moment."""
    return a_signal(f"{news}-{name}", ticker=name, expires_at=REGULAR + timedelta(hours=2), **_TIMES)


def a_sale(name: str, news: str) -> Signal:
    """What closes it."""
    return a_close(news=f"{news}-{name}", ticker=name, **_TIMES)


class InTurn(AlpacaEngine):
    """As an engine that takes one question at a time."""

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), concurrent=False)


class Friend:
    """A desk over a broker of his own."""

    def __init__(self, kind: type[AlpacaEngine], broker: StandIn, folder: Path) -> None:
        settings = AlpacaSettings(trading_url=broker.url, data_url=broker.url, settle_s="0")
        clock = Clock(REGULAR)
        context = EngineContext(folder, folder, "alice", clock, {})
        self.engine = kind(settings, AlpacaKeys(KEY_ID, SECRET), context)
        self._broker, self._journal = broker, Journal.open(folder / "journal.sqlite")
        self._watched = Watched(self._journal, self.engine, clock=clock, risk=_RISK)

    async def ordered(self, signal: Signal) -> float:
        """Round trips from a signal's arrival until its order is at the broker."""
        began = time.monotonic()
        labels = await self._watched.settled(signal)
        asked = zip(self._broker.requests, self._broker.asked_at, strict=True)
        posted = [at for (method, *_), at in asked if method == "POST" and at >= began]
        assert len(posted) == 1, labels
        await self._watched.desk.tend()  # the fill is looked up
        return (posted[0] - began) / _AWAY_S

    async def trade(self, name: str, news: str) -> dict[str, float]:
        """Round trips to buy a ticker, to sell it, and to buy it again before it is sold for good."""
        found = {ENTRY: await self.ordered(a_buy(name, f"{news}-1"))}
        found[EXIT] = await self.ordered(a_sale(name, f"{news}-2"))
        found[AGAIN] = await self.ordered(a_buy(name, f"{news}-3"))
        await self.ordered(a_sale(name, f"{news}-4"))
        return found

    async def tended(self) -> float:
        """Round trips of one look at everything that is held."""
        began = time.monotonic()
        await self._watched.desk.tend()
        return (time.monotonic() - began) / _AWAY_S

    async def close(self) -> None:
        await self.engine.close()
        self._journal.close()


@contextlib.contextmanager
def broker() -> Iterator[StandIn]:
    """A stand-in at work in a thread of its own, with the tickers that are traded here."""
    found, loop = StandIn(cash=Decimal(1_000_000)), asyncio.new_event_loop()
    for number in range(26):
        found.add_asset(ticker(number), "5")
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(found.start(), loop).result(10)
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(found.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextlib.asynccontextmanager
async def friend(kind: type[AlpacaEngine]) -> AsyncIterator[Friend]:
    """A friend whose connections are open; from then on his broker is far away."""
    with broker() as theirs, tempfile.TemporaryDirectory() as folder:
        found = Friend(kind, theirs, Path(folder))
        await found.engine.start()
        try:
            await found.trade(ticker(25), "warm")
            theirs.answers_after_s = _AWAY_S
            yield found
        finally:
            await found.close()


async def one_round(signals: int) -> Round:
    """Every signal goes to each friend, in turn."""
    async with friend(AlpacaEngine) as ours, friend(InTurn) as theirs:
        friends = {OURS: ours, IN_TURN: theirs}
        times: dict[tuple[str, str], list[float]] = {}
        for number in range(signals):
            for name, each in friends.items():
                for at, took in (await each.trade(ticker(number), str(number))).items():
                    times.setdefault((at, name), []).append(took)
        for name, each in friends.items():
            for number in range(_HELD):
                await each.ordered(a_buy(ticker(number), "held"))
            times[(TEND, name)] = [await each.tended() for _ in range(3)]
        return [Measured(name, {"round_trips": statistics.median(took)}, at) for (at, name), took in times.items()]


def bench(scale: Scale) -> Bench:
    """`scale.of(6, 3)` tickers a round, each bought, sold and bought again."""
    rounds = [asyncio.run(one_round(scale.of(6, 3))) for _ in range(scale.rounds)]
    return Bench("round_trips", "To the broker and back: before an order is out", rounds, GOALS)
