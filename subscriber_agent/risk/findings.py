"""What one check looks at (a case) and what it says about it (a finding)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from signal_contract.model import Action, Signal
from subscriber_agent.accounting.book import Book, Side, known
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import CheckOutcome, text_of
from subscriber_agent.risk.fields import folded
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market
from subscriber_agent.risk.prices import Prices

UNKNOWN = "unknown"
# A day: beyond that the subtraction could leave the calendar, and the answer is "refuse" long before.
_PLAUSIBLE_SKEW_S = 86_400


# Enum members bound once: looking one up on its class costs as much as the rest of a finding.
_PASS, _REFUSE, _CLAMP = CheckOutcome.PASS, CheckOutcome.REFUSE, CheckOutcome.CLAMP


class Holding(NamedTuple):
    """A position or a working entry, as exposure counts it: what it is in, and its gross value in USD."""

    ticker: str
    catalyst: str
    sector: str
    gross_usd: Decimal | None


class Worth:
    """What a book comes to in USD; None is not known. Added up when the first check asks, and once for all of them.

    Most signals are refused before anybody asks. It belongs to one decision and to the arithmetic of that decision.
    """

    def __init__(self, book: Book) -> None:
        self._book = book

    @cached_property
    def equity(self) -> Decimal | None:
        return self._book.equity

    @cached_property
    def exposure(self) -> Decimal | None:
        return self._book.exposure

    @cached_property
    def buying_power(self) -> Decimal | None:
        return self._book.buying_power

    @cached_property
    def holdings(self) -> tuple[Holding, ...]:
        """All positions, then all working entries, with their sectors folded."""
        return (
            *(
                Holding(each.ticker, each.catalyst, folded(each.sector or ""), _gross(each.value))
                for each in self._book.positions.values()
            ),
            *(
                Holding(each.ticker, each.catalyst, folded(each.sector or ""), known(each.notional_usd))
                for each in self._book.working
            ),
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One signal before the checks. `quantity` is what the sizing checks so far allow, in shares.

    `is_fractional`: whether parts of shares are wanted and possible, see `fractional_from`.
    """

    signal: Signal
    book: Book
    limits: Limits
    market: Market
    now: datetime
    prices: Prices
    worth: Worth
    server_now: datetime | None
    is_fractional: bool
    quantity: Decimal | None = None

    @property
    def is_exit(self) -> bool:
        return self.signal.action is Action.CLOSE

    @property
    def is_short(self) -> bool:
        return self.signal.action is Action.SELL

    @property
    def side(self) -> Side:
        """The entry's side."""
        return Side.SELL if self.is_short else Side.BUY

    def resized(self, quantity: Decimal) -> Case:
        """The case as the checks after this one see it. `replace` would take five times as long."""
        return Case(
            self.signal,
            self.book,
            self.limits,
            self.market,
            self.now,
            self.prices,
            self.worth,
            self.server_now,
            self.is_fractional,
            quantity,
        )


def fractional_from(limits: Limits, market: Market) -> bool:
    """Whether parts of shares are wanted and possible; a ticker that nobody vouches for comes in whole shares."""
    symbol = market.symbol
    is_possible = market.capabilities.fractions and symbol is not None and symbol.is_fractionable is True
    return limits.allow_fractions and is_possible


def server_time(now: datetime, clock_skew_s: Decimal | None) -> datetime | None:
    """`now` as the server's clock would show it; None when our time is naive or the skew is not known."""
    skew = known(clock_skew_s)
    if now.utcoffset() is None or skew is None or abs(skew) > _PLAUSIBLE_SKEW_S:
        return None
    return now - timedelta(microseconds=int(skew * 1_000_000))


class Finding(NamedTuple):
    """What a check says; `quantity`, where it is not None, is what it leaves of the order, in shares."""

    outcome: CheckOutcome
    code: Code | None
    observed: str
    limit: str
    quantity: Decimal | None = None


def passed(observed: object, limit: object, quantity: Decimal | None = None) -> Finding:
    """Nothing to object to."""
    # Most of what is said is text already, and this is called some fifty times a decision.
    seen = observed if type(observed) is str else shown(observed)
    return Finding(_PASS, None, seen, limit if type(limit) is str else shown(limit), quantity)


def refused(code: Code, observed: object, limit: object) -> Finding:
    """A rule is broken; None as `observed` reads as unknown."""
    return Finding(_REFUSE, code, shown(observed), shown(limit))


def judged(is_allowed: bool, code: Code, observed: object, limit: object) -> Finding:
    """Passed or refused, with the same words."""
    return passed(observed, limit) if is_allowed else refused(code, observed, limit)


def clamped(code: Code, observed: object, limit: object, quantity: Decimal) -> Finding:
    """The order is cut down to `quantity` shares."""
    return Finding(_CLAMP, code, shown(observed), shown(limit), quantity)


def unsaid(case: Case, code: Code, limit: object) -> Finding:
    """What only an engine can say is not known: nothing to ask on paper, a refusal with real money."""
    return passed("not known, and not needed on paper", limit) if case.market.is_paper else refused(code, None, limit)


def shown(value: object) -> str:
    """A value in the words of `explain`."""
    if type(value) is str:
        return value
    if value is None:
        return UNKNOWN
    return text_of(value) if isinstance(value, Decimal) else str(value)


def _gross(value: Decimal | None) -> Decimal | None:
    return None if value is None else abs(value)
