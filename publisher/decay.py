"""How long an entry stays worth acting on: the half-life of its catalyst's decay.

Upstream weighs a signal with `exp(-λ · age_hours)`. Its own half-life table says days, its formulas use hours; hours
is what its trades were made with, and the shorter reading is the safe one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta

# λ in 1/hour, from the classifier's decay table.
DECAY_PER_HOUR: dict[str, float] = {
    "fda": 0.35,
    "trial": 0.30,
    "merger": 0.25,
    "acquisition": 0.20,
    "clinical": 0.15,
    "partnership": 0.10,
    "uplisting": 0.05,
}
DEFAULT_DECAY_PER_HOUR = 0.15
DEFAULT = "default"


def time_to_live(catalyst: str, own: Mapping[str, timedelta] | None = None) -> timedelta:
    """Half-life of a catalyst: the operator's `own` one, or its `default`, else ln 2 / λ in whole seconds.

    By the table about 2 h for fda, 14 h for uplisting, 4.6 h for what it does not name. The operator's default counts
    only for what the table does not name either.
    """
    chosen = own or {}
    if catalyst in chosen:
        return chosen[catalyst]
    if catalyst not in DECAY_PER_HOUR and DEFAULT in chosen:
        return chosen[DEFAULT]
    hours = math.log(2) / DECAY_PER_HOUR.get(catalyst, DEFAULT_DECAY_PER_HOUR)
    return timedelta(seconds=round(hours * 3600))
