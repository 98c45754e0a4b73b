"""What one check looks at (a case) and what it says about it (a finding)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from signal_contract.model import Action, Signal
from subscriber_agent.book import Book, known
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decision import CheckOutcome, text_of
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Case:
    """One signal before the checks. `quantity` is what the sizing checks so far allow, in whole shares."""

    signal: Signal
    book: Book
    limits: Limits
    market: Market
    now: datetime
    quantity: Decimal | None = None

    @property
    def server_now(self) -> datetime | None:
        """`now` as the server's clock would show it; None when our time is naive or the skew is not known."""
        skew = known(self.market.clock_skew_s)
        if self.now.utcoffset() is None or skew is None or abs(skew) > _PLAUSIBLE_SKEW_S:
            return None
        return self.now - timedelta(microseconds=int(skew * 1_000_000))

    @property
    def is_exit(self) -> bool:
        return self.signal.action is Action.CLOSE

    @property
    def price(self) -> Decimal | None:
        """What the entry is judged and sized by, in USD."""
        return self.signal.reference_price


# A day: beyond that the subtraction could leave the calendar, and the answer is "refuse" long before.
_PLAUSIBLE_SKEW_S = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    outcome: CheckOutcome
    code: Code | None
    observed: str
    limit: str
    quantity: Decimal | None = None


def passed(observed: object, limit: object, quantity: Decimal | None = None) -> Finding:
    """Nothing to object to."""
    return Finding(CheckOutcome.PASS, None, _shown(observed), _shown(limit), quantity)


def refused(code: Code, observed: object, limit: object) -> Finding:
    """A rule is broken; None as `observed` reads as unknown."""
    return Finding(CheckOutcome.REFUSE, code, _shown(observed), _shown(limit))


def clamped(code: Code, observed: object, limit: object, quantity: Decimal) -> Finding:
    """The order is cut down to `quantity` whole shares."""
    return Finding(CheckOutcome.CLAMP, code, _shown(observed), _shown(limit), quantity)


def _shown(value: object) -> str:
    if value is None:
        return UNKNOWN
    return text_of(value) if isinstance(value, Decimal) else str(value)
