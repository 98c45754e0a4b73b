"""Does the friend want entries like this one: confidence, catalyst, ticker, source, side, company."""

from __future__ import annotations

from decimal import Decimal

from subscriber_agent.accounting.book import known
from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.fields import folded
from subscriber_agent.risk.findings import UNKNOWN, Case, Finding, judged, passed, refused
from subscriber_agent.risk.limits import EVERYTHING

_NO_FILTER = "no filter"


def confidence(case: Case) -> Finding:
    """Refuse below `min_confidence`."""
    observed, limit = known(case.signal.confidence), case.limits.min_confidence
    return judged(observed is not None and observed >= limit, Code.LOW_CONFIDENCE, observed, limit)


def catalyst(case: Case) -> Finding:
    """Refuse when any catalyst is denied, or the main one is not allowed."""
    limits, signal = case.limits, case.signal
    denied = [each for each in signal.catalysts if each in limits.deny_catalysts or EVERYTHING in limits.deny_catalysts]
    if denied:
        return refused(Code.CATALYST_FILTERED, ", ".join(denied), "not on the deny list")
    if EVERYTHING not in limits.allow_catalysts and signal.catalyst not in limits.allow_catalysts:
        return refused(Code.CATALYST_FILTERED, signal.catalyst, ", ".join(limits.allow_catalysts) or "none")
    return passed(signal.catalyst, "allowed and not denied")


def ticker(case: Case) -> Finding:
    """Refuse a ticker that is denied or not allowed."""
    limits, name = case.limits, case.signal.ticker
    if name in limits.deny_tickers or EVERYTHING in limits.deny_tickers:
        return refused(Code.TICKER_DENIED, name, "not on the deny list")
    if EVERYTHING not in limits.allow_tickers and name not in limits.allow_tickers:
        return refused(Code.TICKER_DENIED, name, "on the allow list")
    return passed(name, "allowed and not denied")


def source(case: Case) -> Finding:
    """Refuse news from a denied source."""
    name, denied = case.signal.news.source, case.limits.deny_sources
    is_denied = folded(name) in denied or EVERYTHING in denied
    return judged(not is_denied, Code.SOURCE_DENIED, name, "not on the deny list")


def classifier(case: Case) -> Finding:
    """Refuse a degraded classifier's signals where the friend says so."""
    is_degraded, is_refused = case.signal.classifier.degraded, case.limits.refuse_degraded
    observed = "degraded" if is_degraded else "at its usual quality"
    limit = "at its usual quality" if is_refused else _NO_FILTER
    return judged(not (is_degraded and is_refused), Code.DEGRADED_CLASSIFIER, observed, limit)


def side(case: Case) -> Finding:
    """Refuse short sales unless they are allowed."""
    limit = "shorts allowed" if case.limits.allow_shorts else "shorts are off"
    is_allowed = case.limits.allow_shorts or not case.is_short
    observed = "short sale" if case.is_short else case.signal.action.value
    return judged(is_allowed, Code.SIDE_DISABLED, observed, limit)


def price_range(case: Case) -> Finding:
    """Refuse when any price at which the entry may come about lies outside the range, or none is known."""
    low, high = case.limits.min_price_usd, case.limits.max_price_usd
    limit = f"{low:f} to {high:f} USD"
    if case.prices.reference is None:
        return refused(Code.NO_PRICE, None, limit)
    # The limit price may lie outside by its margin: it is no price that anybody has seen.
    for price in (case.prices.reference, case.prices.current):
        if price is not None and not low <= price <= high:
            return refused(Code.PRICE_OUT_OF_RANGE, price, limit)
    return passed(case.prices.reference, limit)


def market_cap(case: Case) -> Finding:
    """Refuse companies below `min_market_cap_usd`."""
    limits = case.limits
    return _at_least(
        case.signal.market.market_cap_usd, limits.min_market_cap_usd, limits.unknown_market_cap, Code.MARKET_CAP_LOW
    )


def relative_volume(case: Case) -> Finding:
    """Refuse a relative volume below `min_rvol`."""
    limits = case.limits
    return _at_least(case.signal.market.rvol, limits.min_rvol, limits.unknown_rvol, Code.RVOL_LOW)


def sector(case: Case) -> Finding:
    """Refuse a sector that is denied or not allowed."""
    limits, name = case.limits, case.signal.market.sector
    if EVERYTHING in limits.allow_sectors and not limits.deny_sectors:
        return passed(name, _NO_FILTER)
    if EVERYTHING in limits.deny_sectors:
        return refused(Code.SECTOR_FILTERED, name, "not on the deny list")
    if name is None:
        return _unknown(Code.SECTOR_FILTERED, limits.unknown_sector, "a known sector")
    if folded(name) in limits.deny_sectors:
        return refused(Code.SECTOR_FILTERED, name, "not on the deny list")
    is_allowed = EVERYTHING in limits.allow_sectors or folded(name) in limits.allow_sectors
    return judged(is_allowed, Code.SECTOR_FILTERED, name, "allowed and not denied")


def _at_least(value: Decimal | None, minimum: Decimal, unknown: str, code: Code) -> Finding:
    observed = known(value)
    if minimum == 0:
        return passed(observed, _NO_FILTER)
    if observed is None:
        return _unknown(code, unknown, minimum)
    return judged(observed >= minimum, code, observed, minimum)


def _unknown(code: Code, setting: str, limit: object) -> Finding:
    return passed(f"{UNKNOWN}, which you pass", limit) if setting == "pass" else refused(code, None, limit)
