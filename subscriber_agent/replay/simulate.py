"""The replay itself: every past signal through the one `decide`, over a paper account that runs forward. Pure.

No clock, no disk, no network: an instant comes from the signal, everything else from the arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from signal_contract.model import Action
from subscriber_agent.accounting.book import Book, Fill, Leg
from subscriber_agent.accounting.calendar import NYSE
from subscriber_agent.accounting.ledger import Latched, Ledger, Traded, due
from subscriber_agent.engines.engine import Outcome
from subscriber_agent.replay.account import ReplayAccount
from subscriber_agent.replay.curve import Curve, CurveRecorder
from subscriber_agent.replay.step import Closed, Step, step_from
from subscriber_agent.replay.wire import Moment, Past, Quote, Wire
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Decision, Verdict
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.losses import breaches
from subscriber_agent.risk.market import Market
from subscriber_agent.settings.config import AgentConfig

LATENCY_S = Decimal("0.01")
# What the paper engine computes with; pinned, so that nobody's thread-wide setting changes a byte.
_MONEY = Context(prec=28, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Replay:
    """One config's way through the past.

    `latched` are the loss limits that broke, `priced` the open tickers with a price newer than their entry, `left_out`
    the settings that would have closed positions and that a paper account does not carry out.
    """

    config_hash: str
    start_cash_usd: Decimal
    steps: tuple[Step, ...]
    closed: tuple[Closed, ...]
    latched: tuple[Latched, ...]
    book: Book
    priced: frozenset[str]
    curve: Curve
    first_at: datetime | None
    last_at: datetime | None
    duplicates: int
    out_of_order: int
    left_out: tuple[str, ...]


def simulate(
    past: Iterable[Past], config: AgentConfig, quotes: Iterable[Quote] = (), *, latency_s: Decimal = LATENCY_S
) -> Replay:
    """Replay signals with one config; each is decided `latency_s` seconds after its publication.

    The account starts with the config's paper cash and no position. The mode and past halts are left out: the answer
    is what the rules would have done. Same arguments, same value.
    """
    return simulate_all(past, (config,), quotes, latency_s=latency_s)[0]


def simulate_all(
    past: Iterable[Past],
    configs: Sequence[AgentConfig],
    quotes: Iterable[Quote] = (),
    *,
    latency_s: Decimal = LATENCY_S,
) -> tuple[Replay, ...]:
    """Replay signals with several configs in one pass: each signal is read once. See `simulate`."""
    wire = Wire(latency_s)
    runs = [_Run(config) for config in configs]
    with localcontext(_MONEY):
        for event in wire.events(past, quotes):
            for run in runs:
                if isinstance(event, Quote):
                    run.meet_quote(event)
                else:
                    run.meet_signal(event)
        return tuple(run.replay(wire) for run in runs)


def market_for(moment: Moment, ledger: Ledger) -> Market:
    """The world around a past signal: a paper engine, nothing halted, clocks that agree, every approval given."""
    signal = moment.signal
    return Market(
        engine="paper",
        is_paper=True,
        latest_revision=moment.latest_revision,
        is_retracted=moment.is_retracted,
        session=moment.session,
        session_day=moment.session_day,
        ledger=ledger,
        approvals=frozenset(((signal.signal_id, signal.revision),)),
    )


class _Run:
    """One config on its way: the account, the ledger of its losses, and what has been noted so far."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._limits = config.risk
        self._account = ReplayAccount(config.engine.paper.start_cash_usd, config.engine.paper.slippage_bps)
        self._ledger = Ledger()
        self._judged: tuple[Ledger | None, date | None] = (None, None)
        self._latched: list[Latched] = []
        self._steps: list[Step] = []
        self._closed: list[Closed] = []
        self._recorder = CurveRecorder()
        self._clock: datetime | None = None

    def meet_quote(self, quote: Quote) -> None:
        """A price from outside the wire: marks, and triggers stops and targets."""
        self._tick(quote.at)
        # Most quotes are of tickers that nobody holds.
        if quote.ticker in self._account.book.positions:
            self._observe(quote.ticker, quote.price, quote.at, quote.at)
            self._draw()

    def meet_signal(self, moment: Moment) -> None:
        """One signal as the desk settles it: its price is observed, then it is decided, then ordered."""
        signal, now = moment.signal, moment.now
        self._tick(now)
        is_close = signal.action is Action.CLOSE
        # A price that is the signal's own exit price must not trigger the stop first.
        if not is_close:
            self._observe_signal(moment)
        self._sync(moment)
        book = self._account.book_for(signal.signal_id, now)
        decision = decide(signal, book, self._limits, market_for(moment, self._ledger), now)
        if is_close and decision.verdict is not Verdict.ACCEPTED:
            self._observe_signal(moment)
        outcome = self._ordered(decision) if decision.verdict is Verdict.ACCEPTED else None
        self._steps.append(step_from(moment.number, signal, decision, outcome))
        self._draw()

    def replay(self, wire: Wire) -> Replay:
        """Everything so far as one value."""
        return Replay(
            config_hash=self._config.config_hash(),
            start_cash_usd=self._config.engine.paper.start_cash_usd,
            steps=tuple(self._steps),
            closed=tuple(self._closed),
            latched=tuple(self._latched),
            book=self._account.book,
            priced=frozenset(self._account.priced & self._account.book.positions.keys()),
            curve=self._recorder.end(self._clock),
            first_at=wire.first_at,
            last_at=wire.last_at,
            duplicates=wire.duplicates,
            out_of_order=wire.out_of_order,
            left_out=_left_out(self._limits),
        )

    def _sync(self, moment: Moment) -> None:
        """What the ledger's keeper does before each decision: the day, the equity, then the limits that they break."""
        now = moment.now
        for event in due(self._ledger, self._account.sums.equity, now, NYSE):
            self._ledger = self._ledger.after(event)
        # The limits look at the ledger and the day only: the same again breaks nothing new.
        judged, day = self._judged
        if judged is self._ledger and day == moment.session_day:
            return
        self._judged = (self._ledger, moment.session_day)
        for breach in breaches(self._ledger, self._limits, now, NYSE):
            self._latched.append(breach.latch)
            self._ledger = self._ledger.after(breach.latch)
            if breach.is_flatten:
                self._flatten(now)

    def _draw(self) -> None:
        if self._clock is not None:
            self._recorder.add(self._clock, self._account.sums.equity, self._account.sums.exposure)

    def _tick(self, at: datetime) -> None:
        # A message that says it is older than the one before it does not turn time back for the curve.
        if self._clock is None or at > self._clock:
            self._clock = at

    def _observe_signal(self, moment: Moment) -> None:
        signal = moment.signal
        price, at = signal.reference_price, signal.reference_price_at
        if not moment.is_retracted and price is not None and at is not None:
            self._observe(signal.ticker, price, at, moment.now)

    def _observe(self, ticker: str, price: Decimal, at: datetime, now: datetime) -> None:
        before = self._account.book
        fill = self._account.observe(ticker, price, at, now)
        if fill is not None:
            self._count(fill, before)

    def _flatten(self, now: datetime) -> None:
        for ticker in sorted(self._account.book.positions):
            before = self._account.book
            fill = self._account.close(ticker, now)
            if fill is not None:
                self._count(fill, before)

    def _ordered(self, decision: Decision) -> Outcome | None:
        if decision.plan is None:
            return None
        before = self._account.book
        outcome, fill = self._account.submit(decision.plan, decision)
        if fill is not None:
            self._count(fill, before)
        return outcome

    def _count(self, fill: Fill, before: Book) -> None:
        self._ledger = self._ledger.after(Traded(fill))
        if fill.leg is not Leg.ENTRY:
            realised = self._account.book.realised_usd - before.realised_usd
            catalyst = before.positions[fill.ticker].catalyst
            closed = Closed(fill.at, fill.ticker, catalyst, fill.leg, fill.quantity, fill.price, realised)
            self._closed.append(closed)


def _left_out(limits: Limits) -> tuple[str, ...]:
    settings = {
        "trailing_stop_percent": limits.trailing_stop_percent,
        "max_hold_s_by_catalyst": limits.max_hold_s_by_catalyst,
    }
    return tuple(name for name, value in settings.items() if value)
