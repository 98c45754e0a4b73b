"""Is it the time for an entry: age, expiry, clocks, the exchange's session, pauses between orders."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from signal_contract.model import Session
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, judged, passed, refused
from subscriber_agent.risk.limits import EVERYTHING

_MINUTE_S, _DAY_S = 60, 86_400
_ALL_SESSIONS = tuple(Session)
_EXTENDED = (Session.PRE, Session.AFTER)


def age(case: Case) -> Finding:
    """Refuse an entry published longer ago than `max_age_s`, or than the smallest override of its catalysts."""
    limit_s = max_age_s(case)
    limit, age_s = f"{limit_s:f} s", published_age_s(case)
    if age_s is None:
        return refused(Code.STALE, None, limit)
    return judged(age_s <= limit_s, Code.STALE, f"{age_s:.1f} s", limit)


def published_age_s(case: Case) -> Decimal | None:
    """Seconds since the publication by the server's clock, negative for one in the future; None is not known."""
    return None if case.server_now is None else _seconds(case.server_now - case.signal.published_at)


def published_ahead_s(case: Case) -> Decimal | None:
    """How far in the future the publication lies, in seconds, 0 for one in the past; None is not known."""
    return None if case.server_now is None else max(_seconds(case.signal.published_at - case.server_now), Decimal(0))


def max_age_s(case: Case) -> Decimal:
    """The age in seconds that this entry may have."""
    limits = case.limits
    others = limits.max_age_s_by_catalyst
    named = [others[each] for each in case.signal.catalysts if each in others]
    return min(named) if named else others.get(EVERYTHING, limits.max_age_s)


def expiry(case: Case) -> Finding:
    """Refuse an entry from its own expiry on."""
    expires_at, now = case.signal.expires_at, case.server_now
    if expires_at is None or now is None:
        return refused(Code.EXPIRED, None, "before its expiry")
    return judged(now < expires_at, Code.EXPIRED, now.isoformat(), f"before {expires_at.isoformat()}")


def clock(case: Case) -> Finding:
    """Refuse when our clock is too far from the server's, or the signal comes from too far in the future."""
    allowed_s = case.limits.max_clock_skew_s
    limit, ahead_s = f"{allowed_s:f} s", published_ahead_s(case)
    if ahead_s is None or case.market.clock_skew_s is None:
        return refused(Code.CLOCK_SKEW, None, limit)
    skew_s = abs(case.market.clock_skew_s)
    warning = " (set this machine's clock)" if skew_s > case.limits.warn_clock_skew_s else ""
    observed = f"skew {skew_s:.1f} s{warning}, published {ahead_s:.1f} s ahead"
    return judged(skew_s <= allowed_s and ahead_s <= allowed_s, Code.CLOCK_SKEW, observed, limit)


def session(case: Case) -> Finding:
    """Refuse outside the friend's sessions; with real money also when closed, or where the engine cannot go."""
    allowed, market = case.limits.sessions, case.market
    limit = ", ".join(allowed) or "none"
    if market.session is None and allowed == _ALL_SESSIONS and market.is_paper:
        return passed("not known, and every session is allowed", limit)
    if market.session is None or market.session not in allowed:
        return refused(Code.SESSION_CLOSED, market.session, limit)
    if market.session is Session.REGULAR or market.is_paper:
        return passed(market.session, limit)
    if market.session is Session.CLOSED:
        return refused(Code.SESSION_CLOSED, market.session, "closed is for paper engines only")
    is_able = market.capabilities.extended_hours
    return judged(is_able, Code.SESSION_CLOSED, market.session, "an engine that trades outside regular hours")


def is_extended(case: Case) -> bool:
    """Whether the order must be marked for a session outside regular hours."""
    return case.market.session in _EXTENDED and case.market.capabilities.extended_hours


def order_rate(case: Case) -> Finding:
    """Refuse at `max_orders_per_minute` entries within 60 seconds."""
    return _counted(case, _MINUTE_S, case.limits.max_orders_per_minute, Code.ORDER_RATE)


def trades_per_day(case: Case) -> Finding:
    """Refuse at `max_trades_per_day` entries within 24 hours."""
    return _counted(case, _DAY_S, case.limits.max_trades_per_day, Code.MAX_TRADES_PER_DAY)


def _counted(case: Case, span_s: int, limit: int, code: Code) -> Finding:
    count = entries_within(case, span_s)
    return judged(count is not None and count < limit, code, count, limit)


def entries_within(case: Case, span_s: int) -> int | None:
    """Entries in the last `span_s` seconds, None for a naive time.

    Those in the future are included: a clock set back must not reset the count.
    """
    if case.now.utcoffset() is None:
        return None
    since = case.now - timedelta(seconds=span_s)
    try:
        return sum(map(since.__lt__, case.book.entry_times))
    except TypeError:  # one of them is naive
        return None


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1)) / 1_000_000
