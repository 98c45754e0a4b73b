"""Who plays in the demonstration: two friends with different entitlements and different rules. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Friend:
    """A friend, what he may read, and the rules he has set himself (the `risk` part of his config)."""

    name: str
    catalysts: tuple[str, ...]
    risk: tuple[tuple[str, str], ...]
    in_words: str


# A day's worth of signals goes out within seconds here, hence the higher rate and number of positions; and the
# demonstration is watched at any hour.
_BUSY = (
    ("max_orders_per_minute", "60"),
    ("max_open_positions", "8"),
    ("sessions", "[pre, regular, after, closed]"),
)

ALICE = Friend(
    "alice",
    ("fda", "clinical", "partnership", "distress"),
    (("sizing", "fixed_usd"), ("fixed_usd", "500"), ("min_confidence", "0.86"), *_BUSY),
    "reads fda, clinical, partnership, distress; 500 USD a trade, confidence 0.86 and more",
)
BOB = Friend(
    "bob",
    ("M&A", "advanced_therapies", "distress"),
    (("sizing", "percent_of_equity"), ("equity_percent", "8"), ("max_price_usd", "10"), *_BUSY),
    "reads M&A, advanced_therapies, distress; 8 % of equity a trade, nothing above 10 USD",
)
FRIENDS = (ALICE, BOB)


def config_with_rules(starter: str, friend: Friend) -> str:
    """A starter config with this friend's own rules in place of `risk: {}`."""
    rules = "\n".join(f"  {key}: {value}" for key, value in friend.risk)
    return starter.replace("risk: {}", f"risk:\n{rules}")
