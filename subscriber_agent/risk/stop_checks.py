"""How an entry ends: its stop must be there, on the loss side, near enough; its target on the profit side."""

from __future__ import annotations

from decimal import Decimal

from subscriber_agent.risk.codes import Code
from subscriber_agent.risk.findings import Case, Finding, judged, passed, refused
from subscriber_agent.risk.limits import EVERYTHING


def stop(case: Case) -> Finding:
    """Refuse without a stop that protects at every price the entry may come about at, and not too far from any."""
    prices, widest = case.prices, case.limits.max_stop_distance_percent
    fills = prices.all_known
    if prices.stop is None or not fills:
        return refused(Code.STOP_REQUIRED, prices.stop, "a stop and a price to measure it from")
    if not case.market.capabilities.can_protect:
        return refused(Code.STOP_REQUIRED, "the engine cannot hold a stop", "a stop from the entry on")
    losses = [(price - prices.stop) * prices.side for price in fills]
    if min(losses) <= 0:
        nearest = fills[losses.index(min(losses))]
        return refused(Code.STOP_WRONG_SIDE, prices.stop, f"on the loss side of {nearest:f}")
    # The price furthest from the stop, which the widest distance is a share of.
    furthest = fills[losses.index(max(losses))]
    observed, limit = f"{max(losses) * 100 / furthest:.2f} %", f"{widest:f} %"
    # Multiplied out: a rounded quotient must not decide.
    is_near = all(loss * 100 <= widest * price for loss, price in zip(losses, fills, strict=True))
    return judged(is_near, Code.STOP_TOO_WIDE, observed, limit)


def target(case: Case) -> Finding:
    """Refuse a target that the entry's price may already have reached; no target is fine."""
    prices = case.prices
    if prices.target is None:
        return passed("none", "on the profit side")
    fills = prices.all_known
    if not fills:
        return refused(Code.TARGET_WRONG_SIDE, None, "a price to measure it from")
    highest = max(fills) if prices.side > 0 else min(fills)
    is_right = (prices.target - highest) * prices.side > 0
    return judged(is_right, Code.TARGET_WRONG_SIDE, prices.target, f"on the profit side of {highest:f}")


def hold_time(case: Case) -> Finding:
    """Say how long the position may be held; never refuses: it is an exit that is planned here."""
    seconds = max_hold_s(case)
    return passed("no time limit" if seconds is None else f"{seconds:f} s", "closed after that")


def max_hold_s(case: Case) -> Decimal | None:
    """The smallest time limit among the signal's catalysts, in seconds; None without one."""
    limits = case.limits.max_hold_s_by_catalyst
    named = [limits[each] for each in case.signal.catalysts if each in limits]
    return min(named) if named else limits.get(EVERYTHING)
