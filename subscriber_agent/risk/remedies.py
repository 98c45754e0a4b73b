"""What would have to change for a refused signal to pass: for each code either settings with values, or why nothing.

Every change is tried before it is shown: a remedy with changes makes its own check pass. It says nothing about the
checks after it, and it is no advice. Limits on losses have none on purpose: they are not raised while they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

from pydantic import ValidationError

from signal_contract.model import Signal
from subscriber_agent.accounting.book import Book
from subscriber_agent.risk import changes as change
from subscriber_agent.risk.account_checks import held_in_catalyst_usd, held_in_sector_usd, held_in_ticker_usd
from subscriber_agent.risk.checks import Check
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.decide import EXACT, case_from, checks_for, is_noted
from subscriber_agent.risk.decision import CheckOutcome, text_of
from subscriber_agent.risk.findings import Case
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market


@dataclass(frozen=True, slots=True)
class Remedy:
    """One refusing check: `changes` are settings under `risk:` that let it pass, empty when none does; `text` why."""

    check: str
    code: Code
    text: str
    changes: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: values as they are written in a config."""
        return {
            "check": self.check,
            "code": self.code.value,
            "text": self.text,
            "changes": {name: _plain(value) for name, value in self.changes.items()},
        }

    @property
    def words(self) -> str:
        """One line for people."""
        if not self.changes:
            return self.text
        settings = ", ".join(f"{name}: {_written(value)}" for name, value in self.changes.items())
        return f"{settings} ({self.text})" if self.text else settings


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: what helps in words, and what may be reckoned."""

    text: str
    reckon: Callable[[Case], change.Changes] | None = None


_YOURS = "your own choice"
_SIZE = "the smallest order would fit then"
_LOSS = "no setting: a limit on losses is not raised while it holds"
_ASK = "nothing on your side"

REMEDIES: dict[Code, Entry] = {
    Code.HALTED: Entry("`subscriber-agent resume`, or your operator's word when it is he who halted"),
    Code.REDUCING: Entry("`subscriber-agent resume`, or your operator's word when it is he who reduced"),
    Code.RETRACTED: Entry("nothing: it was withdrawn, and that is final"),
    Code.SUPERSEDED: Entry("nothing: only the latest revision counts"),
    Code.DUPLICATE: Entry("nothing: a signal is acted on once"),
    Code.DRILL_REFUSED: Entry("nothing: a drill is for paper engines"),
    Code.NO_POSITION: Entry("nothing: there is nothing to close"),
    Code.STALE: Entry("for the next one: this one only grows older", change.younger),
    Code.EXPIRED: Entry("nothing: it is expired"),
    Code.CLOCK_SKEW: Entry("better: set this machine's clock", change.skewed),
    Code.LOW_CONFIDENCE: Entry("", change.confident),
    Code.CATALYST_FILTERED: Entry("", change.catalyst_wanted),
    Code.TICKER_DENIED: Entry("", change.ticker_wanted),
    Code.SOURCE_DENIED: Entry("", change.source_wanted),
    Code.DEGRADED_CLASSIFIER: Entry("", lambda _: {"refuse_degraded": False}),
    Code.SIDE_DISABLED: Entry("a short can lose more than its own value", lambda _: {"allow_shorts": True}),
    Code.NO_PRICE: Entry("nothing: without a price there is nothing to judge or size by"),
    Code.PRICE_OUT_OF_RANGE: Entry("", change.price_wanted),
    Code.MARKET_CAP_LOW: Entry("", change.company_wanted),
    Code.RVOL_LOW: Entry("", change.volume_wanted),
    Code.SECTOR_FILTERED: Entry("", change.sector_wanted),
    Code.NO_QUOTE: Entry("nothing: the engine must show a price of now"),
    Code.PRICE_MOVED: Entry("you would pay that much more", change.moved),
    Code.SESSION_CLOSED: Entry("or the next session in which you trade", change.session_wanted),
    Code.SYMBOL_HALTED: Entry("nothing: its trading must go on first"),
    Code.NOT_TRADABLE: Entry(f"{_ASK}: the broker does not trade it"),
    Code.NOT_SHORTABLE: Entry(f"{_ASK}: the broker or the engine makes no short sale of it"),
    Code.STOP_REQUIRED: Entry("or nearer; an engine that holds no stop gets no entry", change.own_stop),
    Code.STOP_WRONG_SIDE: Entry("or nearer, instead of the signal's", change.own_stop),
    Code.STOP_TOO_WIDE: Entry("you would lose that much of the price", change.wider_stop),
    Code.TARGET_WRONG_SIDE: Entry("nothing: the price has passed the target, unless you set `own_target_percent`"),
    Code.SIZE_BELOW_MIN: Entry(_SIZE, change.order_wanted),
    Code.NOT_FRACTIONABLE: Entry("a whole share would fit then", change.order_wanted),
    Code.MAX_NOTIONAL: Entry(_YOURS, change.dearer),
    Code.MAX_QTY: Entry(_YOURS, change.more_shares),
    Code.MAX_OPEN_POSITIONS: Entry("or a position that closes", change.more_positions),
    Code.ALREADY_IN_POSITION: Entry("nothing: one position per ticker, until that one is closed"),
    Code.OPPOSITE_ORDER_OPEN: Entry("nothing: the other order must end first"),
    Code.MAX_EXPOSURE: Entry(_SIZE, change.share_of("max_exposure_percent", lambda case: case.worth.exposure)),
    Code.MAX_TICKER_EXPOSURE: Entry(_SIZE, change.share_of("max_ticker_exposure_percent", held_in_ticker_usd)),
    Code.MAX_CATALYST_EXPOSURE: Entry(_SIZE, change.share_of("max_catalyst_exposure_percent", held_in_catalyst_usd)),
    Code.MAX_SECTOR_EXPOSURE: Entry(_SIZE, change.share_of("max_sector_exposure_percent", held_in_sector_usd)),
    Code.DAILY_LOSS: Entry(f"{_LOSS}, until the next trading day"),
    Code.WEEKLY_LOSS: Entry(f"{_LOSS}, until `subscriber-agent risk reset WEEKLY --confirm`"),
    Code.DRAWDOWN: Entry(f"{_LOSS}, until `subscriber-agent risk reset DRAWDOWN --confirm`"),
    Code.LOSS_STREAK: Entry("no setting: the pause ends by itself"),
    Code.COOLDOWN: Entry("no setting: it ends by itself"),
    Code.ORDER_RATE: Entry("or a minute later", change.more_orders),
    Code.MAX_TRADES_PER_DAY: Entry("or when the oldest entry is 24 hours old", change.more_trades),
    Code.INSUFFICIENT_FUNDS: Entry("or more cash", change.less_reserve),
    Code.ACCOUNT_BLOCKED: Entry(f"{_ASK}: ask your broker"),
    Code.LEVERAGE: Entry(_SIZE, change.share_of("max_leverage", lambda case: case.worth.exposure, whole=1)),
    Code.DAY_TRADE_LIMIT: Entry("only where your broker counts no round trips", change.without_day_trade_limit),
    Code.TICK_SIZE: Entry("nothing: its prices do not fit the exchange's tick"),
    Code.APPROVAL_REQUIRED: Entry("`subscriber-agent approve ID`, before it expires"),
    Code.ENGINE_UNHEALTHY: Entry("nothing: after `engine_pause_s` one entry tries whether the engine works again"),
    Code.LEDGER_MISMATCH: Entry("nothing here: engine and journal must agree about what is held"),
}
# The checks that look at the order's size so far.
_EXPOSURES = ("exposure", "ticker exposure", "catalyst exposure", "sector exposure", "leverage")
_SIZED = (*_EXPOSURES, "order value", "order quantity", "funds")
_NO_SIZE = "nothing on its own: it follows from the order's size, and there is none"
_UNKNOWN = "nothing: what it needs is not known"
_NO_VALUE = "no value that these settings may have lets it pass"


def remedies(signal: Signal, book: Book, limits: Limits, market: Market, now: datetime) -> tuple[Remedy, ...]:
    """A remedy for each check that refuses, in the order of the checks; the arguments are those of `decide`."""
    if is_noted(signal):
        return ()
    with localcontext(EXACT):
        first = case_from(signal, book, limits, market, now)
        return tuple(_remedy(check, case, code) for check, case, code in _refusing(first))


def _refusing(case: Case) -> Iterator[tuple[Check, Case, Code]]:
    for check in checks_for(case):
        finding = check.run(case)
        if finding.code is not None and finding.outcome is CheckOutcome.REFUSE:
            yield check, case, finding.code
        if finding.quantity is not None:
            case = case.resized(finding.quantity)


def _remedy(check: Check, case: Case, code: Code) -> Remedy:
    entry = REMEDIES[code]
    if entry.reckon is None:
        return Remedy(check.name, code, entry.text, {})
    wanted = {name: value for name, value in entry.reckon(case).items() if value != _current(case, name)}
    if wanted and _passes(check, case, wanted):
        return Remedy(check.name, code, entry.text, wanted)
    return Remedy(check.name, code, _why_not(check, case, wanted), {})


def _current(case: Case, name: str) -> Any:
    value = getattr(case.limits, name)
    return list(value) if isinstance(value, tuple) else value


def _passes(check: Check, case: Case, wanted: Mapping[str, Any]) -> bool:
    """Whether the check passes with these settings: allowed ones, and everything else as it is."""
    try:
        limits = Limits.model_validate({**case.limits.model_dump(), **wanted})
    except ValidationError:
        return False
    tried = case_from(case.signal, case.book, limits, case.market, case.now)
    if case.quantity is not None:
        tried = tried.resized(case.quantity)
    return check.run(tried).outcome is not CheckOutcome.REFUSE


def _why_not(check: Check, case: Case, wanted: Mapping[str, Any]) -> str:
    if wanted:
        return _NO_VALUE
    is_sizeless = check.name in _SIZED and case.quantity is None and case.worth.equity is not None
    return _NO_SIZE if is_sizeless else _UNKNOWN


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [str(each) for each in value]
    return text_of(value) if isinstance(value, Decimal) else value


def _written(value: Any) -> str:
    """As it is written in a config."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(_plain(value))
