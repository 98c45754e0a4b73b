"""What losses forbid: the day's, the week's, the drawdown, a losing streak, a cooldown, too many day trades.

All of them read the ledger, which the journal keeps: a restart clears nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from subscriber_agent.accounting.ledger import LatchKind, Ledger
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, judged, passed, refused, unsaid
from subscriber_agent.risk.losses import LOSSES, cooling_until, paused_until

_CODES = {
    LatchKind.DAILY: Code.DAILY_LOSS,
    LatchKind.WEEKLY: Code.WEEKLY_LOSS,
    LatchKind.DRAWDOWN: Code.DRAWDOWN,
}
_HELD_UNTIL = {
    LatchKind.DAILY: "broken today: until the next trading day",
    LatchKind.WEEKLY: "broken: until `risk reset WEEKLY --confirm`",
    LatchKind.DRAWDOWN: "broken: until `risk reset DRAWDOWN --confirm`",
}
# Eight calendar days always hold five sessions, the window in which brokers count.
_DAY_TRADE_WINDOW = timedelta(days=8)


def daily_loss(case: Case) -> Finding:
    """Refuse for the rest of the trading day once its loss limit is reached."""
    return _loss(case, LatchKind.DAILY)


def weekly_loss(case: Case) -> Finding:
    """Refuse once the week's loss limit is reached, until it is reset."""
    return _loss(case, LatchKind.WEEKLY)


def drawdown(case: Case) -> Finding:
    """Refuse once equity is too far below its highest, until it is reset."""
    return _loss(case, LatchKind.DRAWDOWN)


def losing_streak(case: Case) -> Finding:
    """Refuse during the pause after `max_losing_streak` losing trades in a row, and after each further one."""
    ledger, limits = case.market.ledger, case.limits
    limit = f"{limits.max_losing_streak}, then {limits.streak_pause_s:f} s pause"
    if ledger is None:
        return unsaid(case, Code.LOSS_STREAK, limit)
    return _over(case, paused_until(ledger, limits), Code.LOSS_STREAK, f"{ledger.streak} losing trades", limit)


def cooldown(case: Case) -> Finding:
    """Refuse a ticker within `cooldown_s` of the latest exit from it."""
    ledger, ticker = case.market.ledger, case.signal.ticker
    limit = f"{case.limits.cooldown_s:f} s after an exit"
    if ledger is None:
        return unsaid(case, Code.COOLDOWN, limit)
    return _over(case, cooling_until(ledger, ticker, case.limits), Code.COOLDOWN, "no exit lately", limit)


def day_trades(case: Case) -> Finding:
    """Refuse at `max_day_trades` round trips within eight days, where the friend's broker counts them."""
    ledger, day, limits = case.market.ledger, case.market.session_day, case.limits
    if not limits.limit_day_trades:
        return passed("not limited", "no limit")
    if ledger is None or day is None:
        return refused(Code.DAY_TRADE_LIMIT, None, limits.max_day_trades)
    count = sum(each > day - _DAY_TRADE_WINDOW for each in ledger.day_trades)
    return judged(count < limits.max_day_trades, Code.DAY_TRADE_LIMIT, count, limits.max_day_trades)


def _loss(case: Case, kind: LatchKind) -> Finding:
    ledger, day, code = case.market.ledger, case.market.session_day, _CODES[kind]
    if ledger is None:
        return unsaid(case, code, "a known account history")
    if day is None or ledger.day != day:
        return refused(code, None, "the equity at the start of this trading day")
    if ledger.holds(kind, day):
        return refused(code, _HELD_UNTIL[kind], "not broken")
    return _measured(case, kind, ledger)


def _measured(case: Case, kind: LatchKind, ledger: Ledger) -> Finding:
    loss = LOSSES[kind](ledger, case.worth.equity, case.limits)
    if loss is None:
        return refused(_CODES[kind], None, "a known equity")
    return judged(not loss.is_broken, _CODES[kind], f"{loss.lost_usd:.2f} USD lost", f"below {loss.limit_usd:.2f} USD")


def _over(case: Case, until: datetime | None, code: Code, otherwise: str, limit: str) -> Finding:
    """Refuse before `until`; a clock set back makes it later, never earlier."""
    if until is None:
        return passed(otherwise, limit)
    if case.now.utcoffset() is None:
        return refused(code, None, limit)
    return judged(case.now >= until, code, f"until {until.isoformat()}", limit)
